import { assert } from "../../src/base/assert.ts";
import type { Prng } from "../../src/base/prng.ts";
import { Lease, leaseDurationMs } from "../../src/cluster/lease.ts";
import { changeMembership, EMPTY_MEMBERSHIP } from "../../src/raft/membership.ts";
import { decodeMembershipChange } from "../../src/raft/membership-codec.ts";
import type { Message } from "../../src/raft/messages.ts";
import type { CoreMutant } from "../../src/raft/mutants.ts";
import { createNode } from "../../src/raft/node.ts";
import { DEFAULT_TIMINGS, FAST_TIMINGS } from "../../src/raft/options.ts";
import type {
  HardState,
  LogEntry,
  Membership,
  Options,
  ProposeResult,
  RaftId,
  RaftNode,
  Ready,
  Role,
  Timings,
} from "../../src/raft/types.ts";
import { INITIAL_HARD_STATE } from "../../src/raft/types.ts";
import type { Checks } from "./checks.ts";
import { SimDisk } from "./disk.ts";
import { SimKernel } from "./kernel.ts";
import type { Write } from "./machine.ts";
import { encodeWrite, SimMachine } from "./machine.ts";
import type { Network } from "./network.ts";
import type { World } from "./world.ts";

/** Rounds whose token is remembered while their answers are out. */
const ROUNDS_MAX = 64;

/** The timings that an entry may put into force. */
export const TIMINGS: readonly Timings[] = [
  DEFAULT_TIMINGS,
  FAST_TIMINGS,
  { electionTimeoutMs: [1300, 2000], heartbeatMs: 200, promiseMs: 1200, retryMs: [20, 150] },
];

/** What a client hears. `failed` is a lie that only a mutant tells. */
export type Reply =
  | { readonly kind: "done"; readonly index: number; readonly value: number }
  | { readonly kind: "not-leader"; readonly leader: RaftId }
  | { readonly kind: "failed" };

interface PendingWrite {
  readonly term: number;
  readonly reply: (reply: Reply) => void;
}

export interface BoxParts {
  readonly world: World;
  readonly network: Network;
  readonly checks: Checks;
  readonly options: Partial<Options>;
}

/**
 * A whole box: the real core, a pump around it, disk, state machine, lease and VIP. The process runs its tasks one after
 * the other and may be paused between any two of them, or killed; the kernel and the disk go on.
 */
export class SimBox {
  readonly id: RaftId;
  readonly #parts: BoxParts;
  readonly #random: Prng;
  readonly disk: SimDisk;
  machine = new SimMachine();
  readonly kernel = new SimKernel();
  /** A mutant's separate store: the applied index that lies outside the data's transaction. */
  #appliedMark = 0;

  node: RaftNode | undefined;
  /** The process's incarnation: callbacks of an older one are void. */
  #incarnation = 0;
  isPaused = false;
  #inputs: (() => void)[] = [];
  #actions: (() => void)[] = [];
  #isRunning = false;

  role: Role = "follower";
  leader: RaftId = "";
  term = 0;
  commit = 0;
  /** The newest hard state; a commit index alone is not worth a sync and rides with the next write. */
  #hardState: HardState = INITIAL_HARD_STATE;
  membership: Membership = EMPTY_MEMBERSHIP;
  /** The product's own counting of rounds. */
  #lease: Lease;
  #token = 0;
  /** Rounds under way: their token, and when they were stamped. */
  #rounds: { readonly round: number; readonly token: number; readonly sentAt: number; readonly lifeMs: number }[] = [];
  #leadingTerm = 0;
  #applyQueue: LogEntry[] = [];
  #isApplying = false;
  #pendingWrites = new Map<number, PendingWrite>();
  #pendingReads = new Map<number, (index: number) => void>();
  /** Receipts of heartbeat rounds, for the check that answers promise no more than is kept. */
  readonly receipts = new Map<string, number>();

  readonly #clockOffset: number;
  readonly #clockRate: number;

  constructor(id: RaftId, parts: BoxParts) {
    this.id = id;
    this.#parts = parts;
    this.#random = parts.world.split();
    this.#lease = new Lease(id);
    this.disk = new SimDisk(parts.world);
    this.#clockOffset = this.#random.range(0, 1_000_000);
    this.#clockRate = parts.world.faults.drift ? 1 + (this.#random.fraction() - 0.5) * 0.01 : 1;
  }

  get isUp(): boolean {
    return this.node !== undefined;
  }

  /** The box's own monotonic clock. */
  get localNow(): number {
    return this.#clockOffset + this.#parts.world.now * this.#clockRate;
  }

