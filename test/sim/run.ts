import type { Mutant } from "./mutant.ts";
import { isMutant, MUTANTS } from "./mutant.ts";
import type { RunResult } from "./simulation.ts";
import { simulate } from "./simulation.ts";

const HELP = `./scripts/test sim [--seeds N] [--from S] [--steps N] [--mutant NAME]   many seeds
./scripts/test sim --seed S [--steps N] [--mutant NAME]                 one seed, told step by step
Mutants: ${MUTANTS.join(" ")}`;

/** 1 of this many seeds runs twice, and both runs must see the same. */
const TWICE_ONE_IN = 100;
/** Failing seeds that are told in full; one is enough to work on. */
const FAILURES_TOLD_MAX = 5;

interface Arguments {
  readonly seeds: number;
  readonly from: number;
  readonly steps: number;
  readonly seed: number | undefined;
  readonly mutants: ReadonlySet<Mutant>;
}

function parse(words: readonly string[]): Arguments {
  const values = new Map<string, string>();
  for (let i = 0; i < words.length; i += 2) {
    const name = words[i] ?? "";
    const value = words[i + 1];
    const isKnown = ["--seeds", "--from", "--steps", "--seed", "--mutant"].includes(name);
    if (!isKnown || value === undefined) fail(`Cannot read "${words.slice(i).join(" ")}"`);
    values.set(name, value);
  }
  const number = (name: string, fallback: number): number => {
    const text = values.get(name);
    if (text === undefined) return fallback;
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < 0) fail(`${name} "${text}" is not a number`);
    return value;
  };
  const mutant = values.get("--mutant");
  if (mutant !== undefined && !isMutant(mutant)) fail(`Mutant "${mutant}" is unknown`);
  return {
    seeds: number("--seeds", 1000),
    from: number("--from", 1),
    steps: number("--steps", 5000),
    seed: values.has("--seed") ? number("--seed", 0) : undefined,
    mutants: new Set(mutant !== undefined && isMutant(mutant) ? [mutant] : []),
  };
}

function fail(why: string): never {
  console.error(`${why}\n${HELP}`);
  process.exit(2);
}

/** Runs a seed, some of them twice. */
function runSeed(seed: number, given: Arguments): RunResult {
  const result = simulate({ seed, steps: given.steps, mutants: given.mutants });
  if (seed % TWICE_ONE_IN !== 0 || result.failure !== undefined) return result;
  const again = simulate({ seed, steps: given.steps, mutants: given.mutants });
  if (again.hash === result.hash && again.steps === result.steps) return result;
  return { ...result, failure: new Error(`not deterministic: hash ${result.hash}, then ${again.hash}`) };
}

function tellCounters(counters: ReadonlyMap<string, number>): void {
  for (const [name, count] of [...counters].sort()) console.log(`  ${String(count).padStart(8)} ${name}`);
}

function replay(seed: number, given: Arguments): number {
  const result = simulate({ seed, steps: given.steps, mutants: given.mutants, trace: (line) => console.log(line) });
  tellCounters(result.counters);
  console.log(`seed ${seed}: ${result.steps} steps, hash ${result.hash.toString(16)}`);
  if (result.failure !== undefined) console.log(result.failure.stack ?? result.failure.message);
  return result.failure === undefined ? 0 : 1;
}

function runMany(given: Arguments): { readonly passed: number; readonly failed: number } {
  const totals = new Map<string, number>();
  const startedAt = performance.now();
  let passed = 0;
  let failed = 0;
  let steps = 0;
  for (let seed = given.from; seed < given.from + given.seeds; seed++) {
    const result = runSeed(seed, given);
    steps += result.steps;
    for (const [name, count] of result.counters) totals.set(name, (totals.get(name) ?? 0) + count);
    if (result.failure === undefined) {
      passed++;
      continue;
    }
    failed++;
    if (failed > FAILURES_TOLD_MAX) continue;
    const mutant = [...given.mutants].map((name) => ` --mutant ${name}`).join("");
    console.log(`seed ${seed}: ${result.failure.message}`);
    console.log(`  replay: ./scripts/test sim --seed ${seed} --steps ${given.steps}${mutant}`);
  }
  tellCounters(totals);
  const seconds = (performance.now() - startedAt) / 1000;
  console.log(`${steps} steps in ${seconds.toFixed(1)} s, ${(steps / seconds / 1e6).toFixed(2)} M steps/s`);
  return { passed, failed };
}

const given = parse(process.argv.slice(2));
if (given.seed !== undefined) {
  const code = replay(given.seed, given);
  console.log(code === 0 ? "1 passed, 0 failed" : "0 passed, 1 failed");
  process.exitCode = code;
} else {
  const { passed, failed } = runMany(given);
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}
