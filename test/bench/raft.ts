/** Everything that issue 3 wants to see in figures: consensus beside the floors of this machine and beside etcd. */
import { CodedError, errorChain } from "../../src/base/error.ts";
import { profiles } from "../support/rack/state.ts";
import type { BenchRow } from "./row.ts";

export interface RaftOptions {
  /** Of gaps, transfers and cold starts, each of which has its own default; log and write take at most three. */
  readonly runs?: number;
  /** Of the load before memory is looked at. */
  readonly minutes?: number;
  /** Only the keys that begin so. */
  readonly only?: string;
  readonly log: (line: string) => void;
}

/** Some parts came to nothing; the rows are those of the others. */
export class PartsFailed extends CodedError {
  readonly rows: readonly BenchRow[];

  constructor(failures: readonly string[], rows: readonly BenchRow[]) {
    super("BENCH_PARTS", failures.join("; "));
    this.rows = rows;
  }
}

interface Part {
  readonly keys: readonly string[];
  run(options: RaftOptions): Promise<readonly BenchRow[]>;
}

/** Cheap and certain first. Each has a rack of its own, which is down before the next one begins. */
const PARTS: readonly Part[] = [
  {
    keys: ["sim.stepsPerSecond", "sim.seedsPerMinute"],
    run: async (options) => (await import("./raft-sim.ts")).bench(options),
  },
  {
    keys: ["log.c1", "log.c64", "log.deviceKib.c1", "log.deviceKib.c16", "log.deviceKib.c64"],
    run: async (options) => (await import("./raft-log.ts")).bench(few(options)),
  },
  {
    keys: ["write.c1", "write.c8", "write.c64", "write.p99Ratio"],
    run: async (options) => (await import("./write.ts")).benchWithHalfLoad(few(options)),
  },
  { keys: ["idle.fsyncs"], run: async (options) => (await import("./raft-idle.ts")).bench(options) },
  {
    keys: ["transfer.max", "transfer.failed"],
    run: async (options) => (await import("./raft-transfer.ts")).bench(options),
  },
  { keys: ["coldStart.median"], run: async (options) => (await import("./raft-cold-start.ts")).bench(options) },
  {
    keys: profiles.flatMap((profile) => [`gap.${profile}.median`, `gap.${profile}.p99`]),
    run: async (options) => {
      const wanted = profiles.filter((profile) =>
        isWanted(`gap.${profile}.median`, options.only, `gap.${profile}.p99`),
      );
      return (await import("./raft-gap.ts")).bench({ ...options, profiles: wanted });
    },
  },
  { keys: ["memory.mainMb"], run: async (options) => (await import("./raft-memory.ts")).bench(options) },
];

/** Each run of log and write is a mean of thousands of writes already. */
const RUNS_OF_RATES_MAX = 3;

function few(options: RaftOptions): RaftOptions {
  return { ...options, runs: Math.min(options.runs ?? RUNS_OF_RATES_MAX, RUNS_OF_RATES_MAX) };
}

/** True if one of the keys, or the group that it belongs to, is asked for. */
function isWanted(key: string, only: string | undefined, ...others: readonly string[]): boolean {
  return [key, ...others].some((each) => only === undefined || each.startsWith(only));
}

/** A part that fails does not take the others with it. Throws PartsFailed in the end. */
export async function bench(options: RaftOptions): Promise<readonly BenchRow[]> {
  const { only, log } = options;
  const wanted = PARTS.filter(({ keys }) => keys.some((key) => isWanted(key, only)));
  if (wanted.length === 0)
    throw new CodedError("BENCH_ONLY", `No key begins with "${only}": ${PARTS.flatMap(({ keys }) => keys).join(" ")}`);
  const rows: BenchRow[] = [];
  const failures: string[] = [];
  for (const { keys, run } of wanted) {
    const startedAt = performance.now();
    try {
      const measured = await run(options);
      rows.push(...measured);
      const missing = keys.filter((key) => isWanted(key, only) && !measured.some((row) => row.key === key));
      if (missing.length > 0) failures.push(`${keys[0]}: no ${missing.join(", ")}`);
      log(`${keys[0]} ...: ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
    } catch (error) {
      failures.push(`${keys[0]}: ${errorChain(error)}`);
      log(`FAILED ${failures.at(-1)}`);
    }
  }
  if (failures.length > 0) throw new PartsFailed(failures, rows);
  return rows;
}
