import { DEFAULT_LIMITS, type WatchdogLimits } from "../../../src/watchdog/limits.ts";

/** Limits under which a story takes seconds. */
export const SHORT_LIMITS: WatchdogLimits = {
  ...DEFAULT_LIMITS,
  lateMs: 1500,
  firstCheckInMs: 4000,
  helplessFailures: 2,
  helplessMs: 1000,
  stopMs: 1500,
};
