import { changeMembership } from "../../../src/raft/membership.ts";
import { decodeMembershipChange } from "../../../src/raft/membership-codec.ts";
import type { Message } from "../../../src/raft/messages.ts";
import type { CoreMutant } from "../../../src/raft/mutants.ts";
import { createNode } from "../../../src/raft/node.ts";
import type {
  HardState,
  LogEntry,
  Membership,
  Options,
  RaftId,
  RaftNode,
  Ready,
  SnapshotMeta,
} from "../../../src/raft/types.ts";
import { INITIAL_HARD_STATE } from "../../../src/raft/types.ts";
import { id } from "../raft/group.ts";
import { MemoryLog } from "../raft/memory-log.ts";
import { sayData, sayEntries, sayEntry, sayHardState, sayMembership } from "./say.ts";

/** Readys after one input; more is a core that never comes to rest. */
const READYS_MAX = 1000;

/** What a box shows: `news` is worth reading whatever else goes on, `detail` is the rest. */
export type Say = (weight: "news" | "detail", text: string) => void;

/** What a box needs of the world that it lives in. */
export interface BoxWorld {
  now(): number;
  send(message: Message): void;
  say: Say;
  /** An entry is applied: the world compares it with what the others applied there. */
  applied(box: Box, entry: LogEntry): void;
}

/** What one apply left: enough to compare states and to go back to an earlier one. */
export interface Applied {
  readonly index: number;
  readonly text: string;
}

/** One pure core with a disk and a state that the story can slow down, crash and lose. */
export class Box {
  readonly number: number;
  readonly id: RaftId;
  readonly #world: BoxWorld;
  readonly #options: Partial<Options>;
  readonly #mutants: ReadonlySet<CoreMutant>;
  /** Where in its range each time-out of this box is drawn, 0 ≤ x < 1. */
  fraction: number;
  log = new MemoryLog();
  hardState: HardState = INITIAL_HARD_STATE;
  membership: { index: number; value: Membership };
  state: Applied[] = [];
  isDiskSlow = false;
  isApplyHeld = false;
  readonly reads: string[] = [];
  /** How often it was told to give up its lease. */
  releases = 0;
  /** Readys whose writes are not durable yet, oldest first. */
  #writes: Ready[] = [];
  #applying: LogEntry[] = [];
  #node: RaftNode | undefined;
  #isPumping = false;

  constructor(
    number: number,
    membership: Membership,
    options: Partial<Options>,
    mutants: ReadonlySet<CoreMutant>,
    world: BoxWorld,
  ) {
    this.number = number;
    this.id = id(number);
    this.#world = world;
    this.#options = options;
    this.#mutants = mutants;
    this.fraction = ((number - 1) % 4) / 4;
    this.membership = { index: 0, value: membership };
  }

  get node(): RaftNode | undefined {
    return this.#node;
  }

