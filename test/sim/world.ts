import type { Prng } from "../../src/base/prng.ts";
import { createPrng } from "../../src/base/prng.ts";
import { EventHeap } from "./event-heap.ts";
import type { Mutant } from "./mutant.ts";

/** Which kinds of bad luck a seed has. Each seed turns on a random subset. */
export interface FaultClasses {
  readonly loss: boolean;
  readonly duplication: boolean;
  readonly longDelays: boolean;
  readonly partitions: boolean;
  readonly oneWayCuts: boolean;
  readonly kills: boolean;
  readonly powerCuts: boolean;
  readonly pauses: boolean;
  readonly slowDisk: boolean;
  readonly failingDisk: boolean;
  readonly apiHangs: boolean;
  readonly drift: boolean;
  readonly transfers: boolean;
  readonly membership: boolean;
  readonly timings: boolean;
}

/** True time, the events to come, one random source split by component, and the run's hash. */
export class World {
  readonly seed: number;
  readonly mutants: ReadonlySet<Mutant>;
  readonly faults: FaultClasses;
  readonly #root: Prng;
  readonly #heap = new EventHeap();
  readonly #trace: ((line: string) => void) | undefined;
  /** True time in ms; nobody inside may see it. */
  now = 0;
  steps = 0;
  hash = 0x811c9dc5;
  #isHealing = false;
  /** How often rare things happened: a counter that stays 0 over many seeds means that a test tests nothing. */
  readonly counters = new Map<string, number>();

  /** What was broken first; whoever catches it on the way must not go on. */
  failure: unknown;
  /** Processes that stand still inside a call, each with the rest of the world running on top of its stack. */
  depth = 0;
  readonly #stormSteps: number;

  constructor(seed: number, stormSteps: number, mutants: ReadonlySet<Mutant>, trace?: (line: string) => void) {
    this.seed = seed;
    this.#stormSteps = stormSteps;
    this.mutants = mutants;
    this.#trace = trace;
    this.#root = createPrng(seed);
    const dice = this.split();
    this.faults = {
      loss: dice.chance(0.5),
      duplication: dice.chance(0.4),
      longDelays: dice.chance(0.3),
      partitions: dice.chance(0.6),
      oneWayCuts: dice.chance(0.3),
      kills: dice.chance(0.5),
      powerCuts: dice.chance(0.5),
      pauses: dice.chance(0.5),
      slowDisk: dice.chance(0.3),
      drift: dice.chance(0.5),
      transfers: dice.chance(0.4),
      membership: dice.chance(0.4),
      timings: dice.chance(0.25),
      failingDisk: dice.chance(0.2),
      apiHangs: dice.chance(0.2),
    };
  }

  /** Faults happen; not in the heal phase. */
  get storm(): boolean {
    return !this.#isHealing && this.steps < this.#stormSteps;
  }

  endStorm(): void {
    this.#isHealing = true;
  }

  /** A source of a component's own: its draws do not shift the others'. */
  split(): Prng {
    return this.#root.split();
  }

  after(delayMs: number, label: string, run: () => void): void {
    this.#heap.push(this.now + delayMs, label, run);
  }

  count(name: string): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + 1);
  }

  trace(line: () => string): void {
    if (this.#trace !== undefined) this.#trace(`${this.now.toFixed(3).padStart(10)} ${line()}`);
  }

  /** Takes part in the run's hash: two runs of one seed must see the same values in the same order. */
  observe(value: number): void {
    this.hash = Math.imul(this.hash ^ (value | 0), 0x01000193) >>> 0;
  }

  /** Keeps the first failure, also when some catch on its way believes it to be its own. */
  fail(error: unknown): void {
    this.failure ??= error;
  }

  /** The rest of the world goes on while a process stands still inside a call; at the longest until the storm's end. */
  goOn(durationMs: number): void {
    const until = this.now + durationMs;
    this.depth++;
    while (this.storm && this.#heap.nextAt <= until) this.step();
    this.depth--;
    // A call that was nested in this one may have lasted longer.
    if (this.storm) this.now = Math.max(this.now, until);
  }

  /** Runs the next event. */
  step(): void {
    const event = this.#heap.pop();
    if (event === undefined) throw new Error("nothing happens any more");
    this.now = event.at;
    this.steps++;
    this.observe(event.sequence);
    this.observe(event.at * 1000);
    event.run();
    if (this.failure !== undefined) throw this.failure;
  }
}
