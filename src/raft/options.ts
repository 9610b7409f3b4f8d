import { assert } from "../base/assert.ts";
import type { Options, OptionsInput, Timings } from "./types.ts";

/** The default profile: what a switch with a hiccup and a loaded two-core box live with. */
export const DEFAULT_TIMINGS: Timings = {
  electionTimeoutMs: [650, 1000],
  heartbeatMs: 100,
  promiseMs: 600,
  retryMs: [20, 150],
};

/** The fast profile: boxes on one quiet switch. */
export const FAST_TIMINGS: Timings = {
  electionTimeoutMs: [165, 300],
  heartbeatMs: 20,
  promiseMs: 150,
  retryMs: [5, 40],
};

/** No leader asks for a longer promise, and no voter gives one: a damaged number must not silence a box for a day. */
export const PROMISE_MS_MAX = 60_000;

export const DEFAULT_OPTIONS: Options = {
  timings: DEFAULT_TIMINGS,
  preVote: true,
  checkQuorum: true,
  maxSizePerMessage: 1024 * 1024,
  maxInflight: 64,
  maxInflightBytes: 8 * 1024 * 1024,
  maxUncommittedBytes: 16 * 1024 * 1024,
  maxApplyingBytes: 4 * 1024 * 1024,
  stepDownOnRemoval: true,
  disableConfChangeValidation: false,
};

/**
 * Timings for a driver that counts ticks instead of milliseconds: `now` is then the tick's number, and E (`promiseTicks`,
 * 0 turns leases off) one tick less than an election.
 */
export function tickTimings(electionTicks: number, heartbeatTicks: number, promiseTicks = electionTicks - 1): Timings {
  return {
    electionTimeoutMs: [electionTicks, 2 * electionTicks - 1],
    heartbeatMs: heartbeatTicks,
    promiseMs: promiseTicks,
    retryMs: [1, Math.max(1, heartbeatTicks)],
  };
}

/** Options with the defaults filled in. Timings that prove nothing are a programmer's error: config/ has refused them. */
export function completeOptions(input: OptionsInput = {}): Options {
  const { electionTick, heartbeatTick, promiseTick, ...options } = input;
  const complete = { ...DEFAULT_OPTIONS, ...options };
  assert(electionTick === undefined || input.timings === undefined, "options: either timings or electionTick");
  const isTicking = electionTick !== undefined;
  assert(isTicking || (heartbeatTick ?? promiseTick) === undefined, "options: ticks need an electionTick");
  if (isTicking) complete.timings = tickTimings(electionTick, heartbeatTick ?? 1, promiseTick);
  assertTimings(complete.timings);
  assertLimits(complete);
  return complete;
}

/** With less than this the core would wait for ever for what it never sends. */
function assertLimits(options: Options): void {
  for (const name of ["maxInflight", "maxInflightBytes", "maxUncommittedBytes", "maxApplyingBytes"] as const) {
    assert(options[name] >= 1, `options: ${name} ${options[name]} is below 1`);
  }
  assert(options.maxSizePerMessage >= 0, `options: maxSizePerMessage ${options.maxSizePerMessage} is below 0`);
}

/** E below the least election time-out, and heartbeats well inside E. */
export function assertTimings(timings: Timings): void {
  const [least, largest] = timings.electionTimeoutMs;
  assert(least > 0 && largest >= least, `election time-out ${least} … ${largest} ms is not a range`);
  assert(timings.heartbeatMs > 0 && timings.heartbeatMs < least, `heartbeat ${timings.heartbeatMs} ms is too slow`);
  assert(
    timings.promiseMs >= 0 && timings.promiseMs < least,
    `promise ${timings.promiseMs} ms is not below ${least} ms`,
  );
  assert(timings.promiseMs <= PROMISE_MS_MAX, `promise ${timings.promiseMs} ms is over ${PROMISE_MS_MAX} ms`);
  assert(timings.retryMs[0] > 0 && timings.retryMs[1] >= timings.retryMs[0], "retry is not a range");
}
