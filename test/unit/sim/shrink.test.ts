import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseRanges, rangesOf, shrink } from "../../sim/shrink.ts";
import { simulate } from "../../sim/simulation.ts";
import type { RunSettings } from "../../sim/world.ts";

/** The first seed that fails with a planted mistake, and enough going on around it. */
function failing(mutant: "lease-counted-from-the-answer" | "no-restart-quarantine"): RunSettings {
  for (let seed = 1; seed <= 3000; seed++) {
    const settings = { seed, steps: 5000, mutants: new Set([mutant]) };
    const { failure, decisions, faults } = simulate(settings);
    if (failure !== undefined && decisions > 5 && faults.length > 5) return settings;
  }
  throw new Error("no seed fails");
}

test("a failing run is made small and breaks the same promise when it is replayed", () => {
  for (const mutant of ["lease-counted-from-the-answer", "no-restart-quarantine"] as const) {
    const settings = failing(mutant);
    const before = simulate(settings);
    const shrunk = shrink(settings);
    assert.ok(shrunk !== undefined);
    const again = simulate(shrunk.settings);
    const promise = before.failure?.message.split(":")[0];
    assert.is(again.failure?.message, shrunk.result.failure?.message);
    assert.is(again.failure?.message.split(":")[0], promise);
    assert.ok(shrunk.faults.length < before.faults.length, `${shrunk.faults} of ${before.faults}`);
    assert.ok(shrunk.decisions < before.decisions, `${shrunk.decisions} of ${before.decisions}`);
    // Nothing of what is left can go: without any one of the fault classes the promise holds or another one breaks.
    for (const without of shrunk.faults) {
      const onlyFaults = new Set(shrunk.faults.filter((name) => name !== without));
      const { failure } = simulate({ ...settings, steps: shrunk.settings.steps, onlyFaults });
      if (failure?.message.split(":")[0] !== promise) return;
    }
    assert.unreachable("no fault class was needed");
  }
});

test("a run that does not fail is not shrunk", () => {
  assert.is(shrink({ seed: 1, steps: 500 }), undefined);
});

test("ranges of numbers are written as people write them, and read back", () => {
  const numbers = new Set([3, 7, 8, 9, 11]);
  assert.is(rangesOf(numbers), "3,7-9,11");
  assert.equal(parseRanges("3,7-9,11"), numbers);
  assert.equal(parseRanges(""), new Set());
  assert.is(parseRanges("3;4"), undefined);
});

test.run();
