import type { Prng } from "../../src/base/prng.ts";
import { decodeMessage, encodeMessage } from "../../src/raft/codec.ts";
import type { Message } from "../../src/raft/messages.ts";
import type { RaftId } from "../../src/raft/types.ts";
import type { World } from "./world.ts";

/** Carries messages: late, twice, in another order or never. What is under way when a cable is cut is lost with it. */
export class Network {
  readonly #world: World;
  readonly #random: Prng;
  readonly #deliver: (message: Message) => void;
  /** `from>to` pairs that are cut. */
  readonly #cuts = new Set<string>();
  readonly #lossRate: number;
  readonly #duplicationRate: number;
  readonly #spreadMs: number;
  /** Some seeds send everything through the codec, so that it is part of the proof without slowing all of them. */
  readonly #usesCodec: boolean;

  constructor(world: World, deliver: (message: Message) => void) {
    this.#world = world;
    this.#random = world.split();
    this.#deliver = deliver;
    this.#lossRate = world.faults.loss ? this.#random.pick([0.01, 0.05, 0.2]) : 0;
    this.#duplicationRate = world.faults.duplication ? this.#random.pick([0.02, 0.2]) : 0;
    this.#spreadMs = this.#random.pick([0.3, 2, 8]);
    this.#usesCodec = this.#random.chance(1 / 16);
  }

  cut(from: RaftId, to: RaftId): void {
    this.#cuts.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cuts.clear();
  }

  send(message: Message): void {
    const storm = this.#world.storm;
    if (storm && this.#random.chance(this.#lossRate)) return;
    const copies = storm && this.#random.chance(this.#duplicationRate) ? 2 : 1;
    for (let i = 0; i < copies; i++) this.#carry(message);
  }

  #carry(message: Message): void {
    let delayMs = 0.1 + this.#random.fraction() ** 2 * this.#spreadMs;
    if (this.#world.storm && this.#world.faults.longDelays) {
      const chance = message.kind === "timeout-now" ? 0.3 : 0.003;
      if (this.#random.chance(chance)) delayMs += this.#random.fraction() ** 2 * 10_000;
    }
    const carried = this.#usesCodec ? decodeMessage(encodeMessage(message)) : message;
    this.#world.after(delayMs, "deliver", () => {
      if (!this.#cuts.has(`${message.from}>${message.to}`)) this.#deliver(carried);
    });
  }
}
