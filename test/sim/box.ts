import { assert } from "../../src/base/assert.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { Pump } from "../../src/cluster/pump.ts";
import { EMPTY_MEMBERSHIP } from "../../src/raft/membership.ts";
import { DEFAULT_TIMINGS, FAST_TIMINGS } from "../../src/raft/options.ts";
import type { LogEntry, Membership, Options, RaftId, RaftNode, Ready, Role, Timings } from "../../src/raft/types.ts";
import type { Checks } from "./checks.ts";
import { CoreProcess } from "./core-process.ts";
import { type MembershipRecord, SimDisk } from "./disk.ts";
import { SimKernel } from "./kernel.ts";
import type { Lan } from "./lan.ts";
import type { Write } from "./machine.ts";
import { decodeWrite, encodeWrite, SimMachine } from "./machine.ts";
import type { Network, Packet } from "./network.ts";
import type { Sightings } from "./sightings.ts";
import { SimSnapshots } from "./snapshots.ts";
import type { Tracer } from "./trace.ts";
import { demand } from "./violation.ts";
import type { World } from "./world.ts";

/** The timings that a box's configuration may have. */
export const TIMINGS: readonly Timings[] = [
  DEFAULT_TIMINGS,
  FAST_TIMINGS,
  { electionTimeoutMs: [1300, 2000], heartbeatMs: 200, promiseMs: 1200, retryMs: [20, 150] },
];

/** What a client hears. `failed` is a lie that only a mutant tells. */
export type Reply =
  | { readonly kind: "done"; readonly index: number; readonly value: number }
  | { readonly kind: "not-leader"; readonly leader: RaftId }
  /** Older than the session remembers: what became of it, nobody knows any more. */
  | { readonly kind: "expired" }
  | { readonly kind: "failed" };

export interface BoxParts {
  readonly world: World;
  readonly network: Network;
  readonly lan: Lan;
  readonly checks: Checks;
  readonly sightings: Sightings;
  readonly options: Partial<Options>;
  /** Told of each box that has just become the leader. */
  readonly elected: ((box: SimBox) => void)[];
  readonly tracer: Tracer | undefined;
}

/**
 * A whole box: a core process that lives and dies, and what outlives it: disk, kernel, state database, configuration.
 * The state database's side of the process (the work thread) is here too.
 */
export class SimBox {
  readonly id: RaftId;
  readonly #parts: BoxParts;
  readonly #random: Prng;
  readonly disk: SimDisk;
  readonly kernel: SimKernel;
  machine = new SimMachine();
  readonly snapshots: SimSnapshots;
  /** Moved into the database by a checkpoint: what a power cut cannot take. */
  durableApplied = 0;
  /** A mutant's separate store: the applied index that lies outside the data's transaction. */
  #appliedMark = 0;
  /** What its oned.conf asks for: in force here until an entry says otherwise. */
  readonly #configured: Timings;
  /** What the leader told this box when it joined; a founder has its record on the disk. */
  bootstrap: MembershipRecord | undefined;
  #process: CoreProcess | undefined;
  #applyQueue: LogEntry[] = [];
  #isApplying = false;
  readonly #pendingWrites = new Map<string, (reply: Reply) => void>();
  readonly #pendingReads = new Map<number, Read>();
  /** Reads that know their index and wait until it is applied here. */
  #waitingReads: { readonly index: number; readonly read: Read }[] = [];

  /** As the last Ready said. */
  role: Role = "follower";
  leader: RaftId = "";
  term = 0;
  commit = 0;
  membership: Membership = EMPTY_MEMBERSHIP;
  /** Of the entry that made it. */
  membershipIndex = 0;
  /** Receipts of heartbeat rounds, for the check that answers promise no more than is kept. */
  readonly receipts = new Map<string, number>();

  readonly #clockOffset: number;
  readonly #clockRate: number;

