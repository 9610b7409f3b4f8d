import type { Prng } from "../../src/base/prng.ts";
import type { FrameType } from "../../src/cluster/frame.ts";
import type { RaftId } from "../../src/raft/types.ts";
import type { World } from "./world.ts";

/** What one box sends another: the payload of a frame of the peers' connections. */
export interface Packet {
  readonly from: RaftId;
  readonly to: RaftId;
  readonly type: FrameType;
  readonly payload: Uint8Array;
  /** TimeoutNow: it is delayed more often than others. */
  readonly isTimeoutNow: boolean;
}

export interface NetworkEnds {
  deliver(packet: Packet): void;
  /** A connection that broke: its sender may hear of it. */
  unreachable(from: RaftId, to: RaftId): void;
}

/** Carries packets: late, twice, in another order or never. What is under way when a cable is cut is lost with it. */
export class Network {
  readonly #world: World;
  readonly #random: Prng;
  readonly #ends: NetworkEnds;
  /** `from>to` pairs that are cut. */
  readonly #cuts = new Set<string>();
  readonly #lossRate: number;
  readonly #duplicationRate: number;
  readonly #spreadMs: number;

  constructor(world: World, ends: NetworkEnds) {
    this.#world = world;
    this.#random = world.split();
    this.#ends = ends;
    this.#lossRate = world.faults.loss ? this.#random.pick([0.01, 0.05, 0.2]) : 0;
    this.#duplicationRate = world.faults.duplication ? this.#random.pick([0.02, 0.2]) : 0;
    this.#spreadMs = this.#random.pick([0.3, 2, 8]);
  }

  cut(from: RaftId, to: RaftId): void {
    this.#cuts.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cuts.clear();
  }

  send(packet: Packet): void {
    const storm = this.#world.storm;
    if (storm && this.#random.chance(this.#lossRate)) return;
    const copies = storm && this.#random.chance(this.#duplicationRate) ? 2 : 1;
    for (let i = 0; i < copies; i++) this.#carry(packet);
  }

  #carry(packet: Packet): void {
    let delayMs = 0.1 + this.#random.fraction() ** 2 * this.#spreadMs;
    if (this.#world.storm && this.#world.faults.longDelays) {
      const chance = packet.isTimeoutNow ? 0.3 : 0.003;
      if (this.#random.chance(chance)) delayMs += this.#random.fraction() ** 2 * 10_000;
    }
    this.#world.after(delayMs, "deliver", () => {
      if (!this.#cuts.has(`${packet.from}>${packet.to}`)) this.#ends.deliver(packet);
      else if (this.#random.chance(0.1)) this.#ends.unreachable(packet.from, packet.to);
    });
  }
}
