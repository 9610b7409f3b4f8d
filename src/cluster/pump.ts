import { decodeMessage, encodeMessage } from "../raft/codec.ts";
import { changeMembership } from "../raft/membership.ts";
import { decodeMembershipChange, encodeMembership } from "../raft/membership-codec.ts";
import type { Message } from "../raft/messages.ts";
import type { LogEntry, Membership, MembershipChange, RaftId, RaftNode, Ready } from "../raft/types.ts";
import type { Append } from "../store/log/types.ts";
import { type FrameType, frameType, SIDE_PAYLOAD_BYTES_MAX } from "./frame.ts";
import { Lease } from "./lease.ts";
import type { Channel, PeerMember } from "./peers.ts";
import type { ClusterStatus, LeaseGate, LogPort, MembershipAt, Proposal, RoleNews, WorkPort } from "./ports.ts";

/** A tick that comes later than this share of E was a pause: see {@link Pump.tick}. */
const PAUSE_SHARE = 0.5;
/** After a pause: for so long only sockets are read, ms, so that waiting heartbeats are heard before a campaign. */
const AFTER_PAUSE_MS = 20;
/** How often the leader looks whether a learner has caught up, ms. */
const PROMOTE_EVERY_MS = 100;
/** A learner may be so many entries behind and still be promoted: the pipe is that full under load. */
const PROMOTE_LAG_ENTRIES = 256;

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
  #membership: Membership;
  /** With the changes whose records are still being synced. */
  #nextMembership: Membership;
  /** Membership entries up to here are in the record already: the state, which lags the log, hands them out again. */
  #membershipIndex: number;
  #news: RoleNews = { role: "follower", term: 0, leader: "", ownTermCommitted: false, ownTermIndex: 0 };
  #side: Uint8Array = new Uint8Array(0);
  /** What the newest write lets happen once it is durable; undefined when none is under way. */
  #writing: (() => void)[] | undefined;
  #commit: number;
  #lastTickAt: number;
  #quietUntil = 0;
  #lastPromoteAt = 0;
  #isDraining = false;
  #isStopped = false;
  #longestTurnMs = 0;
  /** Indexes of membership entries whose record is not yet synced: `applied` may not pass them. */
  #openMemberships: number[] = [];
  #appliedByWork: number;

  constructor(ports: PumpPorts, start: PumpStart) {
    this.#ports = ports;
    this.#node = ports.node;
    this.#lease = new Lease(ports.self);
    this.#membership = start.membership.value;
    this.#nextMembership = start.membership.value;
    this.#membershipIndex = start.membership.index;
    this.#commit = start.commit;
    this.#appliedByWork = start.applied;
    this.#lastTickAt = ports.now();
    ports.peers.setMembers(peersOf(start.membership.value));
    ports.work.membership(start.membership);
  }

  /**
   * Every few ms. A tick that comes late by more than half of E was a pause of this process: what it believed is stale,
   * so the lease is not used until a new round confirms it, and the sockets are read before anybody campaigns.
   */
  tick(): void {
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
    this.#node.tick(now);
    this.#promote(now);
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
        this.#node.step(message, this.#ports.now());
        if (message.kind === "heartbeat-response" && message.term === this.#news.term)
          this.#countAnswer(message.from, message.round, message.promiseMs);
        return;
      }
      case frameType.side:
        this.#ports.work.side(from, Uint8Array.from(payload));
        return;
      case frameType.request:
        this.#ports.work.request(from, payload.readUInt32LE(0), Uint8Array.from(payload.subarray(4)));
        return;
      case frameType.response:
        this.#ports.work.response(
          from,
          payload.readUInt32LE(0),
          payload[4] === 1,
          Uint8Array.from(payload.subarray(5)),
        );
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
    if (result.kind !== "accepted")
      this.#ports.work.refused(
        proposals.map((p) => p.requestId),
        result.kind,
      );
    this.drain();
  }

  /** Undefined when it was taken into the log, else why not. It is in force when {@link WorkPort.membership} names it. */
  proposeMembership(change: MembershipChange): string | undefined {
    const result = this.#node.proposeMembership(change, this.#ports.now());
    this.drain();
    if (result.kind === "accepted") return undefined;
    return result.kind === "refused" ? result.why : result.kind;
  }

  /** Hands leadership to `to`, or to the member that has most of the log. Undefined when started, else why not. */
  transfer(to?: RaftId): string | undefined {
    const status = this.#node.status();
    const best = status.progress
      .filter((p) => !p.learner && (to === undefined || p.id === to))
      .sort((a, b) => b.match - a.match)[0];
    if (best === undefined) return to === undefined ? "there is no other voter" : `${to} is not another voter`;
    const result = this.#node.transferLeader(best.id, this.#ports.now());
    this.drain();
    return result.kind === "started" ? undefined : result.why;
  }

  applied(index: number): void {
    this.#appliedByWork = index;
    this.#reportApplied();
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

  /** Lets go of the VIP first, then of leadership if somebody can take it. */
  stop(): void {
    this.#ports.gate.release();
    this.#ports.publishLease(0);
    if (this.#news.role === "leader") this.transfer();
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
      this.#ports.fatal(error);
    } finally {
      this.#isDraining = false;
    }
    this.#longestTurnMs = Math.max(this.#longestTurnMs, performance.now() - startedAt);
  }

  #handle(ready: Ready): void {
    if (ready.releaseLease) {
      this.#lease.drop();
      this.#ports.publishLease(0);
      this.#ports.gate.release();
    }
    this.#noteRole(ready);
    if (ready.heartbeatRound !== undefined) {
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
      ownTermIndex: 0,
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
      if (error !== undefined) this.#ports.fatal(error);
      else if (!this.#isStopped) {
        done();
        this.drain();
      }
    });
  }

  #apply(entries: readonly LogEntry[]): void {
    const last = entries[entries.length - 1];
    if (last === undefined) return;
    this.#commit = last.index;
    for (const entry of entries) if (entry.kind === "membership") this.#changeMembership(entry);
    this.#ports.work.committed(entries);
    if (this.#news.role !== "leader" || this.#news.ownTermCommitted) return;
    const own = entries.find((entry) => entry.term === this.#news.term);
    if (own === undefined) return;
    this.#setNews({ ...this.#news, ownTermCommitted: true, ownTermIndex: own.index });
    this.#ports.gate.leaderReady(this.#news.term);
  }

  /**
   * The record is synced first, then the change is in force, then `applied` may pass it: a restart takes its voters from
   * the log, never from SQLite.
   */
  #changeMembership(entry: LogEntry): void {
    if (entry.index <= this.#membershipIndex) return;
    this.#membershipIndex = entry.index;
    const change = decodeMembershipChange(entry.data);
    const result = changeMembership(this.#nextMembership, change);
    const next = result.kind === "changed" ? result.membership : this.#nextMembership;
    this.#nextMembership = next;
    this.#openMemberships.push(entry.index);
    const record = { index: entry.index, bytes: encodeMembership(next) };
    this.#append({ entries: [], membership: record, commit: this.#commit }, () => {
      this.#openMemberships = this.#openMemberships.filter((index) => index !== entry.index);
      this.#membership = this.#node.applyMembership(entry.index, change, this.#ports.now());
      this.#ports.peers.setMembers(peersOf(this.#membership));
      this.#ports.work.membership({ value: this.#membership, index: entry.index });
      this.#reportApplied();
    });
  }

  #reportApplied(): void {
    const open = this.#openMemberships[0];
    this.#node.applied(
      open === undefined ? this.#appliedByWork : Math.min(this.#appliedByWork, open - 1),
      this.#ports.now(),
    );
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

function peersOf(membership: Membership): PeerMember[] {
  return membership.members.map((m) => ({
    raftId: m.raftId,
    address: m.peerAddress,
    certificateHash: m.certificateHash,
  }));
}
