import { DEFAULT_LIMITS, type WatchdogLimits } from "../../../src/watchdog/limits.ts";

/** Limits under which a story takes seconds. */
export const SHORT_LIMITS: WatchdogLimits = {
  ...DEFAULT_LIMITS,
  clientMs: { work: 2500, raft: 3000, apply: 3000, disk: 3000, api: 3000 },
  handshakeMs: 4000,
  helplessFailures: 2,
  helplessMs: 1000,
  stopMs: 1500,
};
