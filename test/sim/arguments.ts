import { parseRanges } from "./shrink.ts";
import { SUITES, type Suite, suitesNamed } from "./suite.ts";
import { FAULT_CLASS_NAMES, type FaultClass, isFaultClass } from "./world.ts";

const NAMES = SUITES.map((suite) => suite.name).join("|");

export const HELP = `./scripts/test sim                          the fixed seeds, then two minutes a core of new ones
./scripts/test sim --seeds N [--from S]     these seeds
./scripts/test sim --minutes N | --hours N  new seeds for so long on all cores; --hours fails when a rare state was never met
./scripts/test sim --seed S                 one seed, told step by step; of the core also:
    --shrink          leaves out what the failure does not need, and prints the command that replays the rest
    --faults A,B      of the seed's fault classes only these; none: a calm run. --skip 3,7-9: without these strikes
    --trace FILE      what the cores do, for a model checker: test/sim/TRACE.md
  [--component ${NAMES}|all] [--steps N] [--mutant NAME]
Fixed seeds: ${SUITES.map((suite) => `${suite.seeds} of ${suite.name}`).join(", ")}.
${SUITES.map((suite) => `Mutants of ${suite.name}: ${suite.mutants.join(" ")}`).join("\n")}`;

/** Events of a storm of the core: some seconds of a cluster's life. */
export const STEPS = 5000;
/** New seeds of a run without words. */
const CI_MINUTES = 2;

export interface Arguments {
  readonly suites: readonly Suite[];
  /** Undefined: no fixed seeds. */
  readonly fixed: { readonly from: number; readonly seeds: number | undefined } | undefined;
  /** How long new seeds run; 0: none. */
  readonly newSeedsMs: number;
  readonly isLong: boolean;
  readonly steps: number;
  readonly seed: number | undefined;
  readonly mutants: ReadonlySet<string>;
  readonly onlyFaults: ReadonlySet<FaultClass> | undefined;
  readonly skipped: ReadonlySet<number> | undefined;
  readonly traceFile: string | undefined;
  readonly isShrinking: boolean;
}

const FLAGS = [
  "--component",
  "--seeds",
  "--from",
  "--minutes",
  "--hours",
  "--steps",
  "--seed",
  "--mutant",
  "--faults",
  "--skip",
  "--trace",
] as const;

/** What was asked for. Ends the process with 2 when it cannot be understood. */
export function parseArguments(words: readonly string[]): Arguments {
  if (words.includes("--help")) {
    console.log(HELP);
    process.exit(0);
  }
  const values = new Map<string, string>();
  const isShrinking = words.includes("--shrink");
  const pairs = words.filter((word) => word !== "--shrink");
  for (let i = 0; i < pairs.length; i += 2) {
    const flag = FLAGS.find((name) => name === pairs[i]);
    const value = pairs[i + 1];
    if (flag === undefined || value === undefined) return refuse(`Cannot read "${pairs.slice(i).join(" ")}"`);
    values.set(flag, value);
  }
  const number = (flag: (typeof FLAGS)[number]): number | undefined => {
    const text = values.get(flag);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (!Number.isFinite(value) || value < 0) return refuse(`${flag} "${text}" is not a number`);
    return value;
  };
  const mutant = values.get("--mutant");
  const seed = number("--seed");
  const named = values.get("--component") ?? (seed === undefined && mutant === undefined ? "all" : ownerOf(mutant));
  const suites = suitesNamed(named);
  if (suites.length === 0) refuse(`Component "${named}" is unknown`);
  if (mutant !== undefined && !suites.some((suite) => suite.mutants.includes(mutant)))
    refuse(`Mutant "${mutant}" is unknown in ${named}`);
  const isOfOneRun = isShrinking || ["--trace", "--faults", "--skip"].some((flag) => values.has(flag));
  if (isOfOneRun && (seed === undefined || named !== "core"))
    refuse("--shrink, --trace, --faults and --skip go with --seed and --component core");
  const hours = number("--hours");
  const minutes = number("--minutes") ?? (hours === undefined ? undefined : hours * 60);
  const isNamed = values.has("--seeds") || values.has("--from");
  const newMinutes = minutes ?? (isNamed || mutant !== undefined ? 0 : CI_MINUTES);
  return {
    suites,
    fixed: minutes !== undefined && !isNamed ? undefined : { from: number("--from") ?? 1, seeds: number("--seeds") },
    newSeedsMs: newMinutes * 60_000,
    isLong: hours !== undefined,
    steps: number("--steps") ?? STEPS,
    seed,
    mutants: new Set(mutant === undefined ? [] : [mutant]),
    onlyFaults: faultsOf(values.get("--faults")),
    skipped: skippedOf(values.get("--skip")),
    traceFile: values.get("--trace"),
    isShrinking,
  };
}

function faultsOf(text: string | undefined): ReadonlySet<FaultClass> | undefined {
  if (text === undefined) return undefined;
  const names = text === "none" ? [] : text.split(",");
  const known = names.filter(isFaultClass);
  if (known.length < names.length) refuse(`--faults "${text}": the classes are ${FAULT_CLASS_NAMES.join(" ")}`);
  return new Set(known);
}

function skippedOf(text: string | undefined): ReadonlySet<number> | undefined {
  if (text === undefined) return undefined;
  return parseRanges(text) ?? refuse(`--skip "${text}" is not like 3,7-9`);
}

function ownerOf(mutant: string | undefined): string {
  return SUITES.find((suite) => mutant !== undefined && suite.mutants.includes(mutant))?.name ?? "core";
}

function refuse(why: string): never {
  console.error(`${why}\n${HELP}`);
  process.exit(2);
}
