import type { Prng } from "../../src/base/prng.ts";
import { createPrng } from "../../src/base/prng.ts";
import { EventHeap } from "./event-heap.ts";
import type { Mutant } from "./mutant.ts";

/** The kinds of bad luck, and how likely a seed has each: every seed turns on a random subset. */
const FAULT_CLASSES = {
  loss: 0.5,
  duplication: 0.4,
  longDelays: 0.3,
  partitions: 0.6,
  oneWayCuts: 0.3,
  kills: 0.5,
  powerCuts: 0.5,
  pauses: 0.5,
  slowDisk: 0.3,
  drift: 0.5,
  transfers: 0.4,
  membership: 0.4,
  timings: 0.25,
  failingDisk: 0.2,
  apiHangs: 0.2,
  /** Whoever has just been elected is cut off or killed within milliseconds. */
  unluckyLeaders: 0.15,
  /** Somebody sets a box's wall clock, by up to an hour; nothing may depend on it. */
  wallJumps: 0.2,
  /** Logs are purged to next to nothing, snapshots are sent, forced, torn and installed with crashes in between. */
  snapshots: 0.5,
} as const;

export type FaultClass = keyof typeof FAULT_CLASSES;
export type FaultClasses = Readonly<Record<FaultClass, boolean>>;

export function isFaultClass(name: string): name is FaultClass {
  return name in FAULT_CLASSES;
}

export const FAULT_CLASS_NAMES = Object.keys(FAULT_CLASSES).filter(isFaultClass);

/** What makes a run: equal settings, equal run. */
export interface RunSettings {
  readonly seed: number;
  /** Events of the storm. */
  readonly steps: number;
  readonly mutants?: ReadonlySet<Mutant>;
  /** Of the seed's own fault classes only these. */
  readonly onlyFaults?: ReadonlySet<FaultClass>;
  /** Numbers of decisions ({@link World.strikes}) that do not happen: what shrinking leaves out. */
  readonly skipped?: ReadonlySet<number>;
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
  readonly #skipped: ReadonlySet<number> | undefined;
  /** How many there were so far. */
  decisions = 0;

  constructor(settings: RunSettings, trace?: (line: string) => void) {
    this.seed = settings.seed;
    this.#stormSteps = settings.steps;
    this.#skipped = settings.skipped;
    this.mutants = settings.mutants ?? new Set();
    this.#trace = trace;
    this.#root = createPrng(settings.seed);
    const dice = this.split();
    const isOn = (name: FaultClass): boolean =>
      dice.chance(FAULT_CLASSES[name]) && (settings.onlyFaults?.has(name) ?? true);
    this.faults = Object.fromEntries(FAULT_CLASS_NAMES.map((name) => [name, isOn(name)])) as FaultClasses;
  }

  /** A discrete piece of bad luck is about to happen: it is numbered, so that shrinking can leave it out. */
  strikes(): boolean {
    this.decisions++;
    return !(this.#skipped?.has(this.decisions) ?? false);
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
