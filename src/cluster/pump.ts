import { decodeMessage, encodeMessage } from "../raft/codec.ts";
import { changeMembership } from "../raft/membership.ts";
import { decodeMembershipChange, encodeMembership } from "../raft/membership-codec.ts";
import type { Message } from "../raft/messages.ts";
import {
  type LogEntry,
  type Membership,
  type MembershipChange,
  NOBODY,
  type RaftId,
  type RaftNode,
  type Ready,
} from "../raft/types.ts";
import type { Append } from "../store/log/types.ts";
import { AddressBook, decodeMembershipAt } from "./address-book.ts";
import { type FrameType, frameType, SIDE_PAYLOAD_BYTES_MAX } from "./frame.ts";
import type { Channel, PeerMember } from "./hello.ts";
import { Lease } from "./lease.ts";
import type { ClusterStatus, LeaseGate, LogPort, MembershipAt, Proposal, RoleNews, WorkPort } from "./ports.ts";

/** A tick that comes later than this share of E was a pause: see {@link Pump.tick}. */
const PAUSE_SHARE = 0.5;
/** After a pause: for so long only sockets are read, ms, so that waiting heartbeats are heard before a campaign. */
const AFTER_PAUSE_MS = 20;
/** How often the leader looks whether a learner has caught up, ms. */
const PROMOTE_EVERY_MS = 100;
/** A learner may be so many entries behind and still be promoted: the pipe is that full under load. */
const PROMOTE_LAG_ENTRIES = 256;
/** A box that heard no leader for this long asks the members whether it missed a change of membership, and again, ms. */
const ASK_MEMBERS_EVERY_MS = 1000;

