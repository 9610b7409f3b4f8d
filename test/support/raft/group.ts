import { createPrng } from "../../../src/base/prng.ts";
import { changeMembership } from "../../../src/raft/membership.ts";
import { decodeMembershipChange } from "../../../src/raft/membership-codec.ts";
import type { Message } from "../../../src/raft/messages.ts";
import { createNode } from "../../../src/raft/node.ts";
import type {
  HardState,
  LogEntry,
  Member,
  Membership,
  NodeConfig,
  OptionsInput,
  RaftId,
  RaftNode,
  RandomSource,
  Ready,
} from "../../../src/raft/types.ts";
import { INITIAL_HARD_STATE } from "../../../src/raft/types.ts";
import { MemoryLog } from "./memory-log.ts";

/** "1" → "0000000000000001". */
export function id(number: number): RaftId {
  return number.toString(16).padStart(16, "0");
}

export function member(number: number): Member {
  return {
    raftId: id(number),
    serverId: number,
    certificateHash: `hash-${number}`,
    peerAddress: `10.0.0.${number}:2636`,
    name: `box${number}`,
  };
}

export function membershipOf(voters: readonly number[], learners: readonly number[] = []): Membership {
  return {
    voters: voters.map(id),
    votersOutgoing: [],
    learners: learners.map(id),
    learnersNext: [],
    autoLeave: false,
    members: [...voters, ...learners].map(member),
  };
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function entry(term: number, index: number, text = ""): LogEntry {
  return { term, index, kind: "normal", data: bytes(text) };
}

export interface NodeSetup {
  readonly entries?: readonly LogEntry[];
  readonly hardState?: Partial<HardState>;
  readonly membership?: Membership;
  readonly membershipIndex?: number;
  readonly applied?: number;
  readonly options?: OptionsInput;
  readonly startupPromiseMs?: number;
  readonly seed?: number;
  readonly random?: RandomSource;
  readonly log?: MemoryLog;
  readonly mutants?: NodeConfig["mutants"];
}

/** One node with its log, driven by hand: the test says when a write is durable. */
export class TestBox {
  readonly id: RaftId;
  readonly log: MemoryLog;
  readonly node: RaftNode;
  readonly applied: LogEntry[] = [];
  readonly readStates: { readonly context: number; readonly index: number }[] = [];
  readonly readies: Ready[] = [];
  hardState: HardState;

  constructor(number: number, voters: readonly number[], setup: NodeSetup = {}) {
    this.id = id(number);
    this.log = setup.log ?? new MemoryLog(setup.entries ?? []);
    this.hardState = { ...INITIAL_HARD_STATE, ...setup.hardState };
    this.node = createNode({
      id: this.id,
      membership: setup.membership ?? membershipOf(voters),
      membershipIndex: setup.membershipIndex ?? 0,
      log: this.log,
      hardState: this.hardState,
      applied: setup.applied ?? 0,
      random: setup.random ?? createPrng(setup.seed ?? number),
      ...(setup.startupPromiseMs === undefined ? {} : { startupPromiseMs: setup.startupPromiseMs }),
      ...(setup.options === undefined ? {} : { options: setup.options }),
      ...(setup.mutants === undefined ? {} : { mutants: setup.mutants }),
    });
  }

  /** Does all that Readys ask for, disk included, and returns every message that may leave. */
  flush(now: number): Message[] {
    const out: Message[] = [];
    for (;;) {
      const ready = this.node.ready();
      if (ready === undefined) return out;
      out.push(...this.process(ready, now));
    }
  }

  process(ready: Ready, now: number): Message[] {
    this.readies.push(ready);
    if (ready.hardState !== undefined) this.hardState = ready.hardState;
    this.log.write(ready.entries);
    for (const committed of ready.committedEntries) this.#apply(committed, now);
    this.readStates.push(...ready.readStates);
    this.node.appended(ready.sequence, now);
    return [...ready.messages, ...ready.messagesAfterAppend];
  }

  #apply(committed: LogEntry, now: number): void {
    this.applied.push(committed);
    if (committed.kind === "membership") {
      const change = decodeMembershipChange(committed.data);
      changeMembership(this.node.status().membership, change);
      this.node.applyMembership(committed.index, change, now);
    }
    this.node.applied(committed.index, now);
  }
}

/** Some boxes and a network without delay; `drop` decides what is lost. */
export class TestGroup {
  readonly boxes = new Map<RaftId, TestBox>();
  now = 0;
  drop: (message: Message) => boolean = () => false;

  constructor(voters: readonly number[], setup: NodeSetup = {}) {
    for (const number of voters) this.add(number, new TestBox(number, voters, setup));
  }

  add(number: number, box: TestBox): TestBox {
    this.boxes.set(id(number), box);
    return box;
  }

  box(number: number): TestBox {
    const box = this.boxes.get(id(number));
    if (box === undefined) throw new Error(`no box ${number}`);
    return box;
  }

  /** Delivers until nothing is left to deliver. */
  settle(): void {
    for (let guard = 0; guard < 10_000; guard++) {
      const messages: Message[] = [];
      for (const box of this.boxes.values()) messages.push(...box.flush(this.now));
      if (messages.length === 0) return;
      for (const message of messages) {
        if (!this.drop(message)) this.boxes.get(message.to)?.node.step(message, this.now);
      }
    }
    throw new Error("the group does not settle");
  }

  /** Lets time pass in ticks of `stepMs`, delivering everything at each. */
  run(durationMs: number, stepMs = 5): void {
    const end = this.now + durationMs;
    while (this.now < end) {
      this.now += stepMs;
      for (const box of this.boxes.values()) box.node.tick(this.now);
      this.settle();
    }
  }

  leader(): TestBox | undefined {
    let found: TestBox | undefined;
    for (const box of this.boxes.values()) {
      const status = box.node.status();
      if (status.role === "leader" && status.term >= (found?.node.status().term ?? 0)) found = box;
    }
    return found;
  }

  /** Makes box `number` the leader. */
  elect(number: number): TestBox {
    const box = this.box(number);
    for (const each of this.boxes.values()) each.node.tick(this.now);
    for (let tries = 0; tries < 100 && box.node.status().role !== "leader"; tries++) {
      const result = box.node.campaign(this.now);
      this.settle();
      if (result.kind === "refused") this.now += 50;
    }
    if (box.node.status().role !== "leader") throw new Error(`box ${number} was not elected`);
    return box;
  }

  isolate(number: number): void {
    const gone = id(number);
    this.drop = (message) => message.from === gone || message.to === gone;
  }
}
