// time-limit: 120 s
import { spawnSync } from "node:child_process";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isAlive, program, TIMEOUT_MS, withBed } from "../../support/watchdog/bed.ts";

test("a killed supervisor takes main with it, and the next one says so", () =>
  withBed("check-in", async (bed) => {
    const supervisor = bed.start();
    const main = await bed.running();
    supervisor.kill("SIGKILL");
    await bed.until("main is dead", () => !isAlive(main));
    assert.not.ok(bed.isDisarmed);
    bed.start();
    await bed.running(2);
    assert.match(bed.log, /ended without a word and was started again in this boot/);
  }));

test("a second supervisor refuses to start and touches nothing", () =>
  withBed("check-in", async (bed) => {
    const first = bed.start();
    const main = await bed.running();
    const second = spawnSync(process.execPath, [program, bed.directory], { encoding: "utf8" });
    assert.is.not(second.status, 0);
    assert.match(second.stderr, /another supervisor/);
    assert.ok(isAlive(main) && first.exitCode === null);
  }));

test("SIGTERM stops main, disarms the dog and leaves the word of a controlled stop", () =>
  withBed("check-in", async (bed) => {
    const supervisor = bed.start();
    const main = await bed.running();
    assert.is(bed.reason?.reason, "presumed-watchdog", "written before it can happen");
    supervisor.kill("SIGTERM");
    await bed.until("the supervisor has ended", () => supervisor.exitCode !== null);
    assert.is(supervisor.exitCode, 0);
    assert.equal(bed.lines("terminated"), [`${main}`]);
    assert.not.ok(isAlive(main));
    await bed.until("the magic byte is read", () => bed.isDisarmed);
    assert.is(bed.reason?.reason, "controlled-stop");
  }));

test("a main that ignores SIGTERM is killed at the deadline, with petting until then", () =>
  withBed("ignore-term", async (bed) => {
    const supervisor = bed.start();
    const main = await bed.running();
    const since = performance.now();
    supervisor.kill("SIGTERM");
    await bed.until("the supervisor has ended", () => supervisor.exitCode !== null);
    const tookMs = performance.now() - since;
    assert.ok(tookMs >= 1500 && tookMs < 4000, `${tookMs} ms`);
    assert.ok(bed.longestGapSince(since) < TIMEOUT_MS);
    assert.not.ok(isAlive(main));
  }));

test("a device that is not there does not keep main from running", () =>
  withBed("check-in", async (bed) => {
    bed.start({ device: `${bed.directory}/nowhere` });
    await bed.running();
    assert.match(bed.log, /Cannot find the watchdog/);
  }));

test.run();
