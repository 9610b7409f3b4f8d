import type { Message } from "../../src/raft/messages.ts";
import { isQuorum } from "../../src/raft/quorum.ts";
import type { LogEntry, RaftId, RaftNode, Ready, Status } from "../../src/raft/types.ts";
import type { SimBox } from "./box.ts";
import { decodeWrite, SimMachine } from "./machine.ts";
import { demand } from "./violation.ts";
import type { World } from "./world.ts";

interface Acknowledged {
  readonly client: number;
  readonly sequence: number;
  readonly index: number;
  readonly value: number;
}

/** So many waits in a row that are equal but for a timer's lateness: by chance once in some hundred million. */
const EQUAL_WAITS = 9;
const EQUAL_WAITS_MS = 14;
/** The shortest whole election time-out of any timings, less the error of a clock. */
const FULL_WAIT_MS_MIN = 160;

/** What must hold at every step, seen from outside: it knows what all boxes did, and believes none of them. */
export class Checks {
  readonly #world: World;
  readonly #boxes: () => readonly SimBox[];
  readonly #leaders = new Map<number, RaftId>();
  readonly #grants = new Map<string, RaftId>();
  /** (term, index) → content and predecessor: one log, wherever an entry is. */
  readonly #contents = new Map<string, number>();
  /** The one committed log, as the first box that committed each entry had it. */
  readonly committed: LogEntry[] = [];
  /** By index: in which term the first box learned that the entry is committed. */
  readonly #commitTerms: number[] = [];
  readonly #hashes: number[] = [];
  readonly #acknowledged: Acknowledged[] = [];
  /** Requests whose client was told that nothing happened. */
  readonly #failed = new Set<string>();
  /** Until when, on its own clock, a box promised to vote for nobody. */
  readonly #promises = new Map<RaftId, number>();
  /** Elections that a leader asked for itself. */
  readonly #transferTerms = new Set<number>();
  readonly #applications = new Map<string, number>();
  acknowledgedIndex = 0;

  constructor(world: World, boxes: () => readonly SimBox[]) {
    this.#world = world;
    this.#boxes = boxes;
  }

  get lastCommitted(): LogEntry | undefined {
    return this.committed[this.committed.length - 1];
  }

  started(box: SimBox): void {
    // Entries that the state has are not handed out again: what its log does not say of them, the box will never know.
    for (let index = box.machine.applied; index > box.membershipIndex; index--)
      demand(this.committed[index - 1]?.kind !== "membership", "a restart knows the membership it had", () => {
        return `${box.id} has applied ${box.machine.applied}, its record is of ${box.membershipIndex}, ${index} changed it`;
      });
    for (const entry of box.disk.view) this.#content(box, entry, box.disk.view[entry.index - 2]?.term ?? 0);
  }

  /** A Ready as it leaves the core. */
  ready(box: SimBox, ready: Ready): void {
    const { view } = box.disk;
    const entries = this.#pendingView(box, ready);
    if (ready.softState !== undefined && box.role === "leader") this.#wonLeadership(box, entries);
    let previousTerm = 0;
    const first = ready.entries[0];
    if (first !== undefined) {
      previousTerm = entries[first.index - 2]?.term ?? 0;
      if (first.index <= view.length) this.#world.count("log cut at a conflict");
      const last = this.lastCommitted;
      const isCut = last !== undefined && first.index <= view.length && first.index <= box.machine.applied;
      demand(!isCut, "no truncation at or below applied", () => `${box.id} cuts at ${first.index}`);
    }
    for (const entry of ready.entries) {
      this.#content(box, entry, previousTerm);
      previousTerm = entry.term;
      if (box.role === "leader" && entry.kind === "membership" && entry.term === box.term)
        this.#changeProposed(box, entry, entries);
    }
    if (box.role === "leader" && ready.hardState !== undefined) this.#leaderCommit(box, entries);
    for (const entry of ready.committedEntries) this.#commit(box, entry);
  }

