import { test } from "uvu";
import * as assert from "uvu/assert";
import { runLogSeed } from "../../sim/log.ts";
import { LOG_RARE } from "../../sim/rare.ts";

test("every disaster happens to the log, and what was acknowledged survives each", async () => {
  const totals = new Map<string, number>();
  for (let seed = 1; seed <= 400; seed++) {
    const { failure, counters } = await runLogSeed(seed);
    assert.is(failure, undefined, `seed ${seed}`);
    for (const [name, count] of counters) totals.set(name, (totals.get(name) ?? 0) + count);
  }
  for (const name of LOG_RARE) assert.ok((totals.get(name) ?? 0) > 0, `never: ${name}`);
});

test("a seed is a run: twice the same", async () => {
  const [first, second] = [await runLogSeed(12), await runLogSeed(12)];
  assert.equal([first.hash, first.failure], [second.hash, second.failure]);
});

test.run();
