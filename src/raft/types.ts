import type { Message } from "./messages.ts";
import type { CoreMutant } from "./mutants.ts";

/** A random 64-bit identity as 16 lower-case hex digits. Made with a data directory, never used again after its loss. */
export type RaftId = string;

/** Nobody: no vote given, no leader known. */
export const NOBODY: RaftId = "";

/** `membership` data is an encoded {@link MembershipChange}; a `normal` entry with no data is a leader's own-term no-op. */
export type EntryKind = "normal" | "membership";

/** One record of the replicated log. Terms and indexes are safe integers; the first index is 1. */
export interface LogEntry {
  readonly term: number;
  readonly index: number;
  readonly kind: EntryKind;
  readonly data: Uint8Array;
}

/** Who a raft id is: what peers' connections are built from, and the SERVER_ID that people see. */
export interface Member {
  readonly raftId: RaftId;
  /** −1: a founder that no server-add has named yet. */
  readonly serverId: number;
  /** SHA-256 of the box's certificate, lower-case hex. */
  readonly certificateHash: string;
  /** `host:port` of the peers' port. */
  readonly peerAddress: string;
  readonly name: string;
}

/** Who counts. Each list is sorted by id, so that equal memberships are equal values. */
export interface Membership {
  readonly voters: readonly RaftId[];
  /** The voters before a joint change, empty when not joint. While joint, both majorities are needed. */
  readonly votersOutgoing: readonly RaftId[];
  readonly learners: readonly RaftId[];
  /** Outgoing voters that become learners when the joint change is left. */
  readonly learnersNext: readonly RaftId[];
  /** Joint only: the leader leaves the joint configuration by itself. */
  readonly autoLeave: boolean;
  /** One record for each id above. */
  readonly members: readonly Member[];
}

/** One step of a change; a change is at most {@link MEMBERSHIP_STEPS_MAX} of them, done together or not at all. */
export type MembershipStep =
  | { readonly kind: "add-learner"; readonly member: Member }
  /** At once a voter, without catching up: for drivers and tests; operators go through a learner. */
  | { readonly kind: "add-voter"; readonly member: Member }
  | { readonly kind: "promote"; readonly raftId: RaftId }
  | { readonly kind: "demote"; readonly raftId: RaftId }
  | { readonly kind: "remove"; readonly raftId: RaftId }
  /** New address, name or certificate; who counts stays as it is. */
  | { readonly kind: "update"; readonly member: Member };

/** A bound for the codec; a group has at most seven boxes. */
export const MEMBERSHIP_STEPS_MAX = 16;

/**
 * `simple` may change the set of voters by one (thesis §4.1): adding, promoting, removing, and *replace a dead box*, which
 * is one change with the steps [remove old, add-learner new]. `enter-joint` may change any number (§4.3).
 */
export type MembershipChange =
  | { readonly kind: "simple"; readonly steps: readonly MembershipStep[] }
  | { readonly kind: "enter-joint"; readonly steps: readonly MembershipStep[]; readonly autoLeave: boolean }
  | { readonly kind: "leave-joint" };

/** What a snapshot stands for: everything up to `index`. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly membership: Membership;
}

/**
 * The durable log as the core reads it; `store/log` implements it. All calls are synchronous, and the core only asks
 * for what {@link RaftNode.appended} has named durable.
 */
export interface LogReader {
  /** The first index that `entries` can return; last + 1 when there is none. */
  firstIndex(): number;
  lastIndex(): number;
  /** Undefined when it is not known: purged, or after the end. firstIndex − 1 is known (the snapshot's term; 0 for index 0). */
  term(index: number): number | undefined;
  /**
   * Entries `lo` … `hi` (both included) as far as they fit into `maxBytes` of data, but at least the first one.
   * Empty when `lo` was purged.
   */
  entries(lo: number, hi: number, maxBytes: number): readonly LogEntry[];
  snapshotMeta(): SnapshotMeta | undefined;
}

/**
 * What must survive a crash. A `commit` that comes without a sync may be lost: it is a hint then. The one that comes with a
 * write that must be synced belongs to it, like the other three.
 */
export interface HardState {
  readonly term: number;
  readonly vote: RaftId;
  /** The largest E that this box ever promised, in ms: what it waits for after a restart before it votes. */
  readonly promiseMs: number;
  readonly commit: number;
}

export const INITIAL_HARD_STATE: HardState = { term: 0, vote: NOBODY, promiseMs: 0, commit: 0 };

/** `learner`: not a voter of the membership in force (a learner, not yet added, or removed). */
export type Role = "leader" | "follower" | "candidate" | "pre-candidate" | "learner";

export interface SoftState {
  readonly role: Role;
  /** The leader of the current term, or NOBODY. */
  readonly leader: RaftId;
}

