import { changeMembership, memberOf } from "../raft/membership.ts";
import { decodeMembershipChange, encodeMembership } from "../raft/membership-codec.ts";
import type { LogEntry, Membership, MembershipChange, RaftId, RaftNode } from "../raft/types.ts";
import type { MembershipRecord } from "../store/log/types.ts";
import { AddressBook, decodeMembershipAt } from "./address-book.ts";
import { frameType } from "./frame.ts";
import type { MembershipAt, PumpPeers, WorkPort } from "./ports.ts";

/** How often the leader looks whether a learner has caught up, ms. */
const PROMOTE_EVERY_MS = 100;
/** A learner may be so many entries behind and still be promoted: the pipe is that full under load. */
const PROMOTE_LAG_ENTRIES = 256;
/** A box that heard no leader for this long asks the members whether it missed a change of membership, and again, ms. */
const ASK_MEMBERS_EVERY_MS = 1000;

export interface GroupPorts {
  readonly self: RaftId;
  readonly node: RaftNode;
  readonly peers: PumpPeers;
  readonly work: WorkPort;
  readonly now: () => number;
  /** Once the record is durable, `done`, in a turn of the pump. */
  readonly record: (record: MembershipRecord, done: () => void) => void;
}

/**
 * The pump's membership: in force, recorded before it is, told to connections and state; and committed entries on their
 * way to the state, which wait for the record of a membership among them.
 */
export class Group {
  readonly #ports: GroupPorts;
  readonly #book: AddressBook;
  #membership: Membership;
  /** Membership entries up to here are in the record already: the state, which lags the log, gets them again. */
  #membershipIndex: number;
  /** Committed and not yet with the work thread: a membership entry waits for its record, what follows waits with it. */
  #held: LogEntry[] = [];
  #isRecording = false;
  #lastPromoteAt = 0;
  #leaderHeardAt: number;
  #membersAskedAt: number;

  constructor(ports: GroupPorts, start: MembershipAt) {
    this.#ports = ports;
    this.#book = new AddressBook(start);
    this.#membership = start.value;
    this.#membershipIndex = start.index;
    this.#leaderHeardAt = ports.now();
    this.#membersAskedAt = this.#leaderHeardAt;
    ports.peers.setMembers(this.#book.members(), start.index, this.#isMember());
    ports.work.membership(start);
  }

  get membership(): Membership {
    return this.#membership;
  }

  leaderHeard(now: number): void {
    this.#leaderHeardAt = now;
  }

  /** What is due: a leader's learners, a follower's question who leads. */
  tick(now: number, isLeader: boolean): void {
    if (isLeader) this.#promote(now);
    else this.#askForMembers(now);
  }

  /** Committed, in order. */
  committed(entries: readonly LogEntry[]): void {
    this.#held.push(...entries);
    this.#handOver();
  }

  /** A member says which members it knows. */
  hear(from: RaftId, payload: Uint8Array): void {
    const { peers, work } = this.#ports;
    const membership = decodeMembershipAt(payload);
    const heard = this.#book.hear(membership);
    if (heard === "answer") peers.send(from, "control", frameType.members, this.#book.encoded());
    else if (heard === "new") {
      work.log(`${from} names members that this box did not know: it missed a change of membership`);
      peers.setMembers(this.#book.members(), this.#membershipIndex, this.#isMember());
      // Newer than ours and without us: raft ids never come back, so there is nothing to wait for.
      if (this.#isMember() && !this.#isIn(membership.value)) work.removed(membership.index);
    }
  }

  #isMember(): boolean {
    return this.#isIn(this.#membership);
  }

  #isIn(membership: Membership): boolean {
    return memberOf(membership, this.#ports.self) !== undefined;
  }

  /** To the work thread goes what is committed, up to the first membership entry without a record. */
  #handOver(): void {
    if (this.#isRecording) return;
    const stop = this.#held.findIndex((entry) => entry.kind === "membership" && entry.index > this.#membershipIndex);
    const ready = this.#held.splice(0, stop === -1 ? this.#held.length : stop);
    if (ready.length > 0) this.#ports.work.committed(ready);
    const change = this.#held[0];
    if (change !== undefined) this.#record(change);
  }

  /**
   * The record is synced first, then the change is in force, then the state may apply its entry: a restart takes its
   * voters from the log, and what the state has applied is not handed out again.
   */
  #record(entry: LogEntry): void {
    this.#isRecording = true;
    const change = decodeMembershipChange(entry.data);
    const result = changeMembership(this.#membership, change);
    const value = result.kind === "changed" ? result.membership : this.#membership;
    this.#ports.record({ index: entry.index, bytes: encodeMembership(value) }, () => {
      this.#isRecording = false;
      this.#putInForce(entry.index, change);
      this.#handOver();
    });
  }

  #putInForce(index: number, change: MembershipChange): void {
    const { node, peers, work, now } = this.#ports;
    const wasMember = this.#isMember();
    this.#membershipIndex = index;
    this.#membership = node.applyMembership(index, change, now());
    const membership = { value: this.#membership, index };
    this.#book.putInForce(membership);
    peers.setMembers(this.#book.members(), index, this.#isMember());
    work.membership(membership);
    if (wasMember && !this.#isMember()) work.removed(index);
  }

  /** Who leads now may be somebody whom this box does not know, and whose connections it refuses: members may know. */
  #askForMembers(now: number): void {
    if (now - Math.max(this.#leaderHeardAt, this.#membersAskedAt) < ASK_MEMBERS_EVERY_MS) return;
    this.#membersAskedAt = now;
    const { peers, self } = this.#ports;
    const payload = this.#book.encoded();
    for (const { raftId } of this.#book.members())
      if (raftId !== self) peers.send(raftId, "control", frameType.members, payload);
  }

  #promote(now: number): void {
    if (this.#membership.learners.length === 0 || now - this.#lastPromoteAt < PROMOTE_EVERY_MS) return;
    this.#lastPromoteAt = now;
    const { node, work } = this.#ports;
    const status = node.status();
    const ready = status.progress.find(
      (p) => p.learner && p.state === "replicate" && p.match + PROMOTE_LAG_ENTRIES >= status.commit,
    );
    if (ready === undefined) return;
    const why = node.proposeMembership({ kind: "simple", steps: [{ kind: "promote", raftId: ready.id }] }, now);
    if (why.kind === "accepted") work.log(`${ready.id} has caught up and becomes a voter`);
  }
}