  get isHolder(): boolean {
    return this.kernel.isHolder(this.localNow);
  }

  /** What the process believes; power commands go by it. */
  get hasLease(): boolean {
    return this.isUp && this.localNow < this.#lease.until;
  }

  start(): void {
    assert(this.node === undefined, `${this.id} runs already`);
    const { world, options } = this.#parts;
    this.#incarnation++;
    // Like the product at start: whatever an earlier process left in the kernel goes first.
    this.kernel.flush();
    const record = this.disk.membership;
    this.membership = record?.membership ?? EMPTY_MEMBERSHIP;
    const membershipIndex = record?.index ?? 0;
    let applied = this.machine.applied;
    if (world.mutants.has("applied-index-outside-transaction")) applied = this.#appliedMark;
    const timings = TIMINGS[this.machine.timings ?? -1];
    this.#hardState = this.disk.hardState;
    this.node = createNode({
      id: this.id,
      membership: this.membership,
      membershipIndex,
      log: this.disk.log,
      hardState: this.disk.hardState,
      applied,
      random: this.#random.split(),
      options: timings === undefined ? options : { ...options, timings },
      mutants: world.mutants as ReadonlySet<CoreMutant>,
    });
    const status = this.node.status();
    this.role = status.role;
    this.leader = "";
    this.term = status.term;
    this.commit = status.commit;
    this.machine.applied = applied;
    this.#parts.checks.started(this);
    this.#tick(this.#incarnation);
  }

  /** The process ends; kernel and page cache stay. */
  kill(): void {
    this.#stop();
    this.disk.kill();
  }

  /** Power gone: unsynced writes, the state database's last transactions and the kernel's tables with it. */
  cutPower(): void {
    this.#stop();
    this.kernel.flush();
    this.disk.cutPower();
    const { world, checks } = this.#parts;
    const lost = this.#random.chance(0.5) ? this.#random.range(0, Math.min(20, this.machine.applied)) : 0;
    const applied = Math.min(this.machine.applied - lost, this.disk.log.lastIndex());
    if (applied < this.machine.applied) {
      world.count("state transactions lost");
      if (world.mutants.has("applied-index-outside-transaction")) this.#appliedMark = applied;
      else this.machine = checks.machineAt(applied);
    }
  }

  /** A new disk in the old box. Only a mutant does this under the old identity; otherwise it is a new box. */
  wipe(): void {
    this.disk.wipe();
    this.machine = new SimMachine();
    this.#appliedMark = 0;
  }

