import { FENCING_MUTANTS, runSeed } from "./fencing.ts";
import { runLogSeed } from "./log.ts";
import { isMutant, MUTANTS } from "./mutant.ts";
import { plantsOf } from "./plants.ts";
import { CORE_RARE, FENCING_RARE, LOG_RARE, STATE_RARE } from "./rare.ts";
import { simulate } from "./simulation.ts";
import { runStateSeed } from "./state.ts";
import type { TraceEvent } from "./trace.ts";
import type { FaultClass } from "./world.ts";

/** What one seed of a component showed. */
export interface SeedResult {
  /** What was broken; undefined when everything held. */
  readonly failure: Error | undefined;
  /** Equal for two runs of the same seed. */
  readonly hash: string;
  /** Events of the simulated world; 0 where nobody counts them. */
  readonly steps: number;
  readonly counters: ReadonlyMap<string, number>;
}

export interface SeedOptions {
  readonly seed: number;
  /** Events of the storm; the core's only, fencing has a storm of fixed length. */
  readonly steps: number;
  readonly mutants: ReadonlySet<string>;
  readonly trace?: (line: string) => void;
  /** The core's only: see {@link RunSettings}. */
  readonly onlyFaults?: ReadonlySet<FaultClass>;
  readonly skipped?: ReadonlySet<number>;
  readonly traceEvent?: (event: TraceEvent) => void;
}

/** Seeds for one process; JSON. */
export interface Stretch {
  readonly suite: string;
  readonly from: number;
  readonly seeds: number;
  readonly steps: number;
  readonly mutants: readonly string[];
  /** No seed is begun after this. */
  readonly secondsMax: number;
  readonly stopsAtFailure: boolean;
}

/** What that process says. */
export type WorkerLine =
  | { readonly kind: "begin"; readonly seed: number }
  | { readonly kind: "failure"; readonly seed: number; readonly why: string }
  | {
      readonly kind: "end";
      readonly seeds: number;
      readonly steps: number;
      /** Of the whole process: what a seed costs, however busy the machine is with other things. */
      readonly cpuSeconds: number;
      readonly counters: Readonly<Record<string, number>>;
    };

/** One simulator: a part of the product that ships, in a world that is made up. */
export interface Suite {
  readonly name: string;
  /** Every mistake that can be planted, each of which must be caught. */
  readonly mutants: readonly string[];
  /** Seeds of a run that does not say how many. */
  readonly seeds: number;
  /** A planted mistake that is not caught within so many seeds is missed. */
  readonly mutantSeeds: number;
  /** Its part of the time that new seeds get. */
  readonly share: number;
  /** Seeds that one process runs before the next one starts: some ten seconds. */
  readonly stretchSeeds: number;
  /** Counters of rare things that a long run must have met: one that stays 0 tests nothing. */
  readonly rare: readonly string[];
  run(options: SeedOptions): Promise<SeedResult>;
}

/** Boxes, disks, networks and kernels around pump, core and VIP holder. */
const core: Suite = {
  name: "core",
  mutants: [...MUTANTS, ...plantsOf("core")],
  seeds: 1000,
  mutantSeeds: 20_000,
  share: 0.7,
  stretchSeeds: 500,
  rare: CORE_RARE,
  run: async (options) => {
    const run = simulate({ ...options, mutants: new Set([...options.mutants].filter(isMutant)) });
    return { failure: run.failure, hash: run.hash.toString(16), steps: run.steps, counters: run.counters };
  },
};

/** Hosts, BMCs, guests and users around the drivers of fencing and recovery, on real SQL. A seed takes 0.2 s. */
const fencing: Suite = {
  name: "fencing",
  mutants: FENCING_MUTANTS,
  seeds: 60,
  mutantSeeds: 1000,
  share: 0.3,
  stretchSeeds: 40,
  rare: FENCING_RARE,
  run: async ({ seed, mutants }) => {
    const run = await runSeed(seed, mutants);
    return {
      failure: run.ok ? undefined : new Error(run.violation ?? "broken, but nobody said what"),
      hash: Bun.hash(JSON.stringify(run)).toString(16),
      steps: 0,
      counters: new Map(Object.entries(run.counters)),
    };
  },
};

/** The log as it ships, on a disk that fails in every way. */
const log: Suite = {
  name: "log",
  mutants: plantsOf("log"),
  seeds: 1000,
  mutantSeeds: 20_000,
  share: 0.1,
  stretchSeeds: 1000,
  rare: LOG_RARE,
  run: async ({ seed, trace }) => ({ ...(await runLogSeed(seed, trace)), steps: 0 }),
};

/** The state database as it ships, on real SQLite: the slow mode. */
const state: Suite = {
  name: "state",
  mutants: plantsOf("state"),
  seeds: 60,
  mutantSeeds: 1000,
  share: 0.1,
  stretchSeeds: 50,
  rare: STATE_RARE,
  run: async ({ seed, trace }) => ({ ...(await runStateSeed(seed, trace)), steps: 0 }),
};

export const SUITES: readonly Suite[] = [core, fencing, log, state];

/** The suite of that name; all of them for "all". */
export function suitesNamed(name: string): readonly Suite[] {
  return name === "all" ? SUITES : SUITES.filter((suite) => suite.name === name);
}
