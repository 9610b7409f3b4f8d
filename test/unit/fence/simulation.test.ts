import { test } from "uvu";
import * as assert from "uvu/assert";
import { FENCING_MUTANTS, runSeed } from "../../sim/fencing.ts";

/** The nightly run takes thousands; these keep every change honest within seconds. */
const SEEDS = 15;

test("leaders that die anywhere, BMCs that lie, hosts that come back: no promise is broken", async () => {
  const met: Record<string, number> = {};
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = await runSeed(seed);
    assert.ok(run.ok, `seed ${seed}: ${run.violation ?? ""}`);
    for (const [what, count] of Object.entries(run.counters)) met[what] = (met[what] ?? 0) + count;
  }
  for (const rare of [
    "fence.off-proven",
    "vmha.resubmit",
    "vmha.restart",
    "fence.held",
    "fence.failed",
    "fence.confirm",
    "leader lost: crash",
    "leader lost: freeze",
    "leader lost: cut-off",
    "off dropped by the kernel",
    "bmc glitch",
  ])
    assert.ok((met[rare] ?? 0) > 0, `no run met "${rare}"`);
});

test("the same seed gives the same run", async () => {
  assert.equal(await runSeed(7), await runSeed(7));
});

for (const mutant of FENCING_MUTANTS) {
  test(`the planted mistake "${mutant}" is caught`, async () => {
    let caught: string | undefined;
    for (let seed = 1; seed <= 60 && caught === undefined; seed++) {
      caught = (await runSeed(seed, new Set([mutant]))).violation;
    }
    assert.type(caught, "string", `${mutant} went unseen`);
  });
}

test.run();