  constructor(number: number, id: RaftId, parts: BoxParts, timings: Timings) {
    this.id = id;
    this.#parts = parts;
    this.#configured = timings;
    this.#random = parts.world.split();
    this.disk = new SimDisk(parts.world);
    this.#clockOffset = this.#random.range(1, 1_000_000);
    this.#clockRate = parts.world.faults.drift ? 1 + (this.#random.fraction() - 0.5) * 0.01 : 1;
    this.kernel = new SimKernel(number, () => this.localNow, parts.lan);
    this.snapshots = new SimSnapshots(this, parts, this.#random.split());
  }

  /** As the state database has them, whose tail may have been lost: a restart begins with these. */
  get timings(): Timings {
    return TIMINGS[this.machine.timings ?? -1] ?? this.#configured;
  }

  get isUp(): boolean {
    return this.#process !== undefined;
  }

  get node(): RaftNode | undefined {
    return this.#process?.node;
  }

  /** Founded, or let in by a leader. */
  get isMember(): boolean {
    return this.disk.membership !== undefined || this.bootstrap !== undefined;
  }

  get isPaused(): boolean {
    return this.#process?.isPaused ?? false;
  }

  /** How far people have set its wall clock off. */
  wallOffsetMs = 0;

  /** What only a planted mistake measures with. */
  get wallNow(): number {
    return this.localNow + this.wallOffsetMs;
  }

  /** The box's own monotonic clock. */
  get localNow(): number {
    return this.#clockOffset + this.#parts.world.now * this.#clockRate;
  }

  get isHolder(): boolean {
    return this.kernel.isHolder;
  }

  /** What the process believes; power commands go by it. */
  get hasLease(): boolean {
    return this.#process !== undefined && this.localNow < this.#process.leaseUntil;
  }

  start(): void {
    assert(this.#process === undefined, `${this.id} runs already`);
    const { world, checks, sightings } = this.#parts;
    if (!this.snapshots.completeInstall()) {
      this.#restartSoon();
      return;
    }
    const record = this.disk.membership ?? this.bootstrap ?? { index: 0, value: EMPTY_MEMBERSHIP };
    // Synced before anything else, as core-thread.ts does it.
    this.disk.membership = record;
    this.membership = record.value;
    this.membershipIndex = record.index;
    const applied = world.mutants.has("applied-index-outside-transaction") ? this.#appliedMark : this.machine.applied;
    assert(this.disk.log.lastIndex() >= applied, `${this.id}: the log ends before what is applied`);
    this.machine.applied = applied;
    demand(this.disk.log.firstIndex() <= applied + 1, "purge never beyond the durable applied index", () => {
      return `${this.id} has applied ${applied}, its log begins at ${this.disk.log.firstIndex()}`;
    });
    const process = new CoreProcess(this, this.#parts, { membership: record, applied, random: this.#random.split() });
    this.#process = process;
    this.snapshots.begin(process);
    const status = process.node.status();
    this.role = status.role;
    this.leader = "";
    this.term = status.term;
    this.commit = status.commit;
    checks.started(this);
    sightings.started(this);
  }

  /** The process ends; kernel and page cache stay. */
  kill(): void {
    this.#end();
    this.disk.kill();
  }

  /** Somebody stops the daemon, or it is restarted for an update. */
  leave(): void {
    this.#process?.leave(() => this.kill());
  }

  /** The process asks to be started again. */
  restart(): void {
    this.#process?.leave(() => this.crash());
  }

  /** The process ends by itself, and its supervisor starts it again. */
  crash(): void {
    this.kill();
    this.#restartSoon();
  }

  #restartSoon(): void {
    this.#parts.world.after(20 + this.#random.fraction() * 200, "restart", () => {
      if (!this.isUp) this.start();
    });
  }

  /** Power gone: unsynced writes, the state database's last transactions and the kernel's tables with it. */
  cutPower(): void {
    this.#end();
    this.kernel.reset();
    this.disk.cutPower();
    const { world, checks } = this.#parts;
    const losable = Math.min(20, this.machine.applied - this.durableApplied);
    const lost = this.#random.chance(0.5) ? this.#random.range(0, losable) : 0;
    const applied = this.machine.applied - lost;
    if (lost === 0) return;
    world.count("state transactions lost");
    if (world.mutants.has("applied-index-outside-transaction")) this.#appliedMark = applied;
    else this.machine = checks.machineAt(applied);
  }

  /** A new disk in the old box. Only a mutant does this under the old identity; otherwise it is a new box. */
  wipe(): void {
    this.bootstrap ??= this.disk.membership;
    this.disk.wipe();
    this.machine = new SimMachine();
    this.durableApplied = 0;
    this.snapshots.wipe();
    this.#appliedMark = 0;
  }

