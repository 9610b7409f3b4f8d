import { decodeMessage, encodeMessage } from "../raft/codec.ts";
import type { Message } from "../raft/messages.ts";
import {
  type LogEntry,
  type MembershipChange,
  NOBODY,
  type RaftId,
  type RaftNode,
  type Ready,
  type Timings,
} from "../raft/types.ts";
import type { Append } from "../store/log/types.ts";
import { encodeRequest, encodeResponse, receiveForWork } from "./call-frames.ts";
import { type FrameType, frameType, SIDE_PAYLOAD_BYTES_MAX } from "./frame.ts";
import { Group, type GroupPorts } from "./group.ts";
import type { Channel } from "./hello.ts";
import { Lease, leaseDurationMs } from "./lease.ts";
import type {
  ClusterStatus,
  LeaseGate,
  LogPort,
  MembershipAt,
  Proposal,
  PumpPeers,
  RoleNews,
  WorkPort,
} from "./ports.ts";
import { type PurgeLimits, purgeIndex } from "./purge-policy.ts";
import { RoundTimes } from "./round-times.ts";

/** A tick that comes later than this share of E was a pause: see {@link Pump.tick}. */
const PAUSE_SHARE = 0.5;
/** A leader whose clock is wrong tries this often to give leadership away, ms: if all are, it must not go in circles. */
const HAND_ON_EVERY_MS = 30_000;
/** A box whose clock is wrong seeks leadership only when it has heard no leader for this long, ms: ten elections. */
const KEEP_BACK_MS = 10_000;
/** Bytes of proposals that are taken or refused together: a share of what may be uncommitted (16 MiB). */
const PIECE_BYTES = 1024 * 1024;
/** After a pause: for so long only sockets are read, ms, so that waiting heartbeats are heard before a campaign. */
const AFTER_PAUSE_MS = 20;

export interface PumpPorts {
  readonly self: RaftId;
  readonly node: RaftNode;
  readonly log: LogPort;
  readonly peers: PumpPeers;
  readonly gate: LeaseGate;
  readonly work: WorkPort;
  /** CLOCK_MONOTONIC_RAW in ms. */
  readonly now: () => number;
  /** Publishes until when the lease is held, to both threads. */
  readonly publishLease: (untilMs: number) => void;
  /** Why this box's clock is not good enough for a lease now, or undefined (clock-watch.ts). */
  readonly clockObstacle: () => string | undefined;
  /** The disk or a promise failed: release everything and end the process. */
  readonly fatal: (error: unknown) => void;
  /** E in force at the start; {@link Pump.setTimings}. */
  readonly promiseMs: number;
}

/** Where the log and the state stood when the box stopped. */
export interface PumpStart {
  readonly membership: MembershipAt;
  readonly commit: number;
  readonly applied: number;
}

/**
 * Runs raft on store and network. One turn: inputs go into the node, then {@link Pump.drain} takes every `Ready`, does
 * what it says in its order, and flushes the peers once. A write runs through here as `propose` → `ready` → log and
 * peers side by side → `appended` → `committedEntries` → work → `applied`.
 */
export class Pump {
  readonly #ports: PumpPorts;
  readonly #node: RaftNode;
  readonly #lease: Lease;
  readonly #group: Group;
  #news: RoleNews;
  #side: Uint8Array = new Uint8Array(0);
  /** What the newest write lets happen once it is durable; undefined when none is under way. */
  #writing: (() => void)[] | undefined;
  #commit: number;
  #lastTickAt: number;
  #quietUntil = 0;
  #promiseMs: number;
  #isDraining = false;
  /** The VIP is let go for good: no round is counted any more, leadership is being handed on. */
  #isLeaving = false;
  /** While leaving: a successor was asked. */
  #hasSuccessor = false;
  /** False while this box's disk is full. */
  #takesEntries = true;
  /** Nothing more is said, counted or acknowledged: after a stop, and after a failure until the process ends. */
  #isStopped = false;
  /** Why the clock is not good enough for a lease, as of the last look. */
  #clockObstacle: string | undefined;
  /** The lease was released in this term: never again in it. */
  #isReleased = false;
  #leadsSince: number;
  #leaderHeardAt: number;
  #isHandOnDue = false;
  #handOverAskedAt = Number.NEGATIVE_INFINITY;
  #longestTurnMs = 0;
  readonly #rounds = new RoundTimes();

