import { test } from "uvu";
import * as assert from "uvu/assert";
import { runStretch } from "../../sim/pool.ts";
import type { Stretch } from "../../sim/suite.ts";

const STRETCH: Stretch = {
  suite: "core",
  from: 1,
  seeds: 6,
  steps: 1000,
  mutants: [],
  secondsMax: 1000,
  stopsAtFailure: false,
};

test("a stretch of seeds counts the same in two processes", async () => {
  const [first, second] = await Promise.all([runStretch(STRETCH), runStretch(STRETCH)]);
  assert.equal([first.seeds, first.failures], [6, []]);
  assert.ok(first.steps > 6000);
  assert.equal([...first.counters], [...second.counters]);
});

test("a failing seed is told with the promise that it breaks, and the stretch ends there when that is asked for", async () => {
  const stretch = { ...STRETCH, mutants: ["log-answers-before-the-sync"], seeds: 40, stopsAtFailure: true };
  const { failures, seeds } = await runStretch(stretch);
  assert.is(failures.length, 1);
  assert.is(failures[0]?.seed, seeds);
  assert.match(failures[0]?.why ?? "", /^nothing promised before it is durable/);
});

test("a process that dies is the failure of the seed that it was at", async () => {
  const { failures } = await runStretch({ ...STRETCH, suite: "nonsense" });
  assert.is(failures.length, 1);
  assert.match(failures[0]?.why ?? "", /no component "nonsense"/);
});

test("no seed is begun after the time is over", async () => {
  const { seeds } = await runStretch({ ...STRETCH, seeds: 1_000_000, secondsMax: 0.2 });
  assert.ok(seeds > 0 && seeds < 5000, `${seeds} seeds`);
});

test.run();
