import type { Prng } from "../../src/base/prng.ts";
import type { SimKernel } from "./kernel.ts";
import type { World } from "./world.ts";

/** What a switch makes of a frame's way, ms; its queue is short. */
const DELAY_MS_MAX = 3;

/** The cable that all boxes hang on: a frame reaches every other box, or is lost. */
export class Lan {
  readonly #world: World;
  readonly #random: Prng;
  readonly #kernels: SimKernel[] = [];

  constructor(world: World) {
    this.#world = world;
    this.#random = world.split();
  }

  attach(kernel: SimKernel): void {
    this.#kernels.push(kernel);
  }

  send(from: SimKernel, frame: Uint8Array): void {
    for (const kernel of this.#kernels) {
      if (kernel === from) continue;
      if (this.#world.storm && this.#random.chance(0.05)) continue;
      this.#world.after(this.#random.fraction() * DELAY_MS_MAX, "frame", () => kernel.receive(frame));
    }
  }
}