  #end(): void {
    this.#process?.end();
    this.#process = undefined;
    this.snapshots.end();
    this.#applyQueue = [];
    this.#isApplying = false;
    this.#pendingWrites.clear();
    this.#pendingReads.clear();
    this.#waitingReads = [];
    this.receipts.clear();
    this.role = "follower";
  }

  pause(durationMs: number): void {
    if (this.#process === undefined || this.#process.isPaused) return;
    const { world } = this.#parts;
    world.trace(() => `${this.id} paused for ${durationMs.toFixed(0)} ms`);
    if (this.isHolder) world.count("holder paused");
    this.#process.pause(durationMs);
  }

  deliver(packet: Packet): void {
    this.#process?.deliver(packet);
  }

  unreachable(to: RaftId): void {
    this.operate((pump) => pump.unreachable(to));
  }

  write(write: Write, reply: (reply: Reply) => void): void {
    this.operate((pump) => {
      const requestId = requestIdOf(write);
      this.#pendingWrites.set(requestId, reply);
      pump.propose([{ requestId, data: encodeWrite(write) }]);
    });
  }

  /** A linearizable read of a counter: of this box's own state, once it holds what the read index covers. */
  read(context: number, key: number, reply: (value: number, index: number) => void): void {
    this.operate((_pump, node) => {
      // Only the client can tell: no index is ever asked for.
      if (this.#parts.world.mutants.has("leader-reads-its-own-state") && this.role === "leader")
        reply(this.machine.counters.get(key) ?? 0, Number.POSITIVE_INFINITY);
      else if (node.readIndex(context, this.localNow).kind === "started")
        this.#pendingReads.set(context, { key, reply });
    });
  }

  /** Any other input of an operator: transfer, membership. */
  operate(action: (pump: Pump, node: RaftNode) => void): void {
    const process = this.#process;
    process?.input(() => {
      action(process.pump, process.node);
      process.pump.drain();
    });
  }

  // --- what the process tells the outside ---

  /** A Ready leaves the core. */
  ready(ready: Ready): void {
    const { world, checks, sightings } = this.#parts;
    const before = { role: this.role, term: this.term };
    if (ready.hardState !== undefined) {
      this.term = ready.hardState.term;
      this.commit = ready.hardState.commit;
    }
    if (ready.softState !== undefined) {
      this.role = ready.softState.role;
      this.leader = ready.softState.leader;
      world.trace(() => `${this.id} is ${this.role} in term ${this.term}, leader ${this.leader || "unknown"}`);
    }
    sightings.roleChanged(this, before);
    if (this.role === "leader" && before.role !== "leader") for (const tell of this.#parts.elected) tell(this);
    sightings.ready(this, ready);
    checks.ready(this, ready);
    for (const { context, index } of ready.readStates) {
      const read = this.#pendingReads.get(context);
      this.#pendingReads.delete(context);
      if (read !== undefined && index > 0) this.#waitingReads.push({ index, read });
    }
    if (ready.readStates.length > 0) this.#process?.input(() => this.#serveReads());
  }

  #serveReads(): void {
    const { applied, counters } = this.machine;
    const waiting = this.#waitingReads;
    this.#waitingReads = [];
    for (const each of waiting) {
      const { index, read } = each;
      if (index > applied) this.#waitingReads.push(each);
      else read.reply(counters.get(read.key) ?? 0, index);
    }
  }

  /** Unknown: these clients get no answer and ask the next leader. */
  lostLeadership(): void {
    if (this.#parts.world.mutants.has("step-down-reported-as-failed"))
      for (const reply of this.#pendingWrites.values()) reply({ kind: "failed" });
    this.#pendingWrites.clear();
    this.#pendingReads.clear();
  }

  refused(requestIds: readonly string[]): void {
    for (const requestId of requestIds) {
      const reply = this.#pendingWrites.get(requestId);
      this.#pendingWrites.delete(requestId);
      reply?.({ kind: "not-leader", leader: this.leader });
    }
  }

  // --- the work thread: it applies, in batches, and says so ---

  committed(entries: readonly LogEntry[]): void {
    this.#applyQueue.push(...entries);
    this.#applySoon();
  }

  #applySoon(): void {
    const process = this.#process;
    if (this.#isApplying || this.#applyQueue.length === 0 || process === undefined) return;
    this.#isApplying = true;
    this.#parts.world.after(0.05 + this.#random.fraction() * 0.4, "apply", () =>
      process.input(() => {
        this.#isApplying = false;
        const batch = this.#applyQueue;
        this.#applyQueue = [];
        const { timings } = this;
        for (const entry of batch) this.#apply(entry);
        this.#serveReads();
        // The message to the core thread comes after the transaction: a process may end between the two.
        process.input(() => process.pump.applied(this.machine.applied));
        if (this.timings !== timings) {
          this.#parts.world.count("timings changed under way");
          process.input(() => process.setTimings(this.timings));
        }
        this.#applySoon();
      }),
    );
  }

  #apply(entry: LogEntry): void {
    const { checks, world } = this.#parts;
    const value = this.machine.apply(entry, world.mutants.has("retried-write-without-its-key"));
    if (this.#random.chance(0.3)) this.#appliedMark = entry.index;
    checks.applied(this, entry, value);
    if (entry.kind !== "normal" || entry.data.length === 0) return;
    const requestId = requestIdOf(decodeWrite(entry.data));
    const reply = this.#pendingWrites.get(requestId);
    this.#pendingWrites.delete(requestId);
    reply?.(value === 0 ? { kind: "expired" } : { kind: "done", index: entry.index, value });
  }
}

interface Read {
  readonly key: number;
  readonly reply: (value: number, index: number) => void;
}

function requestIdOf(write: Write): string {
  return `${write.client}/${write.sequence}`;
}
