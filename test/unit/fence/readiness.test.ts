import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Device } from "../../../src/fence/configuration.ts";
import type { DeviceCheck, FenceMethod } from "../../../src/fence/methods/types.ts";
import { answeringTogether, CHECK_SPACING_MS, createReadiness, readinessTurn } from "../../../src/fence/readiness.ts";

const GUID = "3fa85f6457174562b3fc2c963f66afa6";
const DEVICE: Device = {
  hostId: 3,
  level: 1,
  method: "ipmi",
  address: "a",
  port: 623,
  user: "",
  sealedPassword: "",
  privilege: "operator",
  suites: [17],
  spacingMs: 250,
};
const GOOD: DeviceCheck = { power: "on", guid: GUID, suite: "17", firmware: "1.0", findings: [] };

/** A readiness driver whose time and BMC the test moves. */
function bed(answer: () => Promise<DeviceCheck>, guid = GUID, isBusy = () => false, alerts: string[] = []) {
  let now = 0;
  let checks = 0;
  let timers: { at: number; run: () => void }[] = [];
  const method: FenceMethod = {
    name: "ipmi",
    open: () => Promise.reject(new Error("not asked for")),
    check: () => {
      checks++;
      return answer();
    },
  };
  const driver = createReadiness({
    hosts: async () => [{ hostId: 3, devices: [DEVICE], guid, isBusy: isBusy() }],
    isMyTurn: () => true,
    methods: new Map([["ipmi", method]]),
    clock: {
      now: () => now,
      wall: () => 0,
      after: (ms, run) => {
        const timer = { at: now + ms, run };
        timers.push(timer);
        return () => {
          timers = timers.filter((other) => other !== timer);
        };
      },
    },
    unseal: (text) => text,
    alert: (text) => {
      alerts.push(text);
    },
  });
  const pass = async (ms: number) => {
    for (const end = now + ms; now < end; now += 500) {
      const due = timers.filter(({ at }) => at <= now);
      timers = timers.filter(({ at }) => at > now);
      for (const { run } of due) run();
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { driver, pass, checks: () => checks };
}

test("a BMC is asked at most every five seconds", async () => {
  const { driver, pass, checks } = bed(async () => GOOD);
  await pass(60_000);
  assert.ok(checks() >= 8 && checks() <= 12, `${checks()} checks`);
  assert.is(driver.of(3)?.isReady, true);
  await driver.stop();
});

test("for how long it has answered starts again after each failure", async () => {
  let isDead = false;
  const alerts: string[] = [];
  const answer = () => (isDead ? Promise.reject(new Error("no answer")) : Promise.resolve(GOOD));
  const { driver, pass } = bed(answer, GUID, () => false, alerts);
  await pass(70_000);
  assert.ok((driver.of(3)?.answeringForMs ?? 0) > 60_000);
  isDead = true;
  await pass(10_000);
  assert.equal([driver.of(3)?.power, driver.of(3)?.answeringForMs, driver.of(3)?.isReady], ["silent", 0, false]);
  assert.match(driver.of(3)?.reason ?? "", /no answer/);
  assert.equal(alerts, ["the BMC of host 3 cannot be used any more: no answer"]);
  isDead = false;
  await pass(10_000);
  assert.ok((driver.of(3)?.answeringForMs ?? 0) < 11_000);
  await driver.stop();
});

test("one lost answer is repeated at once and is no restart; two are", async () => {
  let lost = 0;
  const alerts: string[] = [];
  const answer = () => (lost-- > 0 ? Promise.reject(new Error("no answer")) : Promise.resolve(GOOD));
  const { driver, pass } = bed(answer, GUID, () => false, alerts);
  await pass(70_000);
  lost = 1;
  await pass(10_000);
  assert.ok((driver.of(3)?.answeringForMs ?? 0) > 70_000, `${driver.of(3)?.answeringForMs} ms`);
  assert.equal(alerts, []);
  lost = 2;
  await pass(10_000);
  assert.ok((driver.of(3)?.answeringForMs ?? 0) < 10_000, `${driver.of(3)?.answeringForMs} ms`);
  assert.is(alerts.length, 1);
  await driver.stop();
});

test("a host that is being powered off is not asked, and its BMC's minutes are not forgotten", async () => {
  let isBusy = false;
  const { driver, pass, checks } = bed(
    async () => GOOD,
    GUID,
    () => isBusy,
  );
  await pass(70_000);
  const before = checks();
  isBusy = true;
  await pass(10_000);
  assert.is((await driver.probe(3))?.power, "on", "what was read last");
  assert.is(checks(), before);
  assert.ok((driver.of(3)?.answeringForMs ?? 0) > 70_000);
  isBusy = false;
  await pass(10_000);
  assert.ok(checks() > before);
  assert.ok((driver.of(3)?.answeringForMs ?? 0) > 80_000);
  await driver.stop();
});

test("a BMC that is not the bound one, or not bound, is not ready", async () => {
  for (const [bound, about] of [
    ["0123456789abcdef0123456789abcdef", /bound is/],
    ["", /fence bind/],
  ] as const) {
    const { driver, pass } = bed(async () => GOOD, bound);
    await pass(6_000);
    assert.is(driver.of(3)?.isReady, false);
    assert.match(driver.of(3)?.reason ?? "", about);
    await driver.stop();
  }
});

test("no two boxes ever have their turn at one BMC at the same time", () => {
  for (let ms = 0; ms < 20 * CHECK_SPACING_MS; ms += 100)
    for (const hostId of [0, 1, 7]) {
      const boxes = [0, 1, 2].filter((box) => readinessTurn(ms, hostId, box, 3));
      assert.ok(boxes.length <= 1);
    }
});

test("boxes together: the longest memory counts, unless a box saw the BMC silent since", () => {
  const life = (answeringForMs: number, wasSilent = false) => ({ answeringForMs, wasSilent });
  assert.is(answeringTogether([]), 0);
  assert.is(answeringTogether([life(3_000), life(90_000)]), 90_000, "a restarted box leans on another one's memory");
  assert.is(
    answeringTogether([life(90_000), life(12_000, true)]),
    12_000,
    "the longer memory may have missed the silence",
  );
  assert.is(
    answeringTogether([life(90_000), life(0, true)]),
    90_000,
    "a box that it does not answer now may have lost its own cable",
  );
});

test("a silence that was seen is remembered after the BMC answers again; the first check of a box is no silence", async () => {
  let isDead = false;
  const { driver, pass } = bed(() => (isDead ? Promise.reject(new Error("no answer")) : Promise.resolve(GOOD)));
  await pass(10_000);
  assert.is(driver.of(3)?.wasSilent, false);
  isDead = true;
  await pass(20_000);
  isDead = false;
  await pass(20_000);
  assert.is(driver.of(3)?.wasSilent, true);
  await driver.stop();
});

test.run();