/** Timings are cluster state, changed by an entry, never per box. All in ms. */
export interface Timings {
  /** Least and largest election time-out; drawn anew for each attempt. Least > promiseMs. */
  readonly electionTimeoutMs: readonly [number, number];
  readonly heartbeatMs: number;
  /** E: what heartbeats ask voters to promise. 0 turns leases off. */
  readonly promiseMs: number;
  /** Pause before the next attempt after a round that somebody refused, and nobody for stickiness. */
  readonly retryMs: readonly [number, number];
}

export interface Options {
  readonly timings: Timings;
  readonly preVote: boolean;
  /** The leader steps down when no quorum answered within E (or the least election time-out); followers are sticky. */
  readonly checkQuorum: boolean;
  /** Bytes of entry data in one append. One entry always goes, however large. */
  readonly maxSizePerMessage: number;
  /** Appends under way to one follower. */
  readonly maxInflight: number;
  readonly maxInflightBytes: number;
  /** Bytes of proposed, not yet committed data at the leader; more is answered *busy*. */
  readonly maxUncommittedBytes: number;
  /** Bytes of committed entries handed out and not yet reported by `applied`. */
  readonly maxApplyingBytes: number;
  /** A leader that was removed, or made a learner, becomes a follower when the change is applied. */
  readonly stepDownOnRemoval: boolean;
  /** For outside drivers that check changes themselves: only what cannot be expressed at all is refused. */
  readonly disableConfChangeValidation: boolean;
}

/**
 * What may be set, the rest has its default (options.ts). A driver that counts ticks gives `electionTick` instead of
 * `timings`: `now` is then the tick's number, and everything named ms counts ticks. Asynchronous storage is no option: a
 * driver that says `appended` and `applied` has it, one that says `advance` has not.
 */
export interface OptionsInput extends Partial<Options> {
  /** The least election time-out in ticks; the largest is twice that, less one. */
  readonly electionTick?: number;
  /** Ticks between two heartbeats; default 1. */
  readonly heartbeatTick?: number;
  /** E in ticks: default `electionTick` − 1; 0 turns leases off. */
  readonly promiseTick?: number;
}

/** What the core needs of chance; a `Prng` is one. */
export interface RandomSource {
  /** A number in 0 ≤ x < 1: where in its range a time-out lies. */
  fraction(): number;
}

export interface NodeConfig {
  readonly id: RaftId;
  /** From the log's newest membership record, or from the snapshot; never from the state database. */
  readonly membership: Membership;
  /**
   * The index of the entry that made `membership` (0 for the empty one). It may be after `applied`, because the state
   * database may lose its tail: entries up to it are applied again without changing the membership back.
   */
  readonly membershipIndex: number;
  readonly log: LogReader;
  readonly hardState: HardState;
  /** The last index that the state machine has applied. */
  readonly applied: number;
  /** Draws the election time-outs. Boxes must not draw alike: seed each with chance, or hand in what a test wants. */
  readonly random: RandomSource;
  /**
   * Votes for nobody and does not campaign until the first `now` + this. Default: the durable largest promise. The pump
   * passes less when the machine was rebooted and its uptime counts towards it.
   */
  readonly startupPromiseMs?: number;
  readonly options?: OptionsInput;
  readonly mutants?: ReadonlySet<CoreMutant>;
}

/** An index at which a linearizable read may be served once it is applied. */
export interface ReadState {
  readonly context: number;
  readonly index: number;
}

/** A broadcast of heartbeats whose answers may be counted for the lease. */
export interface HeartbeatRound {
  readonly round: number;
  /** E of this round: an answer that promises less does not count. */
  readonly promiseMs: number;
  /** The configuration at the send; a round counts in it and in the one at the count. */
  readonly membership: Membership;
}

/**
 * What the node wants done, in the order in which its fields stand here. Several may be under way at once: writes are
 * made durable in the order of `sequence`.
 */
export interface Ready {
  /** Rises by one with each Ready. */
  readonly sequence: number;
  /** First of all, before any message of this Ready leaves: release VIP, tokens and lease; never take them again in this term. */
  readonly releaseLease: boolean;
  /** For the pump's eyes: leadership won or lost, a leader known or lost. Nothing to store. */
  readonly softState?: SoftState;
  /**
   * A lease round is among `messages` or `messagesAfterAppend`: stamp its send (kernel token) before any of them leaves.
   * The leader itself counts as having answered it.
   */
  readonly heartbeatRound?: HeartbeatRound;
  /** May leave at once, also before anything below is written. */
  readonly messages: readonly Message[];
  /** To be written, if present. Not newer than `entries` on disk: one write, or this first. */
  readonly hardState?: HardState;
  /** To be written. When the first one's index is not after the log's last, the log is cut there first. */
  readonly entries: readonly LogEntry[];
  /** The write must be synced before `messagesAfterAppend` leave. False: nothing here needs the disk to turn. */
  readonly mustSync: boolean;
  /**
   * May leave only when this Ready *and all before it* are durable: acknowledgements, votes, requests for votes. Then
   * `appended(sequence)`. With nothing to write here and before, that is at once.
   */
  readonly messagesAfterAppend: readonly Message[];
  /**
   * Committed and durable here: apply in order, then `applied(index)`. May be applied before this Ready's own write is
   * durable. For a membership entry: write and sync the membership record, then `applyMembership`, then `applied`.
   */
  readonly committedEntries: readonly LogEntry[];
  readonly readStates: readonly ReadState[];
  /** Followers that need entries below the log's first index: start sending a snapshot, then `reportSnapshot`. Said once each. */
  readonly snapshotNeeded: readonly RaftId[];
}

