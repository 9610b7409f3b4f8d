import type { Mutant } from "./mutant.ts";
import { isMutant, MUTANTS } from "./mutant.ts";
import { simulate } from "./simulation.ts";

/** A mistake that is not caught within so many seeds is missed. */
const SEEDS_MAX = 2000;
const STEPS = 5000;

interface Caught {
  readonly mutant: Mutant;
  readonly seeds: number;
  readonly seed: number;
  readonly by: string;
}

/** Runs seeds with one planted mistake until something notices. */
function hunt(mutant: Mutant, seedsMax: number): Caught | undefined {
  for (let seed = 1; seed <= seedsMax; seed++) {
    const { failure } = simulate({ seed, steps: STEPS, mutants: new Set([mutant]) });
    if (failure !== undefined) return { mutant, seeds: seed, seed, by: failure.message };
  }
  return undefined;
}

const [first, second] = process.argv.slice(2);
const seedsMax = first === "--seeds" && second !== undefined ? Number(second) : SEEDS_MAX;
const named = process.argv.slice(2).filter(isMutant);
let caught = 0;
let missed = 0;
for (const mutant of named.length > 0 ? named : MUTANTS) {
  const startedAt = performance.now();
  const result = hunt(mutant, seedsMax);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
  if (result === undefined) {
    missed++;
    console.log(`${mutant.padEnd(40)} MISSED in ${seedsMax} seeds ${seconds} s`);
  } else {
    caught++;
    console.log(
      `${mutant.padEnd(40)} ${String(result.seeds).padStart(5)} seeds ${seconds} s  ${result.by.slice(0, 110)}`,
    );
  }
}
console.log(`${caught} passed, ${missed} failed`);
process.exitCode = missed === 0 ? 0 : 1;
