/**
 * States that seldom come up by themselves and in which the mistakes of others lay. Each is counted where it is seen; a
 * long run (`--hours`) fails when one was never met, because then the checks around it were never put to the test.
 */
export const CORE_RARE: readonly string[] = [
  "acknowledgement of an older term arrives",
  "API hangs",
  "blackouts",
  "candidate yields in its own term",
  "crash inside an installation",
  "failed syncs",
  "figure 8: an old-term entry lies on a quorum",
  "figure 8: it was cut all the same",
  "heartbeat before log repair",
  "holder paused",
  "holder paused inside a call",
  "joint membership in force",
  "late append, the log is longer already",
  "leader removed itself",
  "leader steps down by itself",
  "leaders struck when elected",
  "leaders that hand on at a stop",
  "learner became a voter",
  "lease expired in a pause",
  "log cut at a conflict",
  "log purged",
  "received snapshot thrown away",
  "restart within a promise",
  "slow syncs",
  "snapshot gone on with after a restart",
  "snapshot over a conflicting suffix",
  "snapshots installed",
  "state transactions lost",
  "TimeoutNow of an older term arrives",
  "timings changed",
  "token dead at its activation",
  "unknown outcome found committed",
  "unsynced writes lost",
  "unwritten writes lost",
  "vote grant lost and repeated",
  "vote of an older term arrives",
  "vote refused within a promise",
];

/** The same for fencing and recovery. */
export const FENCING_RARE: readonly string[] = [
  "bmc glitch",
  "fence.confirm",
  "fence.held",
  "fence.recovering",
  "leader lost: crash",
  "leader lost: cut-off",
  "leader lost: freeze",
  "off dropped by the kernel",
  "rejected fence.intent",
  "rejected vmha.resubmit",
  "vm.boot-failed",
  "vmha.hold",
];

/** And for the log on its disk. */
export const LOG_RARE: readonly string[] = [
  "a failure was answered",
  "damage reported",
  "full disk freed",
  "power lost between a rename and its directory's sync",
  "reads refused",
  "torn tails cut",
];

/** And for the state on real SQLite. */
export const STATE_RARE: readonly string[] = ["kills", "local errors", "power cuts", "rejected outcomes"];
