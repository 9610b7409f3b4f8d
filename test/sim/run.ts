import { type SeedResult, SUITES, type Suite, suitesNamed } from "./suite.ts";

const HELP = `./scripts/test sim [--component core|fencing|all] [--seeds N] [--from S] [--steps N] [--mutant NAME]   many seeds
./scripts/test sim --seed S [--component core|fencing] [--steps N] [--mutant NAME]                  one seed, told step by step
Without --seeds: ${SUITES.map((suite) => `${suite.seeds} of ${suite.name}`).join(", ")}.
${SUITES.map((suite) => `Mutants of ${suite.name}: ${suite.mutants.join(" ")}`).join("\n")}`;

/** 1 of this many seeds runs twice, and both runs must see the same. */
const TWICE_ONE_IN = 100;
/** Failing seeds that are told in full; one is enough to work on. */
const FAILURES_TOLD_MAX = 5;
/** Events of a storm of the core: some seconds of a cluster's life. */
const STEPS = 5000;

interface Arguments {
  readonly suites: readonly Suite[];
  /** Undefined: as many as the suite says. */
  readonly seeds: number | undefined;
  readonly from: number;
  readonly steps: number;
  readonly seed: number | undefined;
  readonly mutants: ReadonlySet<string>;
}

function parse(words: readonly string[]): Arguments {
  const values = new Map<string, string>();
  for (let i = 0; i < words.length; i += 2) {
    const name = words[i] ?? "";
    const value = words[i + 1];
    const isKnown = ["--component", "--seeds", "--from", "--steps", "--seed", "--mutant"].includes(name);
    if (!isKnown || value === undefined) fail(`Cannot read "${words.slice(i).join(" ")}"`);
    values.set(name, value);
  }
  const number = (name: string): number | undefined => {
    const text = values.get(name);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < 0) fail(`${name} "${text}" is not a number`);
    return value;
  };
  const mutant = values.get("--mutant");
  const seed = number("--seed");
  const named = values.get("--component") ?? (seed === undefined && mutant === undefined ? "all" : ownerOf(mutant));
  const suites = suitesNamed(named);
  if (suites.length === 0) fail(`Component "${named}" is unknown`);
  if (mutant !== undefined && !suites.some((suite) => suite.mutants.includes(mutant)))
    fail(`Mutant "${mutant}" is unknown in ${named}`);
  return {
    suites,
    seeds: number("--seeds"),
    from: number("--from") ?? 1,
    steps: number("--steps") ?? STEPS,
    seed,
    mutants: new Set(mutant === undefined ? [] : [mutant]),
  };
}

function ownerOf(mutant: string | undefined): string {
  return SUITES.find((suite) => mutant !== undefined && suite.mutants.includes(mutant))?.name ?? "core";
}

function fail(why: string): never {
  console.error(`${why}\n${HELP}`);
  process.exit(2);
}

/** Runs a seed, some of them twice. */
async function runSeed(suite: Suite, seed: number, given: Arguments): Promise<SeedResult> {
  const options = { seed, steps: given.steps, mutants: given.mutants };
  const result = await suite.run(options);
  if (seed % TWICE_ONE_IN !== 0 || result.failure !== undefined) return result;
  const again = await suite.run(options);
  if (again.hash === result.hash && again.steps === result.steps) return result;
  return { ...result, failure: new Error(`not deterministic: hash ${result.hash}, then ${again.hash}`) };
}

function tellCounters(counters: ReadonlyMap<string, number>): void {
  for (const [name, count] of [...counters].sort()) console.log(`  ${String(count).padStart(8)} ${name}`);
}

async function replay(suite: Suite, seed: number, given: Arguments): Promise<boolean> {
  const { steps, mutants } = given;
  const result = await suite.run({ seed, steps, mutants, trace: (line) => console.log(line) });
  tellCounters(result.counters);
  console.log(`${suite.name}, seed ${seed}: ${result.steps} steps, hash ${result.hash}`);
  if (result.failure !== undefined) console.log(result.failure.stack ?? result.failure.message);
  return result.failure === undefined;
}

async function runMany(suite: Suite, given: Arguments): Promise<{ readonly passed: number; readonly failed: number }> {
  const totals = new Map<string, number>();
  const startedAt = performance.now();
  const seeds = given.seeds ?? suite.seeds;
  let passed = 0;
  let failed = 0;
  let steps = 0;
  for (let seed = given.from; seed < given.from + seeds; seed++) {
    const result = await runSeed(suite, seed, given);
    steps += result.steps;
    for (const [name, count] of result.counters) totals.set(name, (totals.get(name) ?? 0) + count);
    if (result.failure === undefined) {
      passed++;
      continue;
    }
    failed++;
    if (failed > FAILURES_TOLD_MAX) continue;
    const mutant = [...given.mutants].map((name) => ` --mutant ${name}`).join("");
    const scale = given.steps === STEPS ? "" : ` --steps ${given.steps}`;
    console.log(`${suite.name}, seed ${seed}: ${result.failure.message}`);
    console.log(`  replay: ./scripts/test sim --component ${suite.name} --seed ${seed}${scale}${mutant}`);
  }
  tellCounters(totals);
  const seconds = (performance.now() - startedAt) / 1000;
  const rate = steps === 0 ? "" : `, ${steps} steps, ${(steps / seconds / 1e6).toFixed(2)} M steps/s`;
  console.log(`${suite.name}: ${seeds} seeds in ${seconds.toFixed(1)} s${rate}`);
  return { passed, failed };
}

const given = parse(process.argv.slice(2));
let passed = 0;
let failed = 0;
for (const suite of given.suites) {
  if (given.seed === undefined) {
    const tally = await runMany(suite, given);
    passed += tally.passed;
    failed += tally.failed;
  } else if (await replay(suite, given.seed, given)) passed++;
  else failed++;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
