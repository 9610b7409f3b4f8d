import { test } from "uvu";
import * as assert from "uvu/assert";
import { INITIAL_BUTTON, isIdentifying, isWarning, step } from "../../../src/box/machine.ts";
import { Panel } from "../../../src/box/panel.ts";
import { type BoxState, isLit, LAMPS, type Lamp, lights } from "../../../src/box/policy.ts";

const WELL: BoxState = {
  ...{ isAnswering: true, isMember: true, leads: false, holdsVip: false, hasLeader: true, hasQuorum: true },
  wrong: 0,
};
const NOTHING = { isIdentifying: false, isWarning: false };

test("each state of a box has its lights", () => {
  const cases: readonly (readonly [string, Partial<BoxState>, string])[] = [
    ["a well follower", {}, "on on off off"],
    ["the holder of the VIP", { leads: true, holdsVip: true }, "on on on off"],
    ["a leader without the VIP yet", { leads: true }, "on on slow off"],
    ["something is wrong", { wrong: 1 }, "on slow off off"],
    ["no quorum", { wrong: 2, hasQuorum: false, hasLeader: false }, "on slow off slow"],
    ["no leader", { wrong: 1, hasLeader: false }, "on slow off slow"],
    ["its program is dead", { isAnswering: false, hasQuorum: false, hasLeader: false, wrong: 1 }, "on off off on"],
    ["it waits for a token", { isAnswering: false, isMember: false, hasQuorum: false, wrong: 1 }, "on slow off off"],
  ];
  for (const [what, state, expected] of cases) {
    const shown = lights({ ...WELL, ...state }, NOTHING);
    assert.is(LAMPS.map((lamp) => shown[lamp]).join(" "), expected, what);
  }
  assert.is(lights(WELL, { isIdentifying: false, isWarning: true }).fault, "fast");
  assert.equal(new Set(Object.values(lights(WELL, { isIdentifying: true, isWarning: false }))), new Set(["fast"]));
});

test("slow is once a second, fast four times, lamps of one light together", () => {
  const changes = (light: "slow" | "fast" | "on" | "off"): number => {
    let count = 0;
    for (let now = 1; now < 10_000; now++) if (isLit(light, now) !== isLit(light, now - 1)) count++;
    return count;
  };
  assert.equal([changes("slow"), changes("fast"), changes("on"), changes("off")], [19, 79, 0, 0]);
});

/** Presses and lets go; the effects, and the state after. */
function held(ms: number, from = INITIAL_BUTTON, at = 1000) {
  let state = step(from, { kind: "pressed" }, at).state;
  let effects = 0;
  for (let now = at; now <= at + ms; now += 50) {
    const next = step(state, { kind: "ticked" }, now);
    state = next.state;
    effects += next.effects.length;
  }
  return { state: step(state, { kind: "released" }, at + ms).state, effects };
}

test("a short press says which box it is for a minute, and another one ends it", () => {
  const { state, effects } = held(200);
  assert.is(effects, 0);
  assert.is(isIdentifying(state, 1300), true);
  assert.is(isIdentifying(state, 61_100), true);
  assert.is(isIdentifying(state, 61_201), false);
  assert.is(isIdentifying(held(200, state, 5000).state, 5300), false);
});

test("ten seconds ask for a factory reset, once; what is shorter warns and does nothing", () => {
  assert.is(held(9950).effects, 0);
  assert.is(isIdentifying(held(9950).state, 11_000), false);
  const long = held(30_000);
  assert.is(long.effects, 1);
  assert.is(isIdentifying(long.state, 31_100), false);
  const pressed = step(INITIAL_BUTTON, { kind: "pressed" }, 0).state;
  assert.equal([isWarning(pressed, 2999), isWarning(pressed, 3000)], [false, true]);
});

test("chatter and a button that was held before we looked do nothing", () => {
  assert.is(isIdentifying(held(10).state, 1100), false);
  const { state, effects } = step(INITIAL_BUTTON, { kind: "released" }, 20_000);
  assert.is(effects.length, 0);
  assert.is(isIdentifying(state, 20_001), false);
});

function panelOf(look: () => Promise<BoxState>) {
  let now = 0;
  const lit = new Map<Lamp, boolean>();
  const calls: string[] = [];
  const lampOf = (lamp: Lamp) => ({
    set: (isOn: boolean) => {
      lit.set(lamp, isOn);
      calls.push(lamp);
    },
  });
  let resets = 0;
  const panel = new Panel({
    ...{ now: () => now, look },
    lamps: { power: lampOf("power"), health: lampOf("health"), fault: lampOf("fault") },
    askReset: () => resets++,
  });
  const pass = async (ms: number): Promise<void> => {
    for (const end = now + ms; now < end; now += 50) {
      panel.tick();
      await Promise.resolve();
      await Promise.resolve();
    }
  };
  return { panel, lit, calls, pass, resets: () => resets };
}

test("the lamps follow the box; a lamp that stays as it is is not written", async () => {
  let state = WELL;
  const bed = panelOf(async () => state);
  await bed.pass(3000);
  assert.equal(Object.fromEntries(bed.lit), { power: true, health: true, fault: false });
  bed.calls.length = 0;
  await bed.pass(3000);
  assert.equal(bed.calls, []);
  state = { ...WELL, isAnswering: false };
  await bed.pass(3000);
  assert.equal(Object.fromEntries(bed.lit), { power: true, health: false, fault: true });
});

test("a look that fails is a fault; one that takes its time is waited for alone, and the lamps go on", async () => {
  const failing = panelOf(() => Promise.reject(new Error("no")));
  await failing.pass(3000);
  assert.is(failing.lit.get("fault"), true);
  let looks = 0;
  const slow = panelOf(() => {
    looks++;
    return new Promise(() => undefined);
  });
  await slow.pass(1000);
  slow.calls.length = 0;
  slow.panel.pressed(true);
  await slow.pass(300);
  slow.panel.pressed(false);
  await slow.pass(3000);
  assert.is(looks, 1);
  assert.ok(slow.calls.length > 30, "it blinks");
});

test("a short press is one also when it is heard of after it is over", async () => {
  const bed = panelOf(async () => WELL);
  await bed.pass(3000);
  bed.calls.length = 0;
  bed.panel.pressed(true, 900);
  bed.panel.pressed(false, 800);
  await bed.pass(3000);
  assert.ok(bed.calls.length > 30, "it blinks");
});

test("the button held for ten seconds asks once", async () => {
  const bed = panelOf(async () => WELL);
  bed.panel.pressed(true);
  await bed.pass(20_000);
  assert.is(bed.resets(), 1);
});

test.run();
