import type { Client } from "./clients.ts";

/** How long is too long, in ms, and how often is too often. Tests hand in shorter ones. */
export interface WatchdogLimits {
  /** A client whose newest returned acknowledgement is older than this hangs. */
  readonly clientMs: Readonly<Record<Client, number>>;
  /**
   * The start handshake: from a start to the first check-in (the runtime loads, reads its configuration and opens its
   * log), and from one step of a start to the next.
   */
  readonly handshakeMs: number;
  /** The whole of a start, while it makes progress (a snapshot is installed); waiting for a token is no part of it. */
  readonly startMs: number;
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
  /** The longest time in which hangs are borne because a person looks at them. */
  readonly snoozeMs: number;
  /** How long a box that was reset again and again leaves main alone, before it tries once more. */
  readonly restMs: number;
  /** A boot that lived for this long is no part of a loop of resets. */
  readonly settledMs: number;
}

/**
 * A hung main is found in 5 to 30 s and runs again at once. A main that hangs at each start is given up after 5 + 3 × 30 s,
 * one that ends at each start after 60 s, and one whose disk or API hangs after each good start after 4 × 31 s; with a
 * device of 20 s the box is reset within 3 minutes.
 */
export const DEFAULT_LIMITS: WatchdogLimits = {
  clientMs: {
    // Ten check-ins; the kernel has taken the VIP away long before (the leader lease).
    work: 5000,
    // Its acknowledgement goes round in 1.5 s.
    raft: 10_000,
    // A batch of 256 entries on a slow stick, with a checkpoint.
    apply: 20_000,
    // A probe each 10 s; a stick that erases its blocks stands still for seconds.
    disk: 30_000,
    // It is asked four times a second; a page of ten thousand VMs takes seconds.
    api: 30_000,
  },
  // Measured 0.4 s on an idle machine; a cold USB stick and a busy processor take 20 times as long.
  handshakeMs: 30_000,
  startMs: 180_000,
  // Longer than the work thread's, so that a hang right after the first check-in is not a good start.
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
  // Time to look with a debugger, and never so long that it is forgotten.
  snoozeMs: 15 * 60_000,
  // Long enough for a person who saw the lamp to come with a cable; short enough for a rack whose power flickered.
  restMs: 15 * 60_000,
  settledMs: 10 * 60_000,
};

/** The limits of a box whose work thread may be silent for `hangMs`: all of main's are longer in the same measure. */
export function limitsFor(hangMs: number): WatchdogLimits {
  const factor = hangMs / DEFAULT_LIMITS.clientMs.work;
  const longer = (ms: number): number => ms * factor;
  const { raft, apply, disk, api } = DEFAULT_LIMITS.clientMs;
  return {
    ...DEFAULT_LIMITS,
    clientMs: {
      work: hangMs,
      raft: longer(raft),
      apply: longer(apply),
      disk: longer(disk),
      api: longer(api),
    },
    handshakeMs: longer(DEFAULT_LIMITS.handshakeMs),
    startMs: longer(DEFAULT_LIMITS.startMs),
    goodMs: longer(DEFAULT_LIMITS.goodMs),
  };
}
