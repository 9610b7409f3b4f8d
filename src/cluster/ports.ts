import type { LogEntry, Member, Membership, Role } from "../raft/types.ts";
import type { Append } from "../store/log/types.ts";
import type { FrameType } from "./frame.ts";
import type { Channel, PeerMember } from "./hello.ts";

/** The log as the pump writes it. A callback, not a promise, so that a simulator can run it without a scheduler. */
export interface LogPort {
  /**
   * Makes `record` durable, then calls `done`, never before this call returns. Appends become durable in the order of
   * the calls. With an error nothing more may be promised: the process ends.
   */
  append(record: Append, done: (error?: unknown) => void): void;
  /** Forgets entries up to `index`, or fewer. */
  purgeTo(index: number): void;
  firstIndex(): number;
  /** What the log takes on the disk. */
  sizeBytes(): number;
}

/** The connections as the pump uses them; what is sent leaves at the next flush, false when it surely did not. */
export interface PumpPeers {
  send(to: string, channel: Channel, type: FrameType, payload: Uint8Array): boolean;
  flush(): void;
  /** `index`: of the membership in force; `isMember`: it names this box. */
  setMembers(members: readonly PeerMember[], index: number, isMember: boolean): void;
  reachable(): string[];
  /** Nothing more of a snapshot goes to this box for now. */
  closeSnapshot(to: string): void;
}

/**
 * Who may hold the VIP and send power commands: the kernel's packet lease (vip/). The pump names rounds; the gate maps
 * them to tokens. All calls are synchronous and short: they stand between reading the clock and sending a heartbeat.
 */
export interface LeaseGate {
  /** Round `round` is about to leave: its token must be alive in the kernel before it does, and live `leaseMs` from now. */
  beforeRound(round: number, leaseMs: number): void;
  /** A quorum has answered exactly this round. */
  roundConfirmed(round: number): void;
  /** The own-term no-op is committed: the VIP may be taken up under the lease. */
  leaderReady(term: number): void;
  leadershipLost(): void;
  /** Lets go of VIP and tokens; done when it returns. Before a transfer and at the stop. */
  release(): void;
  tick(): void;
}

/** What the pump says about this box's part in the cluster. */
export interface RoleNews {
  readonly role: Role;
  readonly term: number;
  /** Raft id of the leader, "" when none is known. */
  readonly leader: string;
  /** This box leads and an entry of its own term is committed. */
  readonly ownTermCommitted: boolean;
  /** Index of that entry; leader-only work starts once it is applied. */
  readonly ownTermIndex: number;
}

/** A membership and the index of the last entry that made it (0: the founding). */
export interface MembershipAt {
  readonly value: Membership;
  readonly index: number;
}

/** What the pump hands to the thread that owns the state and the API. */
export interface WorkPort {
  /** To be applied in order; then {@link Pump.applied}. */
  committed(entries: readonly LogEntry[]): void;
  role(news: RoleNews): void;
  /** These proposals were not taken; nothing happened. */
  refused(requestIds: readonly string[], why: "not-leader" | "busy"): void;
  membership(membership: MembershipAt): void;
  /** This box is no member any more since the entry `index`: it must stop for good. */
  removed(index: number): void;
  /** The side payload of a heartbeat answer. */
  side(from: string, payload: Uint8Array): void;
  request(from: string, id: number, body: Uint8Array): void;
  response(from: string, id: number, ok: boolean, body: Uint8Array): void;
  /** Boxes that need entries which the log has no more; {@link Pump.reportSnapshot} when that is over. */
  snapshotNeeded(to: readonly string[]): void;
  /** A frame about a snapshot. */
  snapshot(from: string, payload: Uint8Array): void;
  log(text: string): void;
}

/** A proposal on its way to the log. */
export interface Proposal {
  readonly requestId: string;
  readonly data: Uint8Array;
}

/** Raft's view of this box, for `one.zone.raftstatus` and `ringfence status`. */
export interface ClusterStatus {
  readonly raftId: string;
  readonly role: Role;
  readonly term: number;
  readonly vote: string;
  readonly leader: string;
  readonly commit: number;
  readonly applied: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
  readonly members: readonly Member[];
  readonly voters: readonly string[];
  readonly learners: readonly string[];
  readonly reachable: readonly string[];
  /** Leader only: what each member is known to have. */
  readonly match: Readonly<Record<string, number>>;
  /** Leader only: how long ago each member last answered, ms. */
  readonly answeredAgoMs: Readonly<Record<string, number>>;
  /** Why this box's clock is not good enough for a lease; "" when it is. */
  readonly clockObstacle: string;
  /** ms of lease left, 0 without. */
  readonly leaseMs: number;
  /** The longest turn of the core thread since the start, ms. */
  readonly longestTurnMs: number;
  /** Leader only: how long the newest heartbeat round took until a quorum had answered, ms. */
  readonly roundMs: number;
  /** The longest of the last half minute to minute, ms. */
  readonly longestRoundMs: number;
}