  /** What the box's log is once this Ready and all before it are written. */
  readonly #views = new Map<RaftId, { incarnation: RaftNode | undefined; log: LogEntry[] }>();
  #pendingView(box: SimBox, ready: Ready): LogEntry[] {
    let known = this.#views.get(box.id);
    if (known === undefined || known.incarnation !== box.node) {
      known = { incarnation: box.node, log: [...box.disk.view] };
      this.#views.set(box.id, known);
    }
    const first = ready.entries[0];
    if (first !== undefined) {
      known.log.length = first.index - 1;
      for (const entry of ready.entries) known.log.push(entry);
    }
    return known.log;
  }

  #wonLeadership(box: SimBox, log: readonly LogEntry[]): void {
    this.#world.count("leaders elected");
    const known = this.#leaders.get(box.term);
    demand(known === undefined || known === box.id, "one leader a term", () => `${known} and ${box.id} in ${box.term}`);
    this.#leaders.set(box.term, box.id);
    demand(this.#hasVotes(box, box.term), "a leader has the votes of a quorum", () => {
      return `${box.id} leads term ${box.term}, a quorum did not vote for it`;
    });
    // A leader of an old term may win late; what it must have is what was committed in the terms before its own.
    let index = this.committed.length;
    while (index > 0 && (this.#commitTerms[index] ?? 0) >= box.term) index--;
    const last = this.committed[index - 1];
    if (last === undefined) return;
    const own = log[last.index - 1];
    demand(own?.term === last.term, "leader completeness", () => {
      return `${box.id} leads term ${box.term} without committed ${last.index}@${last.term}, has term ${own?.term}`;
    });
  }

  #hasVotes(box: SimBox, term: number): boolean {
    // A lonely voter asks nobody: its own vote is seen on its disk only.
    const { hardState } = box.disk;
    const isOwnVote =
      hardState.term === term ? hardState.vote === box.id : this.#grants.get(`${box.id}/${term}`) === box.id;
    return isQuorum(box.membership, (id) => (id === box.id ? isOwnVote : this.#grants.get(`${id}/${term}`) === box.id));
  }

  #content(box: SimBox, entry: LogEntry, previousTerm: number): void {
    let hash = 0x811c9dc5 ^ previousTerm;
    for (const byte of entry.data) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
    hash = Math.imul(hash ^ (entry.kind === "membership" ? 1 : 2), 0x01000193) >>> 0;
    const key = `${entry.term}/${entry.index}`;
    const known = this.#contents.get(key);
    if (known === undefined) this.#contents.set(key, hash);
    else demand(known === hash, "log matching", () => `${box.id} holds another ${entry.index}@${entry.term}`);
  }

  #leaderCommit(box: SimBox, log: readonly LogEntry[]): void {
    const { commit } = box;
    const entry = log[commit - 1];
    if (entry === undefined || commit <= (this.lastCommitted?.index ?? 0)) return;
    demand(entry.term === box.term, "only entries of the own term are counted", () => {
      return `${box.id} commits ${commit}@${entry.term} in term ${box.term}`;
    });
    const boxes = this.#boxes();
    const holds = (id: RaftId): boolean => boxes.find((each) => each.id === id)?.disk.log.term(commit) === entry.term;
    demand(isQuorum(box.membership, holds), "commit only with a durable quorum", () => {
      return `${box.id} commits ${commit}@${entry.term}, durable on ${boxes.filter((each) => holds(each.id)).length}`;
    });
    // Known from here on, also when this box never hands it out: a later leader must have it.
    for (let index = this.committed.length; index < commit; index++) this.#commit(box, log[index] as LogEntry);
  }

  #commit(box: SimBox, entry: LogEntry): void {
    const known = this.committed[entry.index - 1];
    if (known === undefined) {
      demand(entry.index === this.committed.length + 1, "commit in order", () => `${box.id} commits ${entry.index}`);
      this.committed.push(entry);
      this.#commitTerms[entry.index] = box.term;
      return;
    }
    demand(known.term === entry.term, "one committed log", () => {
      return `${box.id} commits ${entry.index}@${entry.term}, elsewhere it is @${known.term}`;
    });
  }

  #changeProposed(box: SimBox, entry: LogEntry, log: readonly LogEntry[]): void {
    for (let index = entry.index - 1; index > box.machine.applied; index--) {
      const other = log[index - 1];
      demand(other?.kind !== "membership", "one membership change at a time", () => {
        return `${box.id} proposes ${entry.index} while ${index} is in flight`;
      });
    }
    demand(log[box.commit - 1]?.term === box.term, "a change needs an own-term commit", () => {
      return `${box.id} proposes ${entry.index} in term ${box.term}, committed is of term ${log[box.commit - 1]?.term}`;
    });
  }

  /** What a leader believes a member to have, as it has just heard from it: the member's disk must say the same. */
  matches(leader: SimBox, status: Status, from: RaftId): void {
    const match = status.progress.find((each) => each.id === from)?.match ?? 0;
    const disk = this.#boxes().find((each) => each.id === from)?.disk;
    if (match === 0 || disk === undefined || status.role !== "leader" || match < disk.log.firstIndex()) return;
    const own = this.#views.get(leader.id)?.log[match - 1]?.term;
    const held = disk.log.term(match);
    // A leader of a newer term may have cut that log since.
    const isCut = disk.hardState.term > status.term;
    demand(isCut || held === own, "match is never above what a member holds", () => {
      return `${leader.id} believes that ${from} has ${match}@${own}, it has term ${held}`;
    });
  }

  /** A message leaves a box. */
  sent(box: SimBox, message: Message): void {
    const { hardState, log } = box.disk;
    const durable = (holds: boolean, what: string): void => {
      demand(holds, "nothing promised before it is durable", () => `${box.id}: ${what} in term ${message.term}`);
    };
    switch (message.kind) {
      case "append":
      case "heartbeat": {
        // Elected and deposed between two Readys: nobody was told, but what it sent as leader still leaves.
        if (!this.#leaders.has(message.term) && this.#hasVotes(box, message.term))
          this.#leaders.set(message.term, box.id);
        const leader = this.#leaders.get(message.term);
        demand(leader === box.id, "leader messages only from the leader of the term", () => {
          return `${box.id} sends ${message.kind} of term ${message.term}, led by ${leader ?? "nobody"}`;
        });
        return;
      }
      case "vote-request":
        if (message.preVote) {
          this.#waited(box);
          return;
        }
        durable(hardState.term >= message.term, "its own vote");
        if (message.transfer) this.#transferTerms.add(message.term);
        this.#granted(box, message.term, box.id);
        return;
      case "vote-response":
        if (message.preVote || !message.granted) return;
        durable(
          hardState.term > message.term || (hardState.term === message.term && hardState.vote === message.to),
          `a vote for ${message.to}`,
        );
        this.#granted(box, message.term, message.to);
        return;
      case "append-response":
        if (message.rejected) return;
        durable(hardState.term >= message.term, "an acknowledgement");
        // A newer leader may have cut the log since; then the term on disk says so.
        durable(log.lastIndex() >= message.index || hardState.term > message.term, `entry ${message.index}`);
        return;
      case "heartbeat-response": {
        if (message.promiseMs === 0) return;
        durable(hardState.promiseMs >= message.promiseMs && hardState.term >= message.term, "a promise");
        const receivedAt = box.receipts.get(`${message.term}/${message.round}`);
        if (receivedAt === undefined) return;
        const until = Math.max(this.#promises.get(box.id) ?? 0, receivedAt + message.promiseMs);
        this.#promises.set(box.id, until);
        return;
      }
      default:
        return;
    }
  }

  /** Boxes that wait equally long for the same things collide for ever: each wait is drawn anew. */
  #waited(box: SimBox): void {
    const known = this.#electionWaits.get(box.id);
    const now = box.localNow;
    if (known === undefined || known.node !== box.node) {
      this.#electionWaits.set(box.id, { node: box.node, at: now, waits: [] });
      return;
    }
    const wait = now - known.at;
    // The other requests of the same round.
    if (wait < 1) return;
    known.at = now;
    // After a refused round it tries again soon: those waits are short, and too many of them are alike by chance.
    if (wait < FULL_WAIT_MS_MIN) known.waits.length = 0;
    else known.waits.push(wait);
    if (known.waits.length > EQUAL_WAITS) known.waits.shift();
    const spread = Math.max(...known.waits) - Math.min(...known.waits);
    demand(known.waits.length < EQUAL_WAITS || spread > EQUAL_WAITS_MS, "election time-outs are drawn anew", () => {
      return `${box.id} asked after ${known.waits.map((each) => each.toFixed(0)).join(" ")} ms`;
    });
  }
  readonly #electionWaits = new Map<RaftId, { node: RaftNode | undefined; at: number; waits: number[] }>();

  /** A vote leaves: one a term, and none within a promise unless the leader itself asked for the election. */
  #granted(box: SimBox, term: number, candidate: RaftId): void {
    const key = `${box.id}/${term}`;
    const known = this.#grants.get(key);
    demand(known === undefined || known === candidate, "one grant per voter and term", () => {
      return `${box.id} votes for ${candidate} in term ${term}, it gave its vote to ${known}`;
    });
    this.#grants.set(key, candidate);
    if (this.#transferTerms.has(term)) return;
    const until = this.#promises.get(box.id) ?? 0;
    // Half a millisecond: the request is made at the input and leaves after the sync.
    demand(box.localNow >= until - 0.5, "no vote within one's own promise", () => {
      return `${box.id} votes for ${candidate} ${(until - box.localNow).toFixed(1)} ms before its promise ends`;
    });
  }

  preVoteAsked(box: SimBox, term: number, before: number): void {
    demand(term === before, "a pre-vote raises no term", () => `${box.id} went from term ${before} to ${term}`);
  }

  applied(box: SimBox, entry: LogEntry, value: number): void {
    const { hash } = box.machine;
    const known = this.#hashes[entry.index];
    if (known === undefined) this.#hashes[entry.index] = hash;
    else demand(known === hash, "one state per applied index", () => `${box.id} differs at ${entry.index}`);
    this.#world.observe(hash);
    if (entry.kind !== "normal" || entry.data.length === 0) return;
    const write = decodeWrite(entry.data);
    const key = `${write.client}/${write.sequence}`;
    demand(!this.#failed.has(key), "failed means that nothing happened", () => `${key} is applied at ${entry.index}`);
    // Too old to be executed.
    if (value === 0) return;
    const first = this.#applications.get(key);
    if (first === undefined) this.#applications.set(key, value);
    else demand(first === value, "a request is applied once", () => `${key} gave ${first}, then ${value}`);
  }

  /** A snapshot has become a box's state. */
  installed(box: SimBox): void {
    const { applied, hash } = box.machine;
    const known = this.#hashes[applied];
    demand(known === undefined || known === hash, "one state per applied index", () => {
      return `${box.id} was given another one at ${applied}`;
    });
  }

  /** The state at an index, made again from the committed log: what a box has after losing its last transactions. */
  machineAt(index: number): SimMachine {
    const machine = new SimMachine();
    const withoutKey = this.#world.mutants.has("retried-write-without-its-key");
    for (let i = 0; i < index; i++) machine.apply(this.committed[i] as LogEntry, withoutKey);
    return machine;
  }

  /** A box's own lease was just extended: nobody else may believe that it has one. */
  leases(box: SimBox): void {
    if (!box.hasLease) return;
    for (const other of this.#boxes()) {
      const isLeased = other !== box && (other.hasLease || other.kernel.passesPower);
      demand(!isLeased, "one lease at every instant", () => `${box.id} and ${other.id}`);
    }
  }

  /** The only devices on the cable are our boxes: none of them may ever take another for a stranger. */
  alarmed(box: SimBox, code: string): void {
    demand(code !== "vip-conflict", "a box of ours is no stranger", () => `${box.id} releases the VIP for another box`);
  }

  /** Called whenever a box may just have become the holder; tokens only run out in between. */
  holders(box: SimBox): void {
    if (box.kernel.passesPower) {
      for (const other of this.#boxes()) {
        const isOther = other !== box && (other.kernel.passesPower || other.hasLease);
        demand(!isOther, "one power gate open at every instant", () => `${box.id} and ${other.id}`);
      }
    }
    if (!box.isHolder) return;
    for (const other of this.#boxes()) {
      if (other === box || !other.isHolder) continue;
      demand(false, "one VIP holder at every instant", () => `${box.id} and ${other.id}`);
    }
    const behind = box.role === "leader" && box.commit < this.acknowledgedIndex && !box.isPaused;
    const isNewHolder = this.#holder !== box.id;
    this.#holder = box.id;
    const ownTerm = this.committed[box.commit - 1]?.term === box.term;
    demand(!isNewHolder || box.role !== "leader" || ownTerm, "the VIP waits for the own no-op", () => {
      return `${box.id} takes the VIP in term ${box.term}, its last commit is of term ${this.committed[box.commit - 1]?.term}`;
    });
    demand(!(behind && isNewHolder), "the holder knows every acknowledged write", () => {
      return `${box.id} takes the VIP at commit ${box.commit}, acknowledged is ${this.acknowledgedIndex}`;
    });
  }
  #holder: RaftId = "";

  acknowledged(client: number, sequence: number, index: number, value: number): void {
    this.#acknowledged.push({ client, sequence, index, value });
    this.acknowledgedIndex = Math.max(this.acknowledgedIndex, index);
  }

  failed(client: number, sequence: number): void {
    const key = `${client}/${sequence}`;
    this.#failed.add(key);
    demand(!this.#applications.has(key), "failed means that nothing happened", () => `${key} was applied`);
  }

  /** Whether a request took effect, whatever its client was told. */
  hasHappened(client: number, sequence: number): boolean {
    return this.#applications.has(`${client}/${sequence}`);
  }

  read(index: number, acknowledgedBefore: number): void {
    demand(index >= acknowledgedBefore, "reads see every write acknowledged before them", () => {
      return `read at ${index}, ${acknowledgedBefore} was acknowledged`;
    });
  }

  /** After the heal: every acknowledged write is in the log where it was acknowledged, with its value. */
  finish(): void {
    for (const { client, sequence, index, value } of this.#acknowledged) {
      const entry = this.committed[index - 1];
      const write = entry === undefined || entry.data.length === 0 ? undefined : decodeWrite(entry.data);
      const isThere = write?.client === client && write.sequence === sequence;
      demand(isThere, "acknowledged writes are never lost", () => `${client}/${sequence} is not at ${index}`);
      const applied = this.#applications.get(`${client}/${sequence}`);
      demand(applied === value, "acknowledged once", () => `${client}/${sequence}: told ${value}, applied ${applied}`);
    }
    for (const box of this.#boxes()) this.#appliedOnce(box);
    this.#world.count(this.#acknowledged.length > 0 ? "seeds with acknowledged writes" : "seeds without writes");
  }

  /** Whatever order the requests came in, each moved its counter by one. */
  #appliedOnce(box: SimBox): void {
    if (box.machine.applied < this.committed.length) return;
    const moved = [...box.machine.counters.values()].reduce((sum, value) => sum + value, 0);
    demand(moved === this.#applications.size, "each request is applied exactly once", () => {
      return `${box.id} counts ${moved} for ${this.#applications.size} requests`;
    });
  }
}
