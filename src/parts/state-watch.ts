import { CodedError } from "../base/error.ts";
import { type CheckVerdict, compareChecks, type ToldCheck } from "../cluster/state-check/policy.ts";

/** How often the leader compares, ms. */
const LOOK_EVERY_MS = 500;
/** A box that was given the leader's state and has told no new check for this long is not waited for any more, ms. */
const REBUILD_MS_MAX = 60_000;

export interface StateWatchPorts {
  readonly self: string;
  voters(): readonly string[];
  /** As people know a box. */
  nameOf(raftId: string): string;
  /** This box leads and has applied its own term's entry. */
  leads(): boolean;
  appliedIndex(): number;
  own(): readonly ToldCheck[];
  isSilent(raftId: string): boolean;
  /** It tells that its state is lost and that its log cannot give it back. */
  lacksState(raftId: string): boolean;
  /** Makes a box start from this one's state. */
  rebuild(raftId: string): void;
  /** Undefined when the transfer has started, else why not. */
  transfer(to: string): Promise<string | undefined>;
  /** Monotonic ms. */
  now(): number;
  log(text: string): void;
}

/**
 * Compares what the boxes tell of their states, on the leader. A follower in the minority rebuilds itself from a snapshot,
 * one at a time; a leader in the minority hands over, and its successor finds it; where nobody is right writes stop.
 */
export class StateWatch {
  readonly #ports: StateWatchPorts;
  readonly #told = new Map<string, readonly ToldCheck[]>();
  /** What a box told up to here is of the state that it had before it was rebuilt. */
  readonly #rebuiltTo = new Map<string, number>();
  #rebuilding: { readonly raftId: string; readonly at: number } | undefined;
  #objection: CodedError | undefined;
  #said = "";
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(ports: StateWatchPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  take(raftId: string, checks: readonly ToldCheck[]): void {
    this.#told.set(raftId, checks);
  }

  /** Throws `not-leader` while a leader in the minority hands over, `state-differs` where nobody is right. */
  admit(): void {
    if (this.#objection !== undefined && this.#ports.leads()) throw this.#objection;
  }

  look(): void {
    const { self, voters, isSilent, leads, own } = this.#ports;
    if (!leads()) {
      this.#objection = undefined;
      this.#rebuilding = undefined;
      this.#said = "";
      return;
    }
    const lacking = voters().find((raftId) => raftId !== self && this.#ports.lacksState(raftId));
    if (lacking !== undefined) this.#rebuild(lacking, "has lost its state");
    const verdict = compareChecks(
      voters().map((raftId) => ({
        raftId,
        isSilent: raftId !== self && isSilent(raftId),
        checks: raftId === self ? own() : this.#valid(raftId),
      })),
    );
    this.#objection = objectionOf(verdict, self);
    if (verdict.kind === "agreed") this.#said = "";
    else this.#act(verdict);
  }

  #act(verdict: Exclude<CheckVerdict, { kind: "agreed" }>): void {
    const { self, voters } = this.#ports;
    const where = `at entry ${verdict.index}`;
    if (verdict.kind === "undecided") {
      this.#say(`ALERT the states of two boxes differ ${where}, and who is right cannot be told before all answer`);
      return;
    }
    if (verdict.kind === "nobody-right") {
      this.#say(`ALERT ${NOBODY_RIGHT} (${where})`);
      return;
    }
    if (verdict.boxes.includes(self)) {
      this.#say(`ALERT this box's state differs from the majority's ${where}: it hands over, to be rebuilt`);
      void this.#handOver(voters().filter((raftId) => !verdict.boxes.includes(raftId)));
      return;
    }
    const [raftId] = verdict.boxes;
    if (raftId !== undefined) this.#rebuild(raftId, `has a state that differs from the majority's ${where}`);
  }

  #rebuild(raftId: string, why: string): void {
    if (this.#isRebuilding()) return;
    this.#rebuilding = { raftId, at: this.#ports.now() };
    this.#rebuiltTo.set(raftId, this.#ports.appliedIndex());
    this.#say(`ALERT ${this.#ports.nameOf(raftId)} ${why}: it is rebuilt from a snapshot`);
    this.#ports.rebuild(raftId);
  }

  /** One box at a time: the others hold the quorum. */
  #isRebuilding(): boolean {
    const current = this.#rebuilding;
    if (current === undefined) return false;
    return this.#valid(current.raftId).length === 0 && this.#ports.now() - current.at < REBUILD_MS_MAX;
  }

  #valid(raftId: string): readonly ToldCheck[] {
    const from = this.#rebuiltTo.get(raftId) ?? 0;
    return (this.#told.get(raftId) ?? []).filter(({ index }) => index > from);
  }

  async #handOver(to: readonly string[]): Promise<void> {
    for (const raftId of to) if ((await this.#ports.transfer(raftId)) === undefined) return;
  }

  /** The same news is said once. */
  #say(text: string): void {
    if (text !== this.#said) this.#ports.log(text);
    this.#said = text;
  }
}

const NOBODY_RIGHT =
  "the states of the boxes differ and none has a majority: writes stop until a person has looked (onedb restore, or server-reset of the wrong ones)";

function objectionOf(verdict: CheckVerdict, self: string): CodedError | undefined {
  if (verdict.kind === "nobody-right")
    return new CodedError("state-differs", `Cannot process request: ${NOBODY_RIGHT}`);
  if (verdict.kind !== "differ" || !verdict.boxes.includes(self)) return undefined;
  return new CodedError("not-leader", "This box's state differs from the majority's");
}
