import { type RunResult, simulate } from "./simulation.ts";
import { FAULT_CLASS_NAMES, type FaultClass, type RunSettings } from "./world.ts";

/** Runs that shrinking may cost: half a minute. */
const RUNS_MAX = 600;

export interface Shrunk {
  readonly settings: RunSettings;
  readonly result: RunResult;
  /** What is left of the bad luck. */
  readonly faults: readonly FaultClass[];
  readonly decisions: number;
  readonly runs: number;
}

/**
 * Makes a failing run small: leaves out fault classes, then single pieces of bad luck (delta debugging, Zeller 1999), as
 * long as the same promise is broken. Undefined when the run does not fail.
 */
export function shrink(settings: RunSettings): Shrunk | undefined {
  let best = simulate(settings);
  const broken = promiseOf(best);
  if (broken === undefined) return undefined;
  // Nothing after the failure was needed; before it the storm must go on.
  let kept: RunSettings = { ...settings, steps: Math.min(settings.steps, best.steps + 1) };
  let runs = 1;
  const isEnough = (smaller: RunSettings): boolean => {
    if (runs >= RUNS_MAX) return false;
    runs++;
    const result = simulate(smaller);
    if (promiseOf(result) !== broken) return false;
    kept = { ...smaller, steps: Math.min(smaller.steps, result.steps + 1) };
    best = result;
    return true;
  };
  isEnough(kept);
  for (const without of FAULT_CLASS_NAMES) {
    if (!best.faults.includes(without)) continue;
    isEnough({ ...kept, onlyFaults: new Set(best.faults.filter((name) => name !== without)) });
  }
  leaveOutDecisions(() => ({ settings: kept, decisions: best.decisions }), isEnough);
  const { faults } = best;
  const left = best.decisions - [...(kept.skipped ?? [])].filter((each) => each <= best.decisions).length;
  return { settings: { ...kept, onlyFaults: new Set(faults) }, result: best, faults, decisions: left, runs };
}

/** Halves, quarters, … down to single decisions; each that is not needed stays out. */
function leaveOutDecisions(
  at: () => { readonly settings: RunSettings; readonly decisions: number },
  isEnough: (smaller: RunSettings) => boolean,
): void {
  for (let size = Math.ceil(at().decisions / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    // From the end: what comes late depends on what came before, not the other way round.
    for (let end = at().decisions; end > 0; end -= size) {
      const { settings } = at();
      const skipped = new Set(settings.skipped);
      const before = skipped.size;
      for (let decision = Math.max(1, end - size + 1); decision <= end; decision++) skipped.add(decision);
      if (skipped.size > before) isEnough({ ...settings, skipped });
    }
  }
}

/** The name of the broken promise: what a message begins with. */
function promiseOf({ failure }: RunResult): string | undefined {
  return failure?.message.split(":")[0];
}

/** "1,2,3,7" as "1-3,7", for a command line. */
export function rangesOf(numbers: Iterable<number>): string {
  const parts: { first: number; last: number }[] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const open = parts[parts.length - 1];
    if (open !== undefined && open.last === number - 1) open.last = number;
    else parts.push({ first: number, last: number });
  }
  return parts.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(",");
}

/** The other way round; undefined when it cannot be read. */
export function parseRanges(text: string): Set<number> | undefined {
  const numbers = new Set<number>();
  for (const part of text.split(",").filter((each) => each !== "")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (match === null) return undefined;
    const first = Number(match[1]);
    for (let number = first; number <= Number(match[2] ?? first); number++) numbers.add(number);
  }
  return numbers;
}
