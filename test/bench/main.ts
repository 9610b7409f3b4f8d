/** The benches behind `scripts/bench`: each measures beside peers, or the floor, in one run. */
import { errorChain } from "../../src/base/error.ts";
import { parseArguments, wholeNumber } from "../support/rack/arguments.ts";
import { PartsFailed } from "./raft.ts";
import type { BenchRow } from "./row.ts";

/** What a bench is told; each looks at what it knows. It ends by itself within its bounds. */
interface BenchOptions {
  readonly runs?: number;
  readonly minutes?: number;
  readonly only?: string;
  readonly log: (line: string) => void;
}
type Bench = (options: BenchOptions) => Promise<readonly BenchRow[]>;

const USAGE = `usage: ./scripts/bench NAME [--json] [--runs N] [--only PREFIX] [--minutes N]

  --json          the rows as one JSON object on standard output, nothing else there
  --runs N        how often what is repeated is repeated, where the bench's own number is too many or too few
  --only PREFIX   raft: only the figures whose key begins so, as "gap", "gap.fast" or "log.device"; image: "hangVip"
  --minutes N     raft: of load, before memory is looked at (5)
`;

/** Loaded when asked for: a bench must not pay for another one's peers. */
const benches: Record<string, { readonly about: string; readonly load: () => Promise<Bench> }> = {
  ipmi: {
    about: "off + verified off against ipmi_sim, beside ipmitool",
    load: async () => (await import("./ipmi.ts")).bench,
  },
  log: {
    about: "the segment log with 1 and 64 writers, beside raw fdatasync",
    load: async () => (await import("./log.ts")).bench,
  },
  write: {
    about: "acknowledged durable writes on three boxes at 1, 8, 64 clients, beside etcd",
    load: async () => (await import("./write.ts")).bench,
  },
  raft: {
    about: "consensus: simulator, log, writes, gaps, transfer, cold start, memory, beside fdatasync and etcd (20 min)",
    load: async () => (await import("./raft.ts")).bench,
  },
  vip: {
    about: "the gap that a client sees when the leader loses power, beside keepalived",
    load: async () => (await import("./vip.ts")).bench,
  },
  image: {
    about: "the image in an emulator: sizes, boot, memory, update, the watchdog's bite (10 min)",
    load: async () => (await import("./image.ts")).bench,
  },
  chain: {
    about: "power cut of a hypervisor → proven off → its guest answers elsewhere",
    load: async () => (await import("./chain.ts")).bench,
  },
};

/** Exit code of a command line that is not understood. */
const EXIT_USAGE = 2;

function usage(why?: string): never {
  const say = why === undefined ? console.log : console.error;
  if (why !== undefined) say(`${why}\n`);
  say(USAGE);
  for (const [key, { about }] of Object.entries(benches)) say(`  ${key.padEnd(8)}${about}`);
  process.exit(why === undefined ? 0 : EXIT_USAGE);
}

function commandLine(): {
  name: string;
  bench: (typeof benches)[string];
  isJson: boolean;
  given: Omit<BenchOptions, "log">;
} {
  try {
    const known = { json: false, help: false, runs: true, minutes: true, only: true };
    const { words, options } = parseArguments(process.argv.slice(2), known);
    const [name = "", ...more] = words;
    const bench = benches[name];
    if (options.has("help")) usage();
    if (bench === undefined || more.length > 0)
      usage(name === "" ? "Which bench?" : `Cannot run bench "${words.join(" ")}"`);
    const [runs, minutes] = ["runs", "minutes"].map((option) => wholeNumber(`--${option}`, options.get(option)));
    if (runs === 0 || minutes === 0) usage("--runs and --minutes begin at 1");
    const only = options.get("only");
    const given = {
      ...(runs === undefined ? {} : { runs }),
      ...(minutes === undefined ? {} : { minutes }),
      ...(only === undefined ? {} : { only }),
    };
    return { name, bench, isJson: options.has("json"), given };
  } catch (error) {
    usage(errorChain(error));
  }
}

const { name, bench, isJson, given } = commandLine();

// Progress goes to standard error, so that standard output ends with the object alone.
const log = (line: string): void => console.error(line);
try {
  const run = await bench.load();
  tell(await run({ log, ...given }));
  process.exit(0);
} catch (error) {
  console.error(`bench ${name}: ${errorChain(error)}`);
  // What the parts that did not fail have measured is not lost.
  tell(error instanceof PartsFailed ? error.rows : [], errorChain(error));
  process.exit(1);
}

function tell(rows: readonly BenchRow[], error?: string): void {
  if (isJson) console.log(JSON.stringify({ bench: name, rows, ...(error === undefined ? {} : { error }) }));
  else for (const row of rows) console.log(describe(row));
}

function describe(row: BenchRow): string {
  const peer =
    row.peer === null ? "" : `   ${row.peer} ${number(row.peerValue ?? 0)}   ratio ${number(row.ratio ?? 0)}`;
  return `${row.key.padEnd(28)}${number(row.value)} ${row.unit}  (n=${row.n})${peer}`;
}

function number(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
