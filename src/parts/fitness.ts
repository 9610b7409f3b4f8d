import { CodedError } from "../base/error.ts";
import {
  FITNESS_AT_START,
  type Fitness,
  type FitnessVerdict,
  type FitVoter,
  judge,
} from "../cluster/fitness/policy.ts";
import type { Membership } from "../raft/types.ts";

/** How often the leader looks at the disks, ms: two reports of each box. */
const LOOK_EVERY_MS = 200;
/** A box that has told nothing for so long is silent, ms: thirty reports. */
const TOLD_AGE_MS_MAX = 3_000;

export interface FitnessPorts {
  readonly self: string;
  membership(): Membership;
  leads(): boolean;
  own(): Fitness;
  /** Undefined when the transfer has started, else why not. */
  transfer(to: string): Promise<string | undefined>;
  /** Monotonic ms. */
  now(): number;
  log(text: string): void;
}

/** What the boxes tell of their disks, and what the leader makes of it. */
export class FitnessWatch {
  readonly #ports: FitnessPorts;
  readonly #told = new Map<string, { readonly fitness: Fitness; readonly at: number }>();
  #state = FITNESS_AT_START;
  #objection: FitnessVerdict["objection"];
  #isAsking = false;
  #said = "";
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(ports: FitnessPorts) {
    this.#ports = ports;
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  own(): Fitness {
    return this.#ports.own();
  }

  /** Another box's word, `at` on our clock. */
  take(raftId: string, fitness: Fitness, at: number): void {
    this.#told.set(raftId, { fitness, at });
  }

  /** What a box told lately; undefined for a silent one. */
  of(raftId: string): Fitness | undefined {
    if (raftId === this.#ports.self) return this.own();
    const told = this.#told.get(raftId);
    return told === undefined || this.#ports.now() - told.at > TOLD_AGE_MS_MAX ? undefined : told.fitness;
  }

  /** Throws `not-leader` while leadership moves for want of room, `no-room` where no quorum has any. */
  admit(): void {
    const objection = this.#objection;
    if (objection === undefined || !this.#ports.leads()) return;
    if (objection.kind === "elsewhere") throw new CodedError("not-leader", "This box has no room on its disk");
    throw new CodedError("no-room", objection.text);
  }

  /** At once when this box's own level changes, else every {@link LOOK_EVERY_MS}. */
  look(): void {
    const { ports, others } = { ports: this.#ports, others: this.#others() };
    const self = { ...this.#voter(ports.self), fitness: this.own() };
    const verdict = judge(this.#state, { leads: ports.leads(), self, others }, ports.now());
    this.#state = verdict.state;
    this.#objection = verdict.objection;
    if (verdict.objection?.kind === "no-room") this.#say(verdict.objection.text);
    if (verdict.handOver !== undefined && !this.#isAsking) void this.#handOver(verdict.handOver);
  }

  async #handOver({ to, why }: NonNullable<FitnessVerdict["handOver"]>): Promise<void> {
    this.#isAsking = true;
    let obstacle = "";
    for (const raftId of to) {
      obstacle = (await this.#ports.transfer(raftId)) ?? "";
      if (obstacle === "") break;
    }
    this.#isAsking = false;
    this.#say(
      obstacle === ""
        ? `leadership is offered to another box: ${why}`
        : `leadership stays here although ${why}: ${obstacle}`,
    );
  }

  /** The same news is said once. */
  #say(text: string): void {
    if (text !== this.#said) this.#ports.log(text);
    this.#said = text;
  }

  #others(): FitVoter[] {
    return this.#ports
      .membership()
      .voters.filter((raftId) => raftId !== this.#ports.self)
      .map((raftId) => ({ ...this.#voter(raftId), fitness: this.of(raftId) }));
  }

  #voter(raftId: string): Omit<FitVoter, "fitness"> {
    const member = this.#ports.membership().members.find((one) => one.raftId === raftId);
    return { raftId, name: member?.name ?? raftId };
  }
}
