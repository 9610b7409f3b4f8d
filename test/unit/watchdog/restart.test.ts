// time-limit: 120 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isAlive, isCgroupWritable, TIMEOUT_MS, withBed } from "../../support/watchdog/bed.ts";
import { SHORT_LIMITS } from "../../support/watchdog/short-limits.ts";

test("a killed main runs again within a second, and petting goes on", () =>
  withBed("check-in", async (bed) => {
    bed.start();
    const first = await bed.running();
    const since = performance.now();
    const killedAt = performance.timeOrigin + since;
    process.kill(first, "SIGKILL");
    await bed.running(2);
    const second = bed.starts[1];
    assert.ok(second !== undefined && second.pid !== first);
    assert.ok(second.at - killedAt < 1000, `started after ${second.at - killedAt} ms`);
    assert.ok(bed.longestGapSince(since) < TIMEOUT_MS, `a gap of ${bed.longestGapSince(since)} ms`);
    assert.match(bed.log, /signal SIGKILL/);
  }));

test("a stopped main is killed and started again, and what its threads did is in the log", () =>
  withBed("check-in", async (bed) => {
    bed.start();
    const first = await bed.running();
    const since = performance.now();
    process.kill(first, "SIGSTOP");
    await bed.running(2);
    assert.not.ok(isAlive(first));
    assert.match(bed.log, /main hangs: the work thread is silent for .*last check-ins .*thread \d+ \S+: T in /s);
    assert.ok(bed.longestGapSince(since) < TIMEOUT_MS);
  }));

test("a main that hangs after each restart starves the dog, and the reason is on the disk before", () =>
  withBed("hang", async (bed) => {
    bed.start({ limits: { ...SHORT_LIMITS, handshakeMs: 800 } });
    await bed.until("the reset is decided", () => /restarts do not help/.test(bed.log));
    await bed.until("the hardware's time is over", () => performance.now() - (bed.pets.at(-1) ?? 0) > 2 * TIMEOUT_MS);
    assert.ok(bed.pets.length > 3);
    assert.is(bed.reason?.reason, "presumed-watchdog");
    assert.match(bed.reason?.detail ?? "", /2 starts of main in a row came to nothing/);
    assert.is(bed.starts.filter(({ pid }) => isAlive(pid)).length, 0);
  }));

test("a main that needs a person is no reason for a reset", () =>
  withBed("need-person", async (bed) => {
    bed.start({ limits: { ...SHORT_LIMITS, backOffMaxMs: 100 } });
    await bed.until("it was tried often", () => bed.starts.length > 8);
    const since = performance.now();
    await bed.until("and longer than a hang is borne", () => performance.now() - since > 2 * TIMEOUT_MS);
    assert.ok(bed.longestGapSince(since) < TIMEOUT_MS);
    bed.behave("check-in");
    await bed.running();
  }));

if (isCgroupWritable) {
  test("what a killed main leaves behind is gone before the next one starts", () =>
    withBed("leave-child", async (bed) => {
      bed.start();
      const first = await bed.running();
      const child = Number(bed.lines("children")[0]);
      assert.ok(isAlive(child));
      bed.behave("check-in");
      process.kill(first, "SIGKILL");
      await bed.running(2);
      assert.not.ok(isAlive(child));
    }));

  test("so is what the main of an earlier, killed supervisor left behind", () =>
    withBed("leave-child", async (bed) => {
      const cgroup = `test-left-${process.pid}`;
      const supervisor = bed.start({ cgroup });
      await bed.running();
      const child = Number(bed.lines("children").at(-1));
      supervisor.kill("SIGKILL");
      await bed.until("the supervisor is dead", () => supervisor.signalCode !== null);
      assert.ok(isAlive(child));
      bed.behave("check-in");
      // A loaded machine may have seen the first supervisor start its main twice: only what comes now counts.
      const before = bed.checkIns;
      bed.start({ cgroup });
      await bed.running(before + 1);
      assert.not.ok(isAlive(child));
    }));
}

test.run();
