/** How long is too long, in ms, and how often is too often. Tests hand in shorter ones. */
export interface WatchdogLimits {
  /** A check-in of the work thread, or the core thread's age in it, that is later than this is a hang. */
  readonly lateMs: number;
  /** From a start to the first check-in: the runtime loads, reads its configuration and opens its log. */
  readonly firstCheckInMs: number;
  /** A start whose check-ins were timely for this long was a good one: restarts help. */
  readonly goodMs: number;
  /** Wait before the first restart; it doubles with each failure in a row … */
  readonly backOffMs: number;
  /** … up to this. */
  readonly backOffMaxMs: number;
  /** Restarts do not help when so many failures in a row … */
  readonly helplessFailures: number;
  /** … have lasted this long since the first of them. */
  readonly helplessMs: number;
  /** A main that is good after each restart and hangs again: so many hangs … */
  readonly relapsesMax: number;
  /** … within this time are borne; one more is not. */
  readonly relapseMs: number;
  /** A killed main whose processes are still there after this sits in the kernel: only a reset ends it. */
  readonly unkillableMs: number;
  /** From SIGTERM to SIGKILL in an orderly stop. */
  readonly stopMs: number;
  /** Two decisions further apart than this: this process stood still, and the silence it saw may be its own. */
  readonly ownGapMs: number;
}

/**
 * A hung main is found in 5 s and runs again within 15 s. A main that hangs at each start is given up after
 * 5 + 3 × 30 s and one that ends at each start after 60 s; with a device of 30 s the box is reset within 3 minutes.
 */
export const DEFAULT_LIMITS: WatchdogLimits = {
  // Ten check-ins; the kernel has taken the VIP away long before (the leader lease).
  lateMs: 5000,
  // Measured 0.4 s on an idle machine; a cold USB stick and a busy processor take 20 times as long.
  firstCheckInMs: 30_000,
  // Longer than lateMs, so that a hang right after the first check-in is not a good start.
  goodMs: 10_000,
  backOffMs: 200,
  backOffMaxMs: 5000,
  // Three, so that one unlucky start is no verdict; 60 s, so that a network or disk that comes late is waited for.
  helplessFailures: 3,
  helplessMs: 60_000,
  relapsesMax: 3,
  relapseMs: 600_000,
  unkillableMs: 10_000,
  stopMs: 5000,
  ownGapMs: 1000,
};
