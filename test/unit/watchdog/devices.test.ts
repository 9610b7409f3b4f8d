// time-limit: 120 s
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { startDiskProbe } from "../../../src/parts/disk-probe.ts";
import { together, WatchdogDevices } from "../../../src/parts/watchdog-devices.ts";
import type { WatchdogDevice } from "../../../src/watchdog/ports.ts";

test("an external watchdog has its line toggled by each pet, and is let go of by closing", () => {
  const levels: (boolean | string)[] = [];
  const devices = new WatchdogDevices({
    ...{ device: undefined, timeoutMs: 20_000, petterFile: undefined, now: () => 0, log: () => undefined },
    gpio: { chip: "gpiochip0", line: "dog", timeoutSeconds: 2 },
    openChip: (path) => ({
      output: (line) => ({
        set: (level) => {
          levels.push(level);
        },
        close: () => {
          levels.push(`${path} ${line}`);
        },
      }),
      input: () => {
        throw new Error("it reads nothing");
      },
      close: () => undefined,
    }),
  });
  assert.is(devices.current?.timeoutMs, 2000);
  for (let count = 0; count < 3; count++) devices.current?.pet();
  devices.current?.close(true);
  assert.equal(levels, [true, false, true, "/dev/gpiochip0 dog"]);
});

test("of two devices each is petted and closed though the other fails; the box is reset when both had their time", () => {
  const petted: string[] = [];
  const device = (name: string, timeoutMs: number, isBroken: boolean): WatchdogDevice => ({
    ...{ name, timeoutMs, isCardReset: undefined },
    pet: () => {
      petted.push(name);
      if (isBroken) throw new Error("gone");
    },
    close: () => petted.push(`${name} closed`),
  });
  const both = together([device("a", 20_000, true), device("b", 2000, false)]);
  assert.is(both?.timeoutMs, 20_000);
  assert.is(both?.petWithinMs, 2000);
  assert.throws(() => both?.pet(), /gone/);
  both?.close(false);
  assert.equal(petted, ["a", "b", "a closed", "b closed"]);
  assert.is(together([]), undefined);
});

test("a process that the petter's file names by mistake is left alone", () => {
  const directory = mkdtempSync(join(tmpdir(), "petter-"));
  const child = Bun.spawn(["sleep", "60"]);
  try {
    writeFileSync(`${directory}/pid`, `${child.pid}\n`);
    const said: string[] = [];
    new WatchdogDevices({
      ...{ device: undefined, timeoutMs: 20_000, gpio: undefined, now: () => 0 },
      ...{ petterFile: `${directory}/pid`, log: (text: string) => said.push(text) },
    });
    assert.match(said.join("\n"), /no watchdog device is configured/);
    assert.is(child.killed, false);
    process.kill(child.pid, 0);
  } finally {
    child.kill("SIGKILL");
    rmSync(directory, { recursive: true });
  }
});

test("the disk probe gives back what the disk took, each time the newest; without a supervisor the disk is left alone", async () => {
  const directory = mkdtempSync(join(tmpdir(), "probe-"));
  let token = 0;
  const returned: number[] = [];
  const probe = startDiskProbe({
    ...{ path: `${directory}/probe`, token: () => token, intervalMs: 20, log: (text) => assert.unreachable(text) },
    returned: (one) => returned.push(one),
  });
  await Bun.sleep(200);
  assert.equal(returned, []);
  for (token = 7; token < 10; token++)
    for (const until = performance.now() + 30_000; returned.at(-1) !== token; await Bun.sleep(10))
      assert.ok(performance.now() < until, `token ${token} did not come back`);
  probe.stop();
  await Bun.sleep(50);
  rmSync(directory, { recursive: true });
});

test("a disk that takes nothing gives nothing back, and says why once", async () => {
  const said: string[] = [];
  const probe = startDiskProbe({
    ...{ path: "/nowhere/at/all/probe", token: () => 5, intervalMs: 20, log: (text) => said.push(text) },
    returned: () => assert.unreachable(),
  });
  for (const until = performance.now() + 30_000; said.length === 0; await Bun.sleep(10))
    assert.ok(performance.now() < until);
  await Bun.sleep(200);
  probe.stop();
  assert.is(said.length, 1);
});

test.run();
