import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import { openLog } from "../../../src/store/log/log.ts";
import { FakeDisk } from "../../support/fake-disk.ts";
import { contentOf, LogModel, logOptions, logWorkload, recoverAndCheck, runLog } from "../../support/log-workload.ts";

test("whatever step the power goes at, what was acknowledged is there and nothing else", async () => {
  for (let seed = 1; seed <= 16; seed++) {
    const appends = logWorkload(createPrng(seed), 60);
    const whole = new FakeDisk();
    await runLog(whole, appends, new LogModel(), createPrng(seed));
    assert.ok(whole.steps > 80, `the workload has ${whole.steps} steps`);
    for (let step = 0; step < whole.steps; step++) {
      const disk = new FakeDisk();
      disk.powerLostAt = step;
      const model = new LogModel();
      const acknowledged = await runLog(disk, appends, model, createPrng(seed));
      const prng = createPrng(seed * 1000 + step);
      disk.crash(prng);
      await recoverAndCheck(disk, model, acknowledged, prng, `seed ${seed} step ${step}`);
    }
  }
});

test("a second power cut during the recovery loses nothing more", async () => {
  const appends = logWorkload(createPrng(7), 30);
  const whole = new FakeDisk();
  await runLog(whole, appends, new LogModel(), createPrng(7));
  for (let step = 5; step < whole.steps; step += 3) {
    for (let second = 0; second < 6; second++) {
      const disk = new FakeDisk();
      disk.powerLostAt = step;
      const model = new LogModel();
      const acknowledged = await runLog(disk, appends, model, createPrng(7));
      const prng = createPrng(step * 100 + second);
      disk.crash(prng);
      disk.powerLostAt = disk.steps + second;
      await openLog("", logOptions(disk, prng)).catch(() => undefined);
      disk.crash(prng);
      await recoverAndCheck(disk, model, acknowledged, prng, `step ${step}, then ${second}`);
    }
  }
});

test("what a killed process left unsynced is made durable before anything is built on it", async () => {
  const appends = logWorkload(createPrng(5), 30);
  const whole = new FakeDisk();
  await runLog(whole, appends, new LogModel(), createPrng(5));
  for (let step = 5; step < whole.steps; step += 2) {
    for (let second = 0; second < 6; second++) {
      const disk = new FakeDisk();
      disk.powerLostAt = step;
      const model = new LogModel();
      const acknowledged = await runLog(disk, appends, model, createPrng(5));
      const prng = createPrng(step * 100 + second);
      disk.restartProcess();
      disk.powerLostAt = disk.steps + second;
      await openLog("", logOptions(disk, prng)).catch(() => undefined);
      disk.crash(prng);
      await recoverAndCheck(disk, model, acknowledged, prng, `step ${step}, then ${second}`);
    }
  }
});

test("a process that is killed without a power cut loses nothing that was written", async () => {
  const appends = logWorkload(createPrng(11), 60);
  const disk = new FakeDisk();
  const model = new LogModel();
  await runLog(disk, appends, model, createPrng(11));
  const { log, recovered } = await openLog("", logOptions(disk, createPrng(12)));
  assert.ok(model.allows(contentOf(log, recovered), model.states.length - 1));
  assert.ok(log.firstIndex() > 1, "the workload purges");
});

test.run();
