import { CommandFailure } from "../failure.ts";

/** What `ringfence.status` answers; the box that was asked speaks for itself. */
export interface BoxStatus {
  /** Of the cluster: raised by each force-recover and restore. */
  readonly generation: number;
  /** Generations that a person began and none has acknowledged. */
  readonly recoveries: readonly Recovery[];
  /** Null on a machine that was not started from an image; absent from boxes of before. */
  readonly boot?: BootFacts | null;
  readonly box: { readonly raftId: string; readonly serverId: number; readonly name: string };
  readonly cluster: {
    readonly role: string;
    readonly term: number;
    readonly leader?: string;
    readonly commit: number;
    readonly applied: number;
    readonly lastIndex: number;
    /** Lease that is left, ms; 0 on a follower. */
    readonly leaseMs: number;
    readonly longestTurnMs: number;
    /** Why its clock is not good enough for a lease; "" when it is. */
    readonly clockObstacle?: string;
    /** On the leader: heartbeat rounds until a quorum had answered, ms. */
    readonly roundMs: number;
    readonly longestRoundMs: number;
    /** The feature level in force. */
    readonly level: number;
    /** The timings in force, as of config/timings.ts; "" before there are any. */
    readonly timings: string;
    readonly members: readonly Member[];
  };
  readonly vip: Vip | null;
  readonly hosts: readonly HostConnection[];
  /** On the leader only. */
  readonly levels: readonly Level[];
  readonly readiness: readonly Readiness[];
}

/** The system image that runs, and how it was booted. */
export interface BootFacts extends Pick<SlotStatus, "try" | "mode" | "isVerified" | "isSecure" | "key"> {
  readonly slot: "A" | "B";
  readonly version: string;
  readonly build: string;
}

export interface Recovery {
  readonly generation: number;
  readonly reason: string;
  readonly by: string;
  /** Wall ms. */
  readonly at: number;
  readonly name: string;
  readonly commit: number;
  readonly lastIndex: number;
  readonly former: readonly { readonly serverId: number; readonly name: string }[];
}

export interface Member {
  readonly serverId: number;
  readonly name: string;
  readonly raftId: string;
  readonly peerAddress: string;
  readonly isVoter: boolean;
  readonly isReachable: boolean;
  /** What it tells of its disk; the leader knows everybody's. Null for a silent box. */
  readonly disk?: {
    readonly room: string;
    readonly freeBytes: number;
    readonly durableMs: number;
    readonly hasState: boolean;
  } | null;
  /** Last entry that the leader knows to be in its log; null where that is not known. */
  readonly match: number | null;
  /** What it announced when it connected; null while it is not connected. */
  readonly level: number | null;
  readonly build: string | null;
  /** What its oned.conf asks for. */
  readonly timings: string | null;
}

export interface Vip {
  readonly holding: boolean;
  readonly leadership: string;
  readonly claim: string;
  readonly leaseRemainingMs: number;
  readonly isTableSound: boolean;
  readonly addresses: readonly { readonly interface: string; readonly address: string; readonly prefix: number }[];
  readonly incidents: Readonly<Record<string, number>>;
}

export interface HostConnection {
  readonly hostId: number;
  readonly state: string;
  readonly reason: string;
  /** libvirt's UUID of the machine; "" before it was read. */
  readonly uuid: string;
}

export interface Level {
  readonly hostId: number;
  readonly kind: string;
  readonly inference: {
    readonly kind: string;
    readonly answerAgeMs?: number;
    readonly degraded?: string;
    readonly reason?: string;
  };
}

export interface Readiness {
  readonly hostId: number;
  readonly isReady: boolean;
  readonly reason: string;
  readonly findings: readonly string[];
  readonly power: string;
  /** 32 hex digits; "" before it was read. */
  readonly guid: string;
  readonly ageMs: number;
}

/** What `ringfence.fence.status` answers. */
export interface FenceStatus {
  readonly armed: boolean;
  readonly changedBy: string;
  readonly why: string;
  readonly hosts: readonly FencedHost[];
}

export interface FencedHost {
  readonly id: number;
  readonly name: string;
  readonly state: string;
  readonly attempt: number;
  readonly reason: string;
  readonly confirmedBy: string;
  readonly evidence: readonly unknown[];
  readonly proofs: readonly unknown[];
  readonly binding: { readonly guid: string; readonly uuid: string; readonly boundBy: string } | null;
}

/** What `ringfence.slot.status` answers. */
export interface SlotStatus {
  readonly running: "A" | "B";
  /** Which try of the running slot this boot was, since it was marked good. */
  readonly try: number;
  readonly mode: string;
  readonly isVerified: boolean;
  /** Whether the boot loader demands signatures. */
  readonly isSecure: boolean;
  readonly key: string;
  /** What the next boot tries first. */
  readonly next: "A" | "B";
  readonly slots: Readonly<Record<"A" | "B", SlotFacts>>;
  /** What this box lacks before its slot is marked good. */
  readonly missing: readonly string[];
  readonly lastEnd: string;
  readonly update: UpdateFacts | null;
}

export interface SlotFacts {
  /** "" for a slot without an image that may run here; `why` says so. */
  readonly version: string;
  readonly build: string;
  readonly featureLevel: number;
  readonly why: string;
  readonly isGood: boolean;
  readonly tries: number;
}

/** The last update or switch of a box. */
export interface UpdateFacts {
  readonly from: { readonly slot: string; readonly version: string; readonly build: string };
  readonly to: { readonly slot: string; readonly version: string; readonly build: string };
  readonly at: string;
  /** `trial`, `good`, `fallback`, `left`. */
  readonly outcome: string;
  readonly why: string;
}

/**
 * An answer of a box as what it should be: boxes and commands are of one release, so only the outer form is looked at.
 * `part` must be there.
 */
export function readAnswer<T extends object>(text: string, part: keyof T & string): T {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || !(part in value)) {
    throw new CommandFailure(`The answer has no "${part}": is this box of another release than the command?`);
  }
  return value as T;
}

/** What a box says that has lost the beginning of an upload: it may be sent anew. */
export const UPLOAD_LOST = "This update is not known any more: the box's program was started again";