  #stop(): void {
    this.node = undefined;
    this.#incarnation++;
    this.isPaused = false;
    this.#inputs = [];
    this.#actions = [];
    this.#applyQueue = [];
    this.#isApplying = false;
    this.#pendingWrites.clear();
    this.#pendingReads.clear();
    this.#lease = new Lease(this.id);
    this.#rounds = [];
    this.receipts.clear();
    this.#leadingTerm = 0;
    this.role = "follower";
  }

  pause(durationMs: number): void {
    if (!this.isUp || this.isPaused) return;
    const { world } = this.#parts;
    const incarnation = this.#incarnation;
    world.trace(() => `${this.id} paused for ${durationMs.toFixed(0)} ms`);
    if (this.isHolder) world.count("holder paused");
    this.isPaused = true;
    world.after(durationMs, "resume", () => {
      if (incarnation !== this.#incarnation) return;
      this.isPaused = false;
      this.#run();
    });
  }

  deliver(message: Message): void {
    this.#input((node) => {
      const now = this.localNow;
      const before = this.term;
      if (message.kind === "heartbeat" && message.term >= this.term)
        this.receipts.set(`${message.term}/${message.round}`, now);
      node.step(message, now);
      if (message.kind === "heartbeat-response") this.#countAnswer(message.from, message);
      if (message.kind === "vote-request" && message.preVote) this.#parts.checks.preVoteAsked(this, node, before);
    });
  }

  write(write: Write, reply: (reply: Reply) => void): void {
    this.#input((node) => {
      const result: ProposeResult = node.propose([encodeWrite(write)], this.localNow);
      if (result.kind === "accepted") this.#pendingWrites.set(result.firstIndex, { term: result.term, reply });
      else reply({ kind: "not-leader", leader: result.kind === "not-leader" ? result.leader : this.id });
    });
  }

  read(context: number, reply: (index: number) => void): void {
    this.#input((node) => {
      if (node.readIndex(context, this.localNow).kind === "started") this.#pendingReads.set(context, reply);
    });
  }

  /** Any other input of an operator: transfer, membership. */
  operate(action: (node: RaftNode, now: number) => void): void {
    this.#input((node) => action(node, this.localNow));
  }

  #tick(incarnation: number): void {
    const { world } = this.#parts;
    const lateMs = this.#random.chance(0.02) ? this.#random.fraction() * 13 : this.#random.fraction();
    world.after(9 + lateMs, "tick", () => {
      if (incarnation !== this.#incarnation) return;
      this.#input((node) => {
        node.tick(this.localNow);
        this.#tick(incarnation);
      });
    });
  }

  #input(task: (node: RaftNode) => void): void {
    if (this.node === undefined) return;
    this.#inputs.push(() => {
      const { node } = this;
      if (node === undefined) return;
      task(node);
      this.#take(node);
    });
    this.#run();
  }

  /** Runs tasks until there are none, actions of the last input before the next input. */
  #run(): void {
    if (this.#isRunning) return;
    const { world } = this.#parts;
    this.#isRunning = true;
    while (!this.isPaused) {
      const task = this.#actions.shift() ?? this.#inputs.shift();
      if (task === undefined) break;
      task();
      if (world.storm && world.faults.pauses && this.#random.chance(0.0008)) {
        this.pause(10 + this.#random.fraction() ** 3 * 5000);
      }
    }
    this.#isRunning = false;
  }

  #take(node: RaftNode): void {
    for (;;) {
      const ready = node.ready();
      if (ready === undefined) return;
      this.#plan(ready);
    }
  }

  /** The duties of the caller (node.ts), each a task of its own. */
  #plan(ready: Ready): void {
    const { world, checks } = this.#parts;
    const incarnation = this.#incarnation;
    if (ready.hardState !== undefined) {
      this.#hardState = ready.hardState;
      this.term = ready.hardState.term;
      this.commit = ready.hardState.commit;
    }
    if (ready.softState !== undefined) {
      const wasLeader = this.role === "leader";
      this.role = ready.softState.role;
      this.leader = ready.softState.leader;
      world.trace(() => `${this.id} is ${this.role} in term ${this.term}, leader ${this.leader || "unknown"}`);
      if (wasLeader && this.role !== "leader") this.#lostLeadership();
    }
    checks.ready(this, ready);
    if (ready.softState !== undefined && this.role === "leader") this.#wonLeadership();
    if (ready.releaseLease && !world.mutants.has("lease-resumed-after-transfer"))
      this.#actions.push(() => this.#release());
    const round = ready.heartbeatRound;
    if (round !== undefined && this.role === "leader") {
      let sentAt = 0;
      this.#actions.push(() => {
        sentAt = this.localNow;
      });
      // A pause may come between reading the clock and stamping the token; the token then lives longer than the lease.
      this.#actions.push(() => {
        if (this.role !== "leader") return;
        this.#token = Math.max(this.#token + 1, Math.floor(this.localNow));
        const lifeMs = leaseDurationMs(round.promiseMs);
        this.kernel.addLive(this.#token, lifeMs, this.localNow);
        this.#rounds.push({ round: round.round, token: this.#token, sentAt, lifeMs });
        if (this.#rounds.length > ROUNDS_MAX) this.#rounds.shift();
        // A lonely voter has confirmed its round by itself.
        if (this.#lease.sent(round.round, sentAt, round.promiseMs, round.membership)) this.#activate(this.#token);
      });
    }
    if (ready.messages.length > 0) this.#actions.push(() => this.#send(ready.messages));
    const hardState = ready.mustSync ? this.#hardState : undefined;
    this.#actions.push(() => {
      this.disk.write(hardState, ready.entries, undefined, () => {
        if (incarnation !== this.#incarnation) return;
        this.#inputs.push(() => {
          const { node } = this;
          if (node === undefined) return;
          this.#send(ready.messagesAfterAppend);
          node.appended(ready.sequence, this.localNow);
          this.#take(node);
        });
        this.#run();
      });
    });
    if (ready.committedEntries.length > 0) {
      this.#actions.push(() => {
        this.#applyQueue.push(...ready.committedEntries);
        this.#applyNext(incarnation);
      });
    }
    for (const read of ready.readStates) {
      const reply = this.#pendingReads.get(read.context);
      this.#pendingReads.delete(read.context);
      if (reply !== undefined && read.index > 0) this.#actions.push(() => reply(read.index));
    }
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) {
      this.#parts.checks.sent(this, message);
      this.#parts.network.send(message);
    }
  }

  #applyNext(incarnation: number): void {
    if (this.#isApplying || this.#applyQueue.length === 0) return;
    this.#isApplying = true;
    const delayMs = 0.05 + this.#random.fraction() * 0.4;
    const { world } = this.#parts;
    world.after(delayMs, "apply", () => {
      if (incarnation !== this.#incarnation) return;
      this.#input((node) => this.#applyBatch(node, incarnation));
    });
  }

  #applyBatch(node: RaftNode, incarnation: number): void {
    this.#isApplying = false;
    for (;;) {
      const entry = this.#applyQueue[0];
      if (entry === undefined) return;
      if (entry.kind === "membership" && this.#writeMembership(entry, incarnation)) return;
      this.#applyQueue.shift();
      this.#applyOne(node, entry);
    }
  }

  /** A membership record is synced before the change takes effect. False when the log has it already. */
  #writeMembership(entry: LogEntry, incarnation: number): boolean {
    const { world } = this.#parts;
    if (entry.index <= (this.disk.membership?.index ?? 0)) return false;
    const result = changeMembership(this.membership, decodeMembershipChange(entry.data));
    const membership = result.kind === "changed" ? result.membership : this.membership;
    this.#isApplying = true;
    this.disk.write(this.#hardState, [], { index: entry.index, membership }, () => {
      if (incarnation !== this.#incarnation) return;
      this.#input((node) => {
        world.count("membership changes applied");
        this.#applyQueue.shift();
        this.#isApplying = false;
        this.#applyOne(node, entry);
        this.#applyBatch(node, incarnation);
      });
    });
    return true;
  }

  #applyOne(node: RaftNode, entry: LogEntry): void {
    const { checks, world } = this.#parts;
    const now = this.localNow;
    if (entry.kind === "membership") {
      this.membership = node.applyMembership(entry.index, decodeMembershipChange(entry.data), now);
    }
    const { timings } = this.machine;
    const value = this.machine.apply(entry, world.mutants.has("retried-write-without-its-key"));
    if (this.machine.timings !== timings) {
      const chosen = TIMINGS[this.machine.timings ?? 0];
      if (chosen !== undefined) node.setTimings(chosen, now);
    }
    if (this.#random.chance(0.3)) this.#appliedMark = entry.index;
    checks.applied(this, entry, value);
    node.applied(entry.index, now);
    const pending = this.#pendingWrites.get(entry.index);
    if (pending !== undefined) {
      this.#pendingWrites.delete(entry.index);
      if (pending.term === entry.term) pending.reply({ kind: "done", index: entry.index, value });
    }
    if (this.role === "leader" && entry.term === this.#leadingTerm && !this.kernel.address) this.#takeAddress();
  }

  #wonLeadership(): void {
    this.#leadingTerm = this.term;
    if (this.#parts.world.mutants.has("vip-before-noop")) this.#actions.push(() => this.#takeAddress());
  }

  #lostLeadership(): void {
    this.#leadingTerm = 0;
    this.#actions.push(() => this.#release());
    if (this.#parts.world.mutants.has("step-down-reported-as-failed")) {
      for (const pending of this.#pendingWrites.values()) pending.reply({ kind: "failed" });
    }
    // Unknown: these clients get no answer and ask the next leader.
    this.#pendingWrites.clear();
    this.#pendingReads.clear();
  }

  #takeAddress(): void {
    if (this.role !== "leader") return;
    this.kernel.address = true;
    this.#parts.checks.holders(this);
  }

  #release(): void {
    this.kernel.flush();
    this.#lease.drop();
    this.#rounds = [];
  }

  #countAnswer(
    from: RaftId,
    message: { readonly term: number; readonly round: number; readonly promiseMs: number },
  ): void {
    const { world, checks } = this.#parts;
    if (this.role !== "leader" || message.term !== this.term) return;
    if (!this.#lease.answered(from, message.round, message.promiseMs, this.membership)) return;
    const confirmed = this.#rounds.find((each) => each.round === message.round);
    if (confirmed === undefined) return;
    const { token, sentAt, lifeMs } = confirmed;
    checks.leases(this);
    // A pause may come between the decision and the kernel call: that is what the token is for.
    if (world.mutants.has("lease-renewed-by-remaining-time")) {
      const remainingMs = sentAt + lifeMs - this.localNow;
      this.#actions.push(() => this.kernel.setLive(token, this.localNow + remainingMs));
    }
    if (world.mutants.has("lease-counted-from-the-answer")) {
      this.#actions.push(() => this.kernel.setLive(token, this.localNow + lifeMs));
    }
    this.#activate(token);
  }

  #activate(token: number): void {
    const { world, checks } = this.#parts;
    this.#actions.push(() => {
      this.kernel.activate(token);
      if (!this.kernel.passes(this.localNow)) world.count("token dead at its activation");
      checks.holders(this);
    });
  }
}
