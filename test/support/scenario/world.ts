import { decodeMessage, encodeMessage } from "../../../src/raft/codec.ts";
import { EMPTY_MEMBERSHIP } from "../../../src/raft/membership.ts";
import type { Message } from "../../../src/raft/messages.ts";
import type { CoreMutant } from "../../../src/raft/mutants.ts";
import type { LogEntry, Membership, Options, SnapshotMeta } from "../../../src/raft/types.ts";
import { id } from "../raft/group.ts";
import type { Applied, BoxWorld } from "./box.ts";
import { Box } from "./box.ts";
import { numberOf, sayData, sayMessage } from "./say.ts";

/** Deliveries in one command; more is a story that never comes to rest. */
const DELIVERIES_MAX = 20_000;
/** How finely time passes, ms: the tick of the pump. */
const TICK_MS = 10;

export type Pick = (message: Message) => boolean;

/**
 * Boxes, the network between them and one clock. Messages wait in the network in the order in which they were sent
 * until the story delivers, drops or repeats them; a link that is cut loses what is sent over it. What must hold in any
 * story is checked all the time: {@link broken} says what did not.
 */
export class World implements BoxWorld {
  readonly boxes = new Map<number, Box>();
  readonly #mutants: ReadonlySet<CoreMutant>;
  /** What was said since the last command. */
  said: string[] = [];
  readonly broken: string[] = [];
  isQuiet = false;
  options: Partial<Options> = {};
  founding: Membership = EMPTY_MEMBERSHIP;
  /** Sent, neither delivered nor dropped. */
  net: Message[] = [];
  /** Set aside by `keep`. */
  kept: Message[] = [];
  readonly #cuts = new Set<string>();
  readonly #snapshots = new Map<number, { readonly meta: SnapshotMeta; readonly state: readonly Applied[] }>();
  #now = 0;
  readonly #leaders = new Map<number, number>();
  readonly #votes = new Map<string, string>();
  readonly #history = new Map<number, string>();

  constructor(mutants: ReadonlySet<CoreMutant>) {
    this.#mutants = mutants;
  }

  now = (): number => this.#now;

  say = (weight: "news" | "detail", text: string): void => {
    if (weight === "detail" && this.isQuiet) return;
    // Entries that one box applies one after the other share a line.
    const applies = /^\d+ applies /.exec(text)?.[0];
    const last = this.said.at(-1);
    if (applies !== undefined && last?.startsWith(applies)) {
      this.said[this.said.length - 1] = `${last}, ${text.slice(applies.length)}`;
    } else this.said.push(text);
  };