  constructor(ports: PumpPorts, start: PumpStart) {
    this.#ports = ports;
    this.#node = ports.node;
    this.#lease = new Lease(ports.self);
    this.#commit = start.commit;
    this.#promiseMs = ports.promiseMs;
    const { term } = ports.node.status();
    this.#news = { role: "follower", term, leader: "", ownTermCommitted: false, ownTermIndex: 0 };
    this.#lastTickAt = ports.now();
    this.#leadsSince = this.#lastTickAt;
    this.#leaderHeardAt = this.#lastTickAt;
    const { self, node, peers, work, now } = ports;
    const record: GroupPorts["record"] = (membership, done) =>
      this.#append({ entries: [], membership, commit: this.#commit }, done);
    this.#group = new Group({ self, node, peers, work, now, record }, start.membership);
  }

  /**
   * Every few ms. A tick that comes late by more than half of E was a pause of this process: what it believed is stale,
   * so the lease is not used until a new round confirms it, and the sockets are read before anybody campaigns.
   */
  tick(): void {
    if (this.#isStopped) return;
    const now = this.#ports.now();
    const late = now - this.#lastTickAt;
    this.#lastTickAt = now;
    if (this.#promiseMs > 0 && late > this.#promiseMs * PAUSE_SHARE) {
      this.#ports.work.log(`paused for ${late.toFixed(0)} ms: the lease is given up until a quorum answers again`);
      this.#lease.drop();
      this.#ports.publishLease(0);
      this.#quietUntil = now + AFTER_PAUSE_MS;
    }
    this.#ports.gate.tick();
    this.#judgeClock();
    if (now < this.#quietUntil) return;
    this.#input(() => {
      // Read anew: the gate may have asked for a transfer at a later instant, and raft's time never goes back.
      const later = this.#ports.now();
      if (!this.#keepsBack(later)) this.#node.tick(later);
      this.#group.tick(later, this.#news.role === "leader");
    });
    this.drain();
    if (!this.#isHandOnDue) return;
    this.#isHandOnDue = false;
    const obstacle = this.transfer();
    if (obstacle !== undefined) this.#ports.work.log(`leadership stays here, without a lease: ${obstacle}`);
  }

  /** A frame of a member; act on it in {@link drain}, once for all that came together. */
  receive(from: string, type: FrameType, payload: Buffer): void {
    if (this.#isStopped || receiveForWork(this.#ports.work, from, type, payload)) return;
    switch (type) {
      case frameType.raft: {
        const message = decodeMessage(payload);
        // A member speaks for itself only.
        if (message.from !== from || message.to !== this.#ports.self) return;
        const now = this.#ports.now();
        if (message.kind === "heartbeat" || message.kind === "append") {
          this.#group.leaderHeard(now);
          this.#leaderHeardAt = now;
        }
        if (!this.#takesEntries && carriesWrites(message)) return;
        this.#input(() => this.#node.step(message, now));
        if (message.kind === "heartbeat-response" && message.term === this.#news.term)
          this.#countAnswer(message.from, message.round, message.promiseMs, now);
        return;
      }
      case frameType.members:
        this.#group.hear(from, payload);
        return;
      default:
        return;
    }
  }

  unreachable(raftId: string): void {
    this.#node.reportUnreachable(raftId);
  }

  /** What does not fit is refused, not all that came with it: the pipe never holds more than its limit and one piece. */
  propose(proposals: readonly Proposal[]): void {
    const now = this.#ports.now();
    for (const piece of inPieces(proposals)) {
      const datas = piece.map(({ data }) => data);
      const result = this.#node.propose(datas, now);
      if (result.kind === "accepted") continue;
      // Busy with a transfer is as good as gone: the caller is to ask the next leader, not to be told of a full pipe.
      const isHandingOn = this.#node.status().transferTo !== NOBODY;
      const requestIds = piece.map(({ requestId }) => requestId);
      this.#ports.work.refused(requestIds, isHandingOn ? "not-leader" : result.kind);
    }
    this.drain();
  }

  /** Undefined when it was taken into the log, else why not. It is in force when {@link WorkPort.membership} names it. */
  proposeMembership(change: MembershipChange): string | undefined {
    const result = this.#node.proposeMembership(change, this.#ports.now());
    this.drain();
    if (result.kind === "accepted") return undefined;
    return result.kind === "refused" ? result.why : result.kind;
  }

  /**
   * Hands leadership to `to`, or to the voter that has most of the log and answers. Undefined when started, else why not.
   */
  transfer(to?: RaftId): string | undefined {
    let why = to === undefined ? "there is no other voter" : `${to} is not another voter`;
    const voters = this.#node.status().progress.filter((p) => !p.learner && (to === undefined || p.id === to));
    // A box that has just died may have as much of the log as a living one: the next is asked then.
    for (const { id } of voters.sort((a, b) => b.match - a.match)) {
      const result = this.#node.transferLeader(id, this.#ports.now());
      if (result.kind === "started") {
        this.drain();
        return undefined;
      }
      why = result.why;
    }
    return why;
  }

  applied(index: number): void {
    this.#node.applied(index, this.#ports.now());
    this.drain();
  }

  /** `isChunk`: it goes on the connection for snapshots; the few bytes of an answer go beside the entries. */
  sendSnapshot(to: RaftId, payload: Uint8Array, isChunk: boolean): boolean {
    const isSent = this.#ports.peers.send(to, isChunk ? "snapshot" : "bulk", frameType.snapshot, payload);
    this.#ports.peers.flush();
    return isSent;
  }

  /** The box has the snapshot, or cannot have it now: raft goes on with it. */
  reportSnapshot(to: RaftId, ok: boolean): void {
    this.#ports.peers.closeSnapshot(to);
    this.#node.reportSnapshot(to, ok);
    this.drain();
  }

  /** Lets the log forget what nobody needs any more. */
  purge(limits: PurgeLimits): void {
    const { log, now } = this.#ports;
    const status = this.#node.status();
    const firstIndex = log.firstIndex();
    const index = purgeIndex(limits, {
      ...{ firstIndex, sizeBytes: log.sizeBytes(), applied: status.applied },
      followers: status.progress,
      now: now(),
    });
    if (index < firstIndex) return;
    log.purgeTo(index);
    const kept = log.firstIndex();
    if (kept > firstIndex) this.#ports.work.log(`the log begins at entry ${kept} now (it was ${firstIndex})`);
  }

  /**
   * Without room this box does not acknowledge writes: they are as good as lost on their way, and come again. Heartbeats,
   * votes and the entries of raft itself go on, so the group keeps its leader.
   */
  setTakesEntries(takes: boolean): void {
    this.#takesEntries = takes;
  }

  /**
   * The cluster's timings, from the entry that this box has applied. Boxes apply it at different times, and one that lost
   * the tail of its state at a crash goes by older ones for a while: nothing rests on their being equal, because each
   * round names its E, each answer what it promises, and the largest promise outlives a restart.
   */
  setTimings(timings: Timings): void {
    this.#promiseMs = timings.promiseMs;
    this.#node.setTimings(timings, this.#ports.now());
    this.drain();
  }

  setSide(payload: Uint8Array): void {
    this.#side = payload.length <= SIDE_PAYLOAD_BYTES_MAX ? payload : payload.subarray(0, 0);
  }

  request(to: string, id: number, body: Uint8Array): boolean {
    const isSent = this.#ports.peers.send(to, "bulk", frameType.request, encodeRequest(id, body));
    this.#ports.peers.flush();
    return isSent;
  }

  response(to: string, id: number, ok: boolean, body: Uint8Array): void {
    this.#ports.peers.send(to, "bulk", frameType.response, encodeResponse(id, ok, body));
    this.#ports.peers.flush();
  }

  status(): ClusterStatus {
    const status = this.#node.status();
    return {
      raftId: status.id,
      role: status.role,
      term: status.term,
      vote: status.vote,
      leader: status.leader,
      commit: status.commit,
      applied: status.applied,
      lastIndex: status.lastIndex,
      lastTerm: status.lastTerm,
      members: status.membership.members,
      voters: status.membership.voters,
      learners: status.membership.learners,
      reachable: this.#ports.peers.reachable(),
      match: Object.fromEntries(status.progress.map((p) => [p.id, p.match])),
      answeredAgoMs: Object.fromEntries(status.progress.map((p) => [p.id, this.#ports.now() - p.answeredAt])),
      clockObstacle: this.#clockObstacle ?? "",
      leaseMs: Math.max(0, this.#lease.until - this.#ports.now()),
      longestTurnMs: this.#longestTurnMs,
      roundMs: this.#rounds.last,
      longestRoundMs: this.#rounds.longest(this.#ports.now()),
    };
  }

  /**
   * Lets go of the VIP first, then of leadership if somebody can take it: entries under way go to the successor before
   * it is asked, so turn on while {@link isHandingOn}, then {@link stop}.
   */
  leave(): void {
    this.#isLeaving = true;
    this.#lease.drop();
    this.#ports.publishLease(0);
    this.#ports.gate.release();
    if (this.#news.role === "leader") this.#hasSuccessor = this.transfer() === undefined;
  }

  /** A successor was asked and is not heard of as the leader yet. */
  get isHandingOn(): boolean {
    if (this.#isStopped || !this.#hasSuccessor) return false;
    const { role, leader } = this.#news;
    return role === "leader" ? this.#node.status().transferTo !== NOBODY : leader === NOBODY;
  }

  stop(): void {
    if (!this.#isLeaving) this.leave();
    this.#isStopped = true;
  }

  /** Ends at once, and asks nobody to follow: what this box belongs to goes on without it, or is no more. */
  halt(): void {
    this.#isStopped = true;
    this.#lease.drop();
    this.#ports.publishLease(0);
    this.#ports.gate.release();
  }

  /** Takes every Ready there is. Called at the end of each turn. */
  drain(): void {
    if (this.#isDraining || this.#isStopped) return;
    this.#isDraining = true;
    const startedAt = performance.now();
    try {
      for (let ready = this.#node.ready(); ready !== undefined; ready = this.#node.ready()) this.#handle(ready);
      this.#ports.peers.flush();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isDraining = false;
    }
    this.#longestTurnMs = Math.max(this.#longestTurnMs, performance.now() - startedAt);
  }

  /** Something that must not be gone on from: the core's own assertions (two leaders in a term) among them. */
  #input(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** From here on this box says nothing: what waits for the disk must not be acknowledged after it failed. */
  #fail(error: unknown): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#ports.fatal(error);
  }

  #handle(ready: Ready): void {
    if (ready.releaseLease) {
      this.#isReleased = true;
      this.#lease.drop();
      this.#ports.publishLease(0);
      this.#ports.gate.release();
    }
    this.#noteRole(ready);
    // Asked at this moment: what the clock was set to since the last tick counts for this round already.
    if (ready.heartbeatRound !== undefined && !this.#isLeaving && this.#judgeClock() === undefined) {
      const { round, promiseMs, membership } = ready.heartbeatRound;
      // Read before the token is added and before anything leaves: the lease counts from here.
      const sentAt = this.#ports.now();
      this.#ports.gate.beforeRound(round, leaseDurationMs(promiseMs));
      if (this.#lease.sent(round, sentAt, promiseMs, membership)) this.#confirmed(round);
    }
    for (const message of ready.messages) this.#send(message);
    this.#write(ready);
    this.#apply(ready.committedEntries);
    if (ready.snapshotNeeded.length > 0) this.#ports.work.snapshotNeeded(ready.snapshotNeeded);
  }

  #noteRole(ready: Ready): void {
    const { softState, hardState } = ready;
    const term = hardState?.term ?? this.#news.term;
    if (softState === undefined && term === this.#news.term) return;
    const role = softState?.role ?? this.#news.role;
    const wasLeader = this.#news.role === "leader";
    if (wasLeader && (role !== "leader" || term !== this.#news.term)) {
      this.#lease.drop();
      this.#ports.publishLease(0);
      this.#ports.gate.leadershipLost();
    }
    if (role !== "leader" || !wasLeader || term !== this.#news.term) {
      this.#isReleased = false;
      this.#leadsSince = this.#ports.now();
    }
    this.#setNews({
      role,
      term,
      leader: softState?.leader ?? this.#news.leader,
      ownTermCommitted: role === "leader" && wasLeader && term === this.#news.term && this.#news.ownTermCommitted,
      ownTermIndex: this.#news.ownTermIndex,
    });
  }

  #setNews(news: RoleNews): void {
    this.#news = news;
    this.#ports.work.role(news);
  }

  /**
   * A box whose clock cannot be relied on has no lease: VIP and tokens go at once, leadership to another box. It may be
   * taken up again in the same term when the clock is right, from a round that is sent then.
   */
  #judgeClock(): string | undefined {
    const why = this.#ports.clockObstacle();
    const before = this.#clockObstacle;
    this.#clockObstacle = why;
    const leads = this.#news.role === "leader";
    if (why !== undefined && before === undefined) {
      this.#ports.work.log(`no lease: ${why}`);
      this.#lease.drop();
      this.#ports.publishLease(0);
      if (leads && !this.#isReleased) this.#ports.gate.leadershipLost();
    }
    if (why === undefined && before !== undefined) {
      this.#ports.work.log("the clock of this box is good enough for a lease again");
      if (leads && this.#news.ownTermCommitted && !this.#isReleased) this.#ports.gate.leaderReady(this.#news.term);
    }
    if (why !== undefined && leads) this.#handOnForItsClock(before === undefined);
    return why;
  }

  /** At once when the clock went wrong under a leader; who was elected with such a clock is probably not the only one. */
  #handOnForItsClock(isNew: boolean): void {
    const now = this.#ports.now();
    if (this.#isLeaving || now - this.#handOverAskedAt < HAND_ON_EVERY_MS) return;
    if (!isNew && now - this.#leadsSince < HAND_ON_EVERY_MS) return;
    this.#handOverAskedAt = now;
    // Not within this turn: it may be in the middle of a Ready.
    this.#isHandOnDue = true;
  }

  /** A box without a lease does not seek leadership while others may: some seconds of silence say that none does. */
  #keepsBack(now: number): boolean {
    const isWaiting = this.#news.role === "follower" || this.#news.role === "learner";
    return this.#clockObstacle !== undefined && isWaiting && now - this.#leaderHeardAt < KEEP_BACK_MS;
  }

  #countAnswer(from: RaftId, round: number, promiseMs: number, now: number): void {
    if (this.#news.role !== "leader") return;
    if (!this.#lease.answered(from, round, promiseMs, this.#group.membership)) return;
    this.#rounds.answered(now - this.#lease.confirmedSentAt, now);
    this.#confirmed(round);
  }

  #confirmed(round: number): void {
    this.#ports.gate.roundConfirmed(round);
    this.#ports.publishLease(this.#lease.until);
  }

  #send(message: Message): void {
    const channel: Channel = message.kind === "append" || message.kind === "append-response" ? "bulk" : "control";
    this.#ports.peers.send(message.to, channel, frameType.raft, encodeMessage(message));
    if (message.kind === "heartbeat-response" && this.#side.length > 0)
      this.#ports.peers.send(message.to, "control", frameType.side, this.#side);
  }

  #write(ready: Ready): void {
    const done = (): void => {
      for (const message of ready.messagesAfterAppend) this.#send(message);
      this.#node.appended(ready.sequence, this.#ports.now());
    };
    if (ready.mustSync) {
      const afterwards = [done];
      this.#writing = afterwards;
      // A commit index alone is not worth a sync: it rides with the next group.
      this.#append({ entries: ready.entries, hardState: ready.hardState, commit: this.#commit }, () => {
        if (this.#writing === afterwards) this.#writing = undefined;
        for (const each of afterwards) each();
      });
    } else if (this.#writing !== undefined) this.#writing.push(done);
    else done();
  }

  /** Once `record` is durable, `done` and whatever follows from it. */
  #append(record: Append, done: () => void): void {
    this.#ports.log.append(record, (error) => {
      if (error !== undefined) this.#fail(error);
      else if (!this.#isStopped) {
        this.#input(done);
        this.drain();
      }
    });
  }

  #apply(entries: readonly LogEntry[]): void {
    const last = entries[entries.length - 1];
    if (last === undefined) return;
    this.#commit = last.index;
    this.#group.committed(entries);
    if (this.#news.role !== "leader" || this.#news.ownTermCommitted) return;
    const own = entries.find((entry) => entry.term === this.#news.term);
    if (own === undefined) return;
    this.#setNews({ ...this.#news, ownTermCommitted: true, ownTermIndex: own.index });
    if (this.#clockObstacle === undefined) this.#ports.gate.leaderReady(this.#news.term);
  }
}

function carriesWrites(message: Message): boolean {
  return message.kind === "append" && message.entries.some(({ kind, data }) => kind === "normal" && data.length > 0);
}

/** Each of at most {@link PIECE_BYTES}, or of one proposal that is larger. */
function inPieces(proposals: readonly Proposal[]): readonly (readonly Proposal[])[] {
  const pieces: Proposal[][] = [];
  let sizeBytes = Number.POSITIVE_INFINITY;
  for (const proposal of proposals) {
    sizeBytes += proposal.data.length;
    if (sizeBytes <= PIECE_BYTES) pieces.at(-1)?.push(proposal);
    else {
      pieces.push([proposal]);
      sizeBytes = proposal.data.length;
    }
  }
  return pieces;
}
