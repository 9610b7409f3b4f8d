import { FENCING_MUTANTS, runSeed } from "./fencing.ts";
import { isMutant, MUTANTS } from "./mutant.ts";
import { simulate } from "./simulation.ts";

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
}

/** One simulator: a part of the product that ships, in a world that is made up. */
export interface Suite {
  readonly name: string;
  /** Every mistake that can be planted, each of which must be caught. */
  readonly mutants: readonly string[];
  /** Seeds of a run that does not say how many. */
  readonly seeds: number;
  /** A planted mistake that is not caught within so many seeds is missed. */
  readonly mutantSeeds: number;
  run(options: SeedOptions): Promise<SeedResult>;
}

/** Boxes, disks, networks and kernels around pump, core and VIP holder. */
const core: Suite = {
  name: "core",
  mutants: MUTANTS,
  seeds: 1000,
  mutantSeeds: 4000,
  run: async ({ seed, steps, mutants, trace }) => {
    const planted = new Set([...mutants].filter(isMutant));
    const run = simulate({ seed, steps, mutants: planted, ...(trace === undefined ? {} : { trace }) });
    return { failure: run.failure, hash: run.hash.toString(16), steps: run.steps, counters: run.counters };
  },
};

/** Hosts, BMCs, guests and users around the drivers of fencing and recovery, on real SQL. A seed takes 0.2 s. */
const fencing: Suite = {
  name: "fencing",
  mutants: FENCING_MUTANTS,
  seeds: 60,
  mutantSeeds: 200,
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

export const SUITES: readonly Suite[] = [core, fencing];

/** The suite of that name; all of them for "all". */
export function suitesNamed(name: string): readonly Suite[] {
  return name === "all" ? SUITES : SUITES.filter((suite) => suite.name === name);
}