export type ProposeResult =
  | { readonly kind: "accepted"; readonly firstIndex: number; readonly term: number }
  /** Too much is uncommitted, or leadership is being transferred. Nothing happened. */
  | { readonly kind: "busy" }
  | { readonly kind: "not-leader"; readonly leader: RaftId };

export type ProposeMembershipResult = ProposeResult | { readonly kind: "refused"; readonly why: string };

export type TransferResult = { readonly kind: "started" } | { readonly kind: "refused"; readonly why: string };

export type CampaignResult = { readonly kind: "started" } | { readonly kind: "refused"; readonly why: string };

export type ReadIndexResult = { readonly kind: "started" } | { readonly kind: "refused"; readonly why: string };

export type ProgressState = "probe" | "replicate" | "snapshot";

export interface ProgressStatus {
  readonly id: RaftId;
  /** Known to be durable there. */
  readonly match: number;
  readonly next: number;
  readonly state: ProgressState;
  /** Nothing more is sent until it answers. */
  readonly paused: boolean;
  readonly inflight: number;
  readonly inflightBytes: number;
  readonly learner: boolean;
  /** When it last answered, in the `now` of that input. */
  readonly answeredAt: number;
}

export interface Status {
  readonly id: RaftId;
  readonly term: number;
  readonly vote: RaftId;
  readonly role: Role;
  readonly leader: RaftId;
  readonly commit: number;
  readonly applied: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The last index that is durable here. */
  readonly stableIndex: number;
  /** The last index verified against the log of this term's leader. */
  readonly verified: number;
  /** Until when this box votes for nobody (promise or start quarantine), in `now`. */
  readonly promiseUntil: number;
  /** The largest E ever promised. */
  readonly promiseMs: number;
  /** Leader: an entry of its own term is committed (the VIP may be taken up, reads and changes are possible). */
  readonly ownTermCommitted: boolean;
  /** Leader: whom leadership is being handed to, or NOBODY. */
  readonly transferTo: RaftId;
  /** Leader: all members but itself, in the order of ids. */
  readonly progress: readonly ProgressStatus[];
  readonly membership: Membership;
}

/** The consensus core. `now` is monotonic ms and never goes back. See node.ts for the caller's duties in order. */
export interface RaftNode {
  tick(now: number): void;
  step(message: Message, now: number): void;
  propose(datas: readonly Uint8Array[], now: number): ProposeResult;
  proposeMembership(change: MembershipChange, now: number): ProposeMembershipResult;
  campaign(now: number): CampaignResult;
  transferLeader(to: RaftId, now: number): TransferResult;
  /** `context` comes back in a ReadState, or never when leadership is lost: the caller has a deadline and a new context for each try. */
  readIndex(context: number, now: number): ReadIndexResult;
  /** Forgets who leads, so that this box votes; false (refused) while leases are on. */
  forgetLeader(now: number): boolean;
  /** A message to this peer surely did not arrive. */
  reportUnreachable(id: RaftId): void;
  reportSnapshot(id: RaftId, ok: boolean): void;
  /** The writes of the Ready with this sequence, and of all before it, are durable. */
  appended(sequence: number, now: number): void;
  applied(index: number, now: number): void;
  /**
   * The membership entry at `index` is applied and its record is synced. Returns the membership in force from now on.
   * A change that does not fit the membership changes nothing, on every box alike; nor does one that the membership
   * given at the start contains already.
   */
  applyMembership(index: number, change: MembershipChange, now: number): Membership;
  /** A snapshot was installed and is durable: the log now starts after it. */
  restore(meta: SnapshotMeta, now: number): void;
  setTimings(timings: Timings, now: number): void;
  hasReady(): boolean;
  /** Undefined when there is nothing to do. */
  ready(): Ready | undefined;
  /** For synchronous callers: everything of the last Ready is done (written, sent, applied). Membership entries aside. */
  advance(now: number): void;
  status(): Status;
}