  add(number: number, membership: Membership): Box {
    const box = new Box(number, membership, this.options, this.#mutants, this);
    this.boxes.set(number, box);
    return box;
  }

  box(number: number): Box {
    const box = this.boxes.get(number);
    if (box === undefined) throw new Error(`there is no box ${number}`);
    return box;
  }

  send = (message: Message): void => {
    this.#checkMessage(message);
    const isLost = this.#cuts.has(`${numberOf(message.from)}>${numberOf(message.to)}`);
    this.say("detail", `${sayMessage(message)}${isLost ? " (lost)" : ""}`);
    if (!isLost) this.net.push(message);
  };

  cut(from: number, to: number): void {
    this.#cuts.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cuts.clear();
  }

  /** Delivers what is under way now and picked; what that causes waits for the next delivery. */
  deliver(pick: Pick): number {
    const chosen = this.net.filter(pick);
    this.net = this.net.filter((message) => !pick(message));
    for (const message of chosen) this.hand(message);
    return chosen.length;
  }

  /** Delivers until nothing is under way. */
  settle(): void {
    for (let done = 0; done <= DELIVERIES_MAX; done++) {
      const message = this.net.shift();
      if (message === undefined) return;
      this.hand(message);
    }
    throw new Error("the boxes do not come to rest");
  }

  /** One message arrives, through its encoding, at a box that may be down. */
  hand(message: Message): void {
    const box = this.boxes.get(Number(numberOf(message.to)));
    const arrived = decodeMessage(encodeMessage(message));
    box?.input((node) => node.step(arrived, this.#now));
  }

  /** Time passes; with `settling` everything is delivered at each tick. */
  pass(durationMs: number, settling: boolean): void {
    for (const end = this.#now + durationMs; this.#now < end; ) {
      this.#now = Math.min(end, this.#now + TICK_MS);
      for (const box of this.boxes.values()) box.input((node) => node.tick(this.#now));
      if (settling) this.settle();
    }
  }

  /** The clock jumps: nobody ran meanwhile. */
  jump(durationMs: number): void {
    this.#now += durationMs;
  }

  /** Makes a snapshot of what the box has applied up to `index` and cuts its log there. */
  compact(number: number, index: number): void {
    const box = this.box(number);
    const term = box.log.term(index);
    if (term === undefined || index > box.appliedIndex) throw new Error(`${index} is not applied on box ${number}`);
    const meta = { index, term, membership: box.alive.status().membership };
    this.#snapshots.set(number, { meta, state: box.state.filter((each) => each.index <= index) });
    box.log.compact(meta);
  }

  installSnapshot(from: number, to: number): void {
    const snapshot = this.#snapshots.get(from);
    if (snapshot === undefined) throw new Error(`box ${from} has no snapshot`);
    this.box(to).install(snapshot.meta, snapshot.state);
  }

  applied(box: Box, entry: LogEntry): void {
    const text = `${entry.term} ${sayData(entry)}`;
    const before = this.#history.get(entry.index);
    if (before === undefined) this.#history.set(entry.index, text);
    else if (before !== text) {
      this.break(`box ${box.number} applied ${entry.index} as "${text}", another box as "${before}"`);
    }
  }

  /** What must hold after each command. */
  check(): void {
    for (const box of this.boxes.values()) {
      const status = box.node?.status();
      if (status === undefined) continue;
      if (status.role === "leader") {
        const other = this.#leaders.get(status.term);
        if (other !== undefined && other !== box.number) {
          this.break(`boxes ${other} and ${box.number} both lead term ${status.term}`);
        }
        this.#leaders.set(status.term, box.number);
      }
      if (status.commit > status.lastIndex) this.break(`box ${box.number} committed more than it has`);
      if (status.applied > status.stableIndex) this.break(`box ${box.number} applied what is not durable`);
    }
  }

  break(what: string): void {
    const text = `BROKEN: ${what}`;
    this.broken.push(text);
    this.said.push(text);
  }

  /** One grant a voter and term, and nothing promised that is not on the disk. */
  #checkMessage(message: Message): void {
    const box = this.boxes.get(Number(numberOf(message.from)));
    if (box === undefined) return;
    if (message.kind === "vote-response" && message.granted && !message.preVote) {
      const key = `${message.from} ${message.electionTerm}`;
      const before = this.#votes.get(key);
      if (before !== undefined && before !== message.to) {
        this.break(`box ${box.number} voted for ${numberOf(before)} and ${numberOf(message.to)} in one term`);
      }
      this.#votes.set(key, message.to);
      const { term, vote } = box.hardState;
      if (term < message.electionTerm || (term === message.electionTerm && vote !== message.to)) {
        this.break(`box ${box.number} answered a vote that is not on its disk`);
      }
    }
    if (message.kind === "append-response" && !message.rejected && message.index > box.log.lastIndex()) {
      this.break(`box ${box.number} acknowledged ${message.index}, its disk ends at ${box.log.lastIndex()}`);
    }
  }
}

/** All messages, or those that words like `1->2`, `*->2`, `append` name; words of one sort are alternatives. */
export function pickOf(words: readonly string[]): Pick {
  const links = words.filter((word) => word.includes("->")).map((word) => word.split("->"));
  const kinds = words.filter((word) => !word.includes("->"));
  for (const kind of kinds) if (!KINDS.has(kind)) throw new Error(`there is no message "${kind}"`);
  const isEnd = (name: string | undefined, end: string): boolean => name === "*" || id(Number(name)) === end;
  return (message) =>
    (links.length === 0 || links.some(([from, to]) => isEnd(from, message.from) && isEnd(to, message.to))) &&
    (kinds.length === 0 || kinds.includes(message.kind));
}

const KINDS: ReadonlySet<string> = new Set<Message["kind"]>([
  "vote-request",
  "vote-response",
  "append",
  "append-response",
  "heartbeat",
  "heartbeat-response",
  "timeout-now",
  "read-index-request",
  "read-index-response",
]);