export interface PumpPeers {
  send(to: string, channel: Channel, type: FrameType, payload: Uint8Array): boolean;
  flush(): void;
  setMembers(members: readonly PeerMember[]): void;
  reachable(): string[];
}

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
  /** The disk or a promise failed: release everything and end the process. */
  readonly fatal: (error: unknown) => void;
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
  readonly #book: AddressBook;
  #membership: Membership;
  /** Membership entries up to here are in the record already: the state, which lags the log, gets them again. */
  #membershipIndex: number;
  /** Committed and not yet with the work thread: a membership entry waits for its record, what follows waits with it. */
  #held: LogEntry[] = [];
  #isRecording = false;
  #news: RoleNews;
  #side: Uint8Array = new Uint8Array(0);
  /** What the newest write lets happen once it is durable; undefined when none is under way. */
  #writing: (() => void)[] | undefined;
  #commit: number;
  #lastTickAt: number;
  #quietUntil = 0;
  #lastPromoteAt = 0;
  #isDraining = false;
  /** The VIP is let go for good: no round is counted any more, leadership is being handed on. */
  #isLeaving = false;
  /** While leaving: a successor was asked. */
  #hasSuccessor = false;
  /** Nothing more is said, counted or acknowledged: after a stop, and after a failure until the process ends. */
  #isStopped = false;
  #longestTurnMs = 0;
  #leaderHeardAt: number;
  #membersAskedAt: number;

  constructor(ports: PumpPorts, start: PumpStart) {
    this.#ports = ports;
    this.#node = ports.node;
    this.#lease = new Lease(ports.self);
    this.#book = new AddressBook(start.membership);
    this.#membership = start.membership.value;
    this.#membershipIndex = start.membership.index;
    this.#commit = start.commit;
    const { term } = ports.node.status();
    this.#news = { role: "follower", term, leader: "", ownTermCommitted: false, ownTermIndex: 0 };
    this.#lastTickAt = ports.now();
    this.#leaderHeardAt = this.#lastTickAt;
    this.#membersAskedAt = this.#lastTickAt;
    ports.peers.setMembers(this.#book.members());
    ports.work.membership(start.membership);
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
    if (this.#ports.promiseMs > 0 && late > this.#ports.promiseMs * PAUSE_SHARE) {
      this.#ports.work.log(`paused for ${late.toFixed(0)} ms: the lease is given up until a quorum answers again`);
      this.#lease.drop();
      this.#ports.publishLease(0);
      this.#quietUntil = now + AFTER_PAUSE_MS;
    }
    this.#ports.gate.tick();
    if (now < this.#quietUntil) return;
    this.#input(() => {
      // Read anew: the gate may have asked for a transfer at a later instant, and raft's time never goes back.
      const later = this.#ports.now();
      this.#node.tick(later);
      this.#promote(later);
      this.#askForMembers(later);
    });
    this.drain();
  }

  /** A frame of a member; act on it in {@link drain}, once for all that came together. */
  receive(from: string, type: FrameType, payload: Buffer): void {
    if (this.#isStopped) return;
    switch (type) {
      case frameType.raft: {
        const message = decodeMessage(payload);
        // A member speaks for itself only.
        if (message.from !== from || message.to !== this.#ports.self) return;
        const now = this.#ports.now();
        if (message.kind === "heartbeat" || message.kind === "append") this.#leaderHeardAt = now;
        this.#input(() => this.#node.step(message, now));
        if (message.kind === "heartbeat-response" && message.term === this.#news.term)
          this.#countAnswer(message.from, message.round, message.promiseMs);
        return;
      }
      case frameType.side:
        this.#ports.work.side(from, copyOf(payload));
        return;
      case frameType.members:
        this.#hearMembers(from, payload);
        return;
      case frameType.request:
        this.#ports.work.request(from, payload.readUInt32LE(0), copyOf(payload.subarray(4)));
        return;
      case frameType.response:
        this.#ports.work.response(from, payload.readUInt32LE(0), payload[4] === 1, copyOf(payload.subarray(5)));
        return;
      default:
        return;
    }
  }

  unreachable(raftId: string): void {
    this.#node.reportUnreachable(raftId);
  }

  propose(proposals: readonly Proposal[]): void {
    const result = this.#node.propose(
      proposals.map((p) => p.data),
      this.#ports.now(),
    );
    if (result.kind !== "accepted") {
      // Busy with a transfer is as good as gone: the caller is to ask the next leader, not to be told of a full pipe.
      const isHandingOn = this.#node.status().transferTo !== NOBODY;
      this.#ports.work.refused(
        proposals.map((p) => p.requestId),
        isHandingOn ? "not-leader" : result.kind,
      );
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

  setSide(payload: Uint8Array): void {
    this.#side = payload.length <= SIDE_PAYLOAD_BYTES_MAX ? payload : payload.subarray(0, 0);
  }

  request(to: string, id: number, body: Uint8Array): boolean {
    const payload = Buffer.allocUnsafe(4 + body.length);
    payload.writeUInt32LE(id, 0);
    payload.set(body, 4);
    const isSent = this.#ports.peers.send(to, "bulk", frameType.request, payload);
    this.#ports.peers.flush();
    return isSent;
  }

  response(to: string, id: number, ok: boolean, body: Uint8Array): void {
    const payload = Buffer.allocUnsafe(5 + body.length);
    payload.writeUInt32LE(id, 0);
    payload[4] = ok ? 1 : 0;
    payload.set(body, 5);
    this.#ports.peers.send(to, "bulk", frameType.response, payload);
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
      leaseMs: Math.max(0, this.#lease.until - this.#ports.now()),
      longestTurnMs: this.#longestTurnMs,
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
      this.#lease.drop();
      this.#ports.publishLease(0);
      this.#ports.gate.release();
    }
    this.#noteRole(ready);
    if (ready.heartbeatRound !== undefined && !this.#isLeaving) {
      const { round, promiseMs, membership } = ready.heartbeatRound;
      // Read before the token is added and before anything leaves: the lease counts from here.
      const sentAt = this.#ports.now();
      this.#ports.gate.beforeRound(round);
      if (this.#lease.sent(round, sentAt, promiseMs, membership)) this.#confirmed(round);
    }
    for (const message of ready.messages) this.#send(message);
    this.#write(ready);
    this.#apply(ready.committedEntries);
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

  #countAnswer(from: RaftId, round: number, promiseMs: number): void {
    if (this.#news.role !== "leader") return;
    if (this.#lease.answered(from, round, promiseMs, this.#membership)) this.#confirmed(round);
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
    this.#held.push(...entries);
    this.#handOver();
    if (this.#news.role !== "leader" || this.#news.ownTermCommitted) return;
    const own = entries.find((entry) => entry.term === this.#news.term);
    if (own === undefined) return;
    this.#setNews({ ...this.#news, ownTermCommitted: true, ownTermIndex: own.index });
    this.#ports.gate.leaderReady(this.#news.term);
  }

  /** To the work thread goes what is committed, up to the first membership entry without a record. */
  #handOver(): void {
    if (this.#isRecording) return;
    const stop = this.#held.findIndex((entry) => entry.kind === "membership" && entry.index > this.#membershipIndex);
    const ready = this.#held.splice(0, stop === -1 ? this.#held.length : stop);
    if (ready.length > 0) this.#ports.work.committed(ready);
    const change = this.#held[0];
    if (change !== undefined) this.#recordMembership(change);
  }

  /**
   * The record is synced first, then the change is in force, then the state may apply its entry: a restart takes its
   * voters from the log, and what the state has applied is not handed out again.
   */
  #recordMembership(entry: LogEntry): void {
    this.#isRecording = true;
    const change = decodeMembershipChange(entry.data);
    const result = changeMembership(this.#membership, change);
    const value = result.kind === "changed" ? result.membership : this.#membership;
    const record = { index: entry.index, bytes: encodeMembership(value) };
    this.#append({ entries: [], membership: record, commit: this.#commit }, () => {
      this.#isRecording = false;
      this.#membershipIndex = entry.index;
      this.#membership = this.#node.applyMembership(entry.index, change, this.#ports.now());
      const membership = { value: this.#membership, index: entry.index };
      this.#book.putInForce(membership);
      this.#ports.peers.setMembers(this.#book.members());
      this.#ports.work.membership(membership);
      this.#handOver();
    });
  }

  /** Who leads now may be somebody whom this box does not know, and whose connections it refuses: members may know. */
  #askForMembers(now: number): void {
    if (this.#news.role === "leader") return;
    if (now - Math.max(this.#leaderHeardAt, this.#membersAskedAt) < ASK_MEMBERS_EVERY_MS) return;
    this.#membersAskedAt = now;
    const payload = this.#book.encoded();
    for (const { raftId } of this.#book.members())
      if (raftId !== this.#ports.self) this.#ports.peers.send(raftId, "control", frameType.members, payload);
  }

  #hearMembers(from: RaftId, payload: Uint8Array): void {
    const heard = this.#book.hear(decodeMembershipAt(payload));
    if (heard === "answer") this.#ports.peers.send(from, "control", frameType.members, this.#book.encoded());
    else if (heard === "new") {
      this.#ports.work.log(`${from} names members that this box did not know: it missed a change of membership`);
      this.#ports.peers.setMembers(this.#book.members());
    }
  }

  #promote(now: number): void {
    if (this.#news.role !== "leader" || this.#membership.learners.length === 0) return;
    if (now - this.#lastPromoteAt < PROMOTE_EVERY_MS) return;
    this.#lastPromoteAt = now;
    const status = this.#node.status();
    const ready = status.progress.find(
      (p) => p.learner && p.state === "replicate" && p.match + PROMOTE_LAG_ENTRIES >= status.commit,
    );
    if (ready === undefined) return;
    const why = this.#node.proposeMembership({ kind: "simple", steps: [{ kind: "promote", raftId: ready.id }] }, now);
    if (why.kind === "accepted") this.#ports.work.log(`${ready.id} has caught up and becomes a voter`);
  }
}

/** `Uint8Array.from` walks through the bytes one by one: 166 ms for a call of 4 MiB, where a lease lasts 123 ms (measured). */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
