import { LogView } from "./log-view.ts";
import { isVoter } from "./membership.ts";
import type { Message } from "./messages.ts";
import type { CoreMutant } from "./mutants.ts";
import { completeOptions } from "./options.ts";
import { Progress } from "./progress.ts";
import { quorumValue } from "./quorum.ts";
import type {
  HeartbeatRound,
  Membership,
  NodeConfig,
  Options,
  RaftId,
  RandomSource,
  ReadState,
  Role,
  SoftState,
  Timings,
} from "./types.ts";
import { NOBODY } from "./types.ts";

/** A read that waits for a quorum to confirm the leadership. */
export interface PendingRead {
  /** Who asked: this box itself, or a follower. */
  readonly from: RaftId;
  readonly context: number;
  /** 0 until a round was sent for it. */
  index: number;
  round: number;
}

/**
 * All state of a node, and the few primitives that every rule uses. The rules themselves are functions over it:
 * election.ts, heartbeat.ts, replication.ts, reads.ts, transfer.ts, change.ts; ready.ts hands the results out.
 */
export class Core {
  readonly id: RaftId;
  readonly log: LogView;
  readonly random: RandomSource;
  readonly mutants: ReadonlySet<CoreMutant> | undefined;
  readonly startupPromiseMs: number;
  /** The commit index that was durable at the start: no campaign before it is applied again. */
  readonly startupCommit: number;
  options: Options;
  membership: Membership;
  /** The entry that made it. */
  membershipIndex: number;

  /** Time of the last input; −1 before the first. */
  now = -1;

  // Hard state.
  term: number;
  vote: RaftId;
  /** The largest E ever promised. */
  promiseMs: number;
  /** Term, vote or promise changed and is in no Ready yet. */
  hardDirty = false;
  /** The Ready that carries the newest of them. */
  hardSequence = 0;
  /** The commit index that the last Ready's hard state named. */
  announcedCommit: number;
  /** The one that the last Ready that had to be synced named. */
  syncedCommit: number;

  role: Role = "follower";
  leader: RaftId = NOBODY;
  announced: SoftState = { role: "follower", leader: NOBODY };

  // Ready bookkeeping.
  sequence = 0;
  durableSequence = 0;
  messages: Message[] = [];
  messagesAfterAppend: Message[] = [];
  readStates: ReadState[] = [];
  snapshotNeeded: RaftId[] = [];
  releaseLease = false;
  heartbeatRound: HeartbeatRound | undefined;

  // Voters' promises. See heartbeat.ts.
  quarantineUntil = Number.POSITIVE_INFINITY;
  promiseUntil = 0;
  leaderHeardAt = 0;
  /** The last index that is verified to be in the log of this term's leader. */
  verified: number;

  // Elections.
  electionDeadline = Number.POSITIVE_INFINITY;
  /** The deadline as drawn, before a refusal shortened it. */
  fullDeadline = Number.POSITIVE_INFINITY;
  votes = new Map<RaftId, boolean>();
  refused = false;
  /** The Ready whose durability lets the candidate count its own vote; 0: not handed out yet, −1: counted. */
  ownVoteSequence = 0;

  // Leadership.
  /** All members, this box included, in the order of ids; maintained on every box, meaningful on a leader. */
  progress: Progress[] = [];
  progressOf = new Map<RaftId, Progress>();
  round = 0;
  heartbeatDue = 0;
  /** No stepping down for a missing quorum before this: answers may lie unread in the sockets after a pause. */
  quorumCheckNotBefore = 0;
  ownTermFirstIndex = 0;
  /** No membership change may be proposed until this index is applied. */
  pendingMembershipIndex = 0;
  uncommittedBytes = 0;
  uncommitted: { readonly index: number; readonly sizeBytes: number }[] = [];
  /** The largest E that was asked for in this leadership. */
  leaderPromiseMs = 0;
  leaseReleased = false;
  transferTo: RaftId = NOBODY;
  transferDeadline = 0;
  reads: PendingRead[] = [];
  readRoundDue = false;

  constructor(config: NodeConfig) {
    this.id = config.id;
    this.options = completeOptions(config.options);
    this.random = config.random;
    this.mutants = config.mutants;
    this.membership = config.membership;
    this.membershipIndex = config.membershipIndex;
    this.term = config.hardState.term;
    this.vote = config.hardState.vote;
    this.promiseMs = config.hardState.promiseMs;
    // A membership record is written for applied entries only, so it proves that its index is committed.
    const commit = Math.max(config.hardState.commit, config.membershipIndex);
    this.log = new LogView(config.log, commit, config.applied);
    this.announcedCommit = config.hardState.commit;
    this.syncedCommit = config.hardState.commit;
    this.startupCommit = this.log.commit;
    this.verified = this.log.commit;
    this.startupPromiseMs = config.startupPromiseMs ?? config.hardState.promiseMs;
    if (this.is("no-restart-quarantine")) this.startupPromiseMs = 0;
    this.role = this.restingRole();
    this.announced = { role: this.role, leader: NOBODY };
    this.rebuildProgress();
  }

