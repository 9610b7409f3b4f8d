import type { LogEntry, Member, Membership, Role } from "../raft/types.ts";
import type { Append } from "../store/log/types.ts";

/** The log as the pump writes it. A callback, not a promise, so that a simulator can run it without a scheduler. */
export interface LogPort {
  /**
   * Makes `record` durable, then calls `done`, never before this call returns. Appends become durable in the order of
   * the calls. With an error nothing more may be promised: the process ends.
   */
  append(record: Append, done: (error?: unknown) => void): void;
}

/**
 * Who may hold the VIP and send power commands: the kernel's packet lease (vip/). The pump names rounds; the gate maps
 * them to tokens. All calls are synchronous and short: they stand between reading the clock and sending a heartbeat.
 */
export interface LeaseGate {
  /** Round `round` is about to leave: its token must be alive in the kernel before it does. */
  beforeRound(round: number): void;
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
  /** The side payload of a heartbeat answer. */
  side(from: string, payload: Uint8Array): void;
  request(from: string, id: number, body: Uint8Array): void;
  response(from: string, id: number, ok: boolean, body: Uint8Array): void;
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
  /** ms of lease left, 0 without. */
  readonly leaseMs: number;
  /** The longest turn of the core thread since the start, ms. */
  readonly longestTurnMs: number;
}
