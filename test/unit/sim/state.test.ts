import { test } from "uvu";
import * as assert from "uvu/assert";
import { STATE_RARE } from "../../sim/rare.ts";
import { runStateSeed } from "../../sim/state.ts";

test("three boxes apply one log on real SQLite over kills, power cuts and errors of their own, and agree", async () => {
  const totals = new Map<string, number>();
  for (let seed = 1; seed <= 8; seed++) {
    const { failure, counters } = await runStateSeed(seed);
    assert.is(failure, undefined, `seed ${seed}`);
    for (const [name, count] of counters) totals.set(name, (totals.get(name) ?? 0) + count);
  }
  for (const name of STATE_RARE) assert.ok((totals.get(name) ?? 0) > 0, `never: ${name}`);
});

test("a seed is a log: twice the same state at its end, wherever the boxes failed", async () => {
  const [first, second] = [await runStateSeed(3), await runStateSeed(3)];
  assert.equal([first.hash, first.failure], [second.hash, second.failure]);
  assert.ok(first.hash.length > 0);
});

test.run();