  get timings(): Timings {
    return this.options.timings;
  }

  is(mutant: CoreMutant): boolean {
    return this.mutants?.has(mutant) ?? false;
  }

  get isLeader(): boolean {
    return this.role === "leader";
  }

  get isPromotable(): boolean {
    return isVoter(this.membership, this.id);
  }

  restingRole(): Role {
    return this.isPromotable ? "follower" : "learner";
  }

  get ownTermCommitted(): boolean {
    return this.isLeader && this.log.commit >= this.ownTermFirstIndex;
  }

  /** Term, vote and promise, as they are now, are on disk. */
  get hardStateDurable(): boolean {
    return !this.hardDirty && this.durableSequence >= this.hardSequence;
  }

  /** Messages that promise nothing that is not durable yet. */
  send(message: Message): void {
    if (this.hardStateDurable) this.messages.push(message);
    else this.messagesAfterAppend.push(message);
  }

  /** Acknowledgements and votes: they wait for what was written before them. */
  sendAfterAppend(message: Message): void {
    this.messagesAfterAppend.push(message);
  }

  /** Enters `term`, where nobody has this box's vote yet. */
  enterTerm(term: number): void {
    this.term = term;
    this.vote = NOBODY;
    this.hardDirty = true;
    this.verified = this.log.commit;
  }

  /** Follows `leader` (or nobody yet) in `term`, from any role. */
  becomeFollower(term: number, leader: RaftId): void {
    // The last round may have been stamped at any moment until now, and its token lives E from there: a leader that
    // steps down keeps its own promise from this moment, unless it has released the lease.
    if (this.isLeader && !this.leaseReleased && this.leaderPromiseMs > 0 && !this.is("vote-within-promise")) {
      this.promiseUntil = Math.max(this.promiseUntil, this.now + this.leaderPromiseMs);
    }
    if (this.isLeader || this.role === "candidate" || this.role === "pre-candidate") this.drawElectionDeadline();
    if (term > this.term) this.enterTerm(term);
    this.role = this.restingRole();
    this.leader = leader;
    this.endLeadership();
  }

  /** Draws a whole election time-out, anew for each attempt. */
  drawElectionDeadline(): void {
    const [least, largest] = this.timings.electionTimeoutMs;
    this.fullDeadline = this.now + least + this.random.fraction() * (largest - least);
    this.electionDeadline = this.fullDeadline;
  }

  drawRetry(): number {
    const [least, largest] = this.timings.retryMs;
    return least + this.random.fraction() * (largest - least);
  }

  endLeadership(): void {
    this.votes.clear();
    this.transferTo = NOBODY;
    this.uncommitted = [];
    this.uncommittedBytes = 0;
    this.leaderPromiseMs = 0;
    this.leaseReleased = false;
    this.reads = [];
    this.readRoundDue = false;
    this.ownTermFirstIndex = 0;
    this.heartbeatRound = undefined;
  }

  /** Fresh knowledge about everybody: at the start of a leadership and of a process. */
  resetProgress(): void {
    this.progress = [];
    this.progressOf = new Map();
    this.rebuildProgress();
  }

  /** Progress for exactly the members there are; what is known about those that stay is kept. */
  rebuildProgress(): void {
    const { voters, votersOutgoing, learners, learnersNext } = this.membership;
    const counting = new Set([...voters, ...votersOutgoing]);
    const ids = [...new Set([...counting, ...learners, ...learnersNext])].sort();
    const known = this.progressOf;
    this.progressOf = new Map();
    this.progress = ids.map((id) => {
      const learner = !counting.has(id);
      const progress = known.get(id) ?? new Progress(id, learner, this.log.lastIndex + 1, this.now, this.options);
      progress.learner = learner;
      this.progressOf.set(id, progress);
      return progress;
    });
  }

  /** The largest value that a quorum of the membership in force has reached. */
  quorumOf(measure: (progress: Progress) => number): number {
    if (this.is("learner-counted")) {
      const everybody = this.progress.map((progress) => progress.id);
      return quorumValue({ voters: everybody, votersOutgoing: [] }, (id) => this.#measure(id, measure));
    }
    if (this.is("quorum-off-by-one") && this.membership.voters.length > 2) {
      const { voters } = this.membership;
      return quorumValue({ voters: voters.slice(0, -1), votersOutgoing: [] }, (id) => this.#measure(id, measure));
    }
    return quorumValue(this.membership, (id) => this.#measure(id, measure));
  }

  #measure(id: RaftId, measure: (progress: Progress) => number): number {
    const progress = this.progressOf.get(id);
    return progress === undefined ? 0 : measure(progress);
  }
}
