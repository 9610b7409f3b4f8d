import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import { EventHeap } from "../../sim/event-heap.ts";
import { simulate } from "../../sim/simulation.ts";

const STEPS = 5000;

test("events happen in the order of their times, and equal times in the order of scheduling", () => {
  const heap = new EventHeap();
  const random = createPrng(1);
  for (let i = 0; i < 500; i++) heap.push(random.range(0, 50), "", () => undefined);
  let last = { at: -1, sequence: -1 };
  for (let event = heap.pop(); event !== undefined; event = heap.pop()) {
    assert.ok(event.at > last.at || (event.at === last.at && event.sequence > last.sequence));
    last = event;
  }
  assert.is(heap.size, 0);
});

test("a seed and a commit make a run: twice the same hash, another seed another one", () => {
  const first = simulate({ seed: 7, steps: STEPS });
  const second = simulate({ seed: 7, steps: STEPS });
  assert.is(first.failure, undefined);
  assert.equal([second.hash, second.steps], [first.hash, first.steps]);
  assert.is.not(simulate({ seed: 8, steps: STEPS }).hash, first.hash);
});

test("the storms do what they are there for: every kind of trouble happens", () => {
  const totals = new Map<string, number>();
  for (let seed = 1; seed <= 150; seed++) {
    const { counters, failure } = simulate({ seed, steps: STEPS });
    assert.is(failure, undefined);
    for (const [name, count] of counters) totals.set(name, (totals.get(name) ?? 0) + count);
  }
  const wanted = [
    "blackouts",
    "API hangs",
    "failed syncs",
    "holder paused",
    "holder paused inside a call",
    "kills",
    "log cut at a conflict",
    "membership changes applied",
    "one-way cuts",
    "outcome unknown, asked again",
    "partitions",
    "power cuts",
    "reads answered",
    "slow syncs",
    "state transactions lost",
    "timings changed",
    "token dead at its activation",
    "transfers",
    "unsynced writes lost",
    "unwritten writes lost",
  ];
  for (const name of wanted) assert.ok((totals.get(name) ?? 0) > 0, `never: ${name}`);
});

test.run();