  /** The node of a box that must be alive for the command to make sense. */
  get alive(): RaftNode {
    if (this.#node === undefined) throw new Error(`box ${this.number} is down`);
    return this.#node;
  }

  get appliedIndex(): number {
    return this.state.at(-1)?.index ?? 0;
  }

  /** Starts the process from what is on the disk. */
  start(quarantineMs?: number): void {
    this.#guard(() => {
      this.#node = createNode({
        id: this.id,
        membership: this.membership.value,
        membershipIndex: this.membership.index,
        log: this.log,
        hardState: this.hardState,
        applied: this.appliedIndex,
        random: { fraction: () => this.fraction },
        options: this.#options,
        mutants: this.#mutants,
        ...(quarantineMs === undefined ? {} : { startupPromiseMs: quarantineMs }),
      });
      this.#node.tick(this.#world.now());
    });
    this.pump();
  }

  /** The process ends here; `kept` of the writes under way had reached the disk, though nobody was told. */
  crash(kept: number): void {
    for (const write of this.#writes.slice(0, kept)) this.#store(write);
    this.#writes = [];
    this.#applying = [];
    this.#node = undefined;
  }

  /** The process ends and the disk is empty, but for the membership record. */
  wipe(): void {
    this.crash(0);
    this.log = new MemoryLog();
    this.hardState = INITIAL_HARD_STATE;
    this.state = [];
  }

  /** The state database lost its tail: it stands at `index` again. */
  loseState(index: number): void {
    this.state = this.state.filter((each) => each.index <= index);
  }

  /** An input, then everything that the Readys ask for. */
  input<T>(act: (node: RaftNode) => T): T | undefined {
    const node = this.#node;
    if (node === undefined) return undefined;
    let result: T | undefined;
    this.#guard(() => {
      result = act(node);
    });
    this.pump();
    return result;
  }

  pump(): void {
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#guard(() => {
      let count = 0;
      for (let ready = this.#node?.ready(); ready !== undefined; ready = this.#node?.ready()) {
        if (++count > READYS_MAX) throw new Error(`box ${this.number} always has something to do`);
        this.#process(ready);
      }
    });
    this.#isPumping = false;
  }

  /** Makes the oldest `count` writes durable. */
  sync(count: number): void {
    this.#guard(() => {
      for (let done = 0; done < count && this.#writes.length > 0; done++) {
        const write = this.#writes.shift() as Ready;
        this.#store(write);
        for (const message of write.messagesAfterAppend) this.#world.send(message);
        this.#node?.appended(write.sequence, this.#world.now());
      }
    });
    this.pump();
  }

  /** Applies the oldest `count` entries that were handed out. */
  apply(count: number): void {
    this.#guard(() => {
      for (let done = 0; done < count && this.#applying.length > 0; done++) {
        this.#applyOne(this.#applying.shift() as LogEntry);
      }
    });
    this.pump();
  }

  /** Installs a snapshot, as a pump does: on disk first, then into the core; an older one than commit is thrown away. */
  install(meta: SnapshotMeta, state: readonly Applied[]): void {
    const node = this.alive;
    if (meta.index > node.status().commit) {
      this.#writes = [];
      this.#applying = [];
      this.log.compact(meta);
      this.state = [...state];
      this.membership = { index: meta.index, value: meta.membership };
      this.#world.say("news", `${this.number} installs the snapshot of ${meta.index}@${meta.term}`);
    } else {
      this.#world.say("news", `${this.number} has no use for the snapshot of ${meta.index}@${meta.term}`);
    }
    this.input((each) => each.restore(meta, this.#world.now()));
  }

  #process(ready: Ready): void {
    const { say, send } = this.#world;
    if (ready.releaseLease) {
      this.releases++;
      say("news", `${this.number} releases its lease`);
    }
    if (ready.softState !== undefined) {
      const { role, leader } = ready.softState;
      const whom = role === "leader" || leader === "" ? "" : ` of ${Number.parseInt(leader, 16)}`;
      say("news", `${this.number} is ${role}${whom} in term ${this.#node?.status().term}`);
    }
    if (ready.heartbeatRound !== undefined) {
      say("detail", `${this.number} stamps lease round ${ready.heartbeatRound.round}`);
    }
    for (const message of ready.messages) send(message);
    this.#writes.push(ready);
    if (!this.isDiskSlow) this.sync(this.#writes.length);
    if (this.#node === undefined) return;
    this.#applying.push(...ready.committedEntries);
    if (!this.isApplyHeld) while (this.#applying.length > 0) this.#applyOne(this.#applying.shift() as LogEntry);
    for (const { context, index } of ready.readStates) {
      this.reads.push(`${context}@${index}`);
      say("news", `${this.number} may answer read ${context} at ${index}`);
    }
    for (const needy of ready.snapshotNeeded) {
      say("news", `${this.number} wants a snapshot sent to ${Number.parseInt(needy, 16)}`);
    }
  }

  #store(ready: Ready): void {
    const what: string[] = [];
    if (ready.hardState !== undefined) {
      // A driver may leave a commit index to the next write that must be synced, as the pump does: no crash spares it.
      if (ready.mustSync) this.hardState = ready.hardState;
      what.push(sayHardState(ready.hardState));
    }
    if (ready.entries.length > 0) {
      this.log.write(ready.entries);
      what.push(sayEntries(ready.entries));
    }
    const how = ready.mustSync ? "syncs" : "notes";
    if (what.length > 0) this.#world.say("detail", `${this.number} ${how} ${what.join("; ")}`);
  }

  #applyOne(entry: LogEntry): void {
    const node = this.alive;
    this.#world.say("news", `${this.number} applies ${sayEntry(entry)}`);
    this.state.push({ index: entry.index, text: sayData(entry) });
    this.#world.applied(this, entry);
    if (entry.kind === "membership") {
      const change = decodeMembershipChange(entry.data);
      if (entry.index > this.membership.index) {
        const result = changeMembership(node.status().membership, change);
        const value = result.kind === "changed" ? result.membership : node.status().membership;
        this.membership = { index: entry.index, value };
      }
      const value = node.applyMembership(entry.index, change, this.#world.now());
      this.#world.say("news", `${this.number} has ${sayMembership(value)}`);
    }
    node.applied(entry.index, this.#world.now());
  }

  /** What the core asserts ends the process. */
  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof Error && error.name === "AssertionError")) throw error;
      this.#world.say("news", `${this.number} ends its process: ${error.message}`);
      this.crash(0);
    }
  }
}
