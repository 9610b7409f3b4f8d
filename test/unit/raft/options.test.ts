import { test } from "uvu";
import * as assert from "uvu/assert";
import { completeOptions, DEFAULT_OPTIONS, DEFAULT_TIMINGS, tickTimings } from "../../../src/raft/options.ts";
import { TestBox } from "../../support/raft/group.ts";

test("timings that prove nothing are refused", () => {
  const refuse = (timings: Partial<typeof DEFAULT_TIMINGS>, why: RegExp): void =>
    assert.throws(() => completeOptions({ timings: { ...DEFAULT_TIMINGS, ...timings } }), why);
  refuse({ electionTimeoutMs: [0, 10] }, /not a range/);
  refuse({ electionTimeoutMs: [700, 690] }, /not a range/);
  refuse({ heartbeatMs: 0 }, /too slow/);
  refuse({ heartbeatMs: 650 }, /too slow/);
  refuse({ promiseMs: 650 }, /not below/);
  refuse({ promiseMs: -1 }, /not below/);
  refuse({ electionTimeoutMs: [70_000, 70_000], promiseMs: 60_001 }, /is over/);
  refuse({ retryMs: [0, 1] }, /retry/);
  refuse({ retryMs: [3, 2] }, /retry/);
  completeOptions({ timings: { electionTimeoutMs: [10, 10], heartbeatMs: 9, promiseMs: 9, retryMs: [1, 1] } });
  completeOptions({ timings: { electionTimeoutMs: [1, 1], heartbeatMs: 0.5, promiseMs: 0.5, retryMs: [1, 1] } });
  completeOptions({
    timings: { electionTimeoutMs: [60_001, 70_000], heartbeatMs: 9, promiseMs: 60_000, retryMs: [1, 1] },
  });
});

test("limits below one are refused: nothing would ever be sent", () => {
  for (const name of ["maxInflight", "maxInflightBytes", "maxUncommittedBytes", "maxApplyingBytes"] as const) {
    assert.throws(() => completeOptions({ [name]: 0 }), new RegExp(name));
    completeOptions({ [name]: 1 });
  }
  assert.throws(() => completeOptions({ maxSizePerMessage: -1 }), /maxSizePerMessage/);
  completeOptions({ maxSizePerMessage: 0 });
});

test("ticks stand for a whole set of timings, E included", () => {
  assert.equal(completeOptions(undefined), DEFAULT_OPTIONS);
  assert.equal(completeOptions({ electionTick: 10, heartbeatTick: 2 }).timings, tickTimings(10, 2));
  assert.equal(tickTimings(10, 2), {
    electionTimeoutMs: [10, 19],
    heartbeatMs: 2,
    promiseMs: 9,
    retryMs: [1, 2],
  });
  assert.is(completeOptions({ electionTick: 10, promiseTick: 0 }).timings.promiseMs, 0);
  assert.is(completeOptions({ electionTick: 10 }).timings.heartbeatMs, 1);
  assert.throws(() => completeOptions({ electionTick: 10, timings: DEFAULT_TIMINGS }), /either/);
  assert.throws(() => completeOptions({ heartbeatTick: 1 }), /electionTick/);
  assert.not("electionTick" in completeOptions({ electionTick: 10 }));
});

test("the random source decides where in its range a time-out lies", () => {
  const standsAt = (fraction: number): number => {
    const options = { electionTick: 10, heartbeatTick: 1, preVote: false };
    const box = new TestBox(1, [1, 2, 3], { options, random: { fraction: () => fraction } });
    for (let tick = 0; tick < 40; tick++) {
      box.node.tick(tick);
      box.flush(tick);
      if (box.node.status().role === "candidate") return tick;
    }
    return -1;
  };
  assert.equal([0, 0.5, 0.999].map(standsAt), [10, 15, 19]);
});

test.run();
