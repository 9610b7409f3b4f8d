/** The benches behind `scripts/bench`: each measures beside peers, or the floor, in one run. */
import { errorChain } from "../../src/base/error.ts";
import type { BenchRow } from "./row.ts";

/** What a bench is told. It ends by itself within its bounds. */
interface BenchOptions {
  readonly runs?: number;
  readonly log: (line: string) => void;
}
type Bench = (options: BenchOptions) => Promise<BenchRow[]>;

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
  vip: {
    about: "the gap that a client sees when the leader loses power, beside keepalived",
    load: async () => (await import("./vip.ts")).bench,
  },
  chain: {
    about: "power cut of a hypervisor → proven off → its guest answers elsewhere",
    load: async () => (await import("./chain.ts")).bench,
  },
};

const words = process.argv.slice(2);
const name = words.find((word) => !word.startsWith("-")) ?? "";
const isJson = words.includes("--json");
const runsAt = words.indexOf("--runs");
const runs = runsAt < 0 ? undefined : Number(words[runsAt + 1]);
const bench = benches[name];
if (bench === undefined || (runs !== undefined && !(Number.isInteger(runs) && runs > 0))) {
  console.error(
    name === "" ? "usage: ./scripts/bench NAME [--json] [--runs N]" : `Cannot run bench "${words.join(" ")}"`,
  );
  for (const [key, { about }] of Object.entries(benches)) console.error(`  ${key.padEnd(8)}${about}`);
  process.exit(2);
}

// Progress goes to standard error, so that standard output ends with the object alone.
const log = (line: string): void => console.error(line);
try {
  const run = await bench.load();
  const rows = await run({ log, ...(runs === undefined ? {} : { runs }) });
  if (isJson) console.log(JSON.stringify({ bench: name, rows }));
  else for (const row of rows) console.log(describe(row));
  process.exit(0);
} catch (error) {
  console.error(`bench ${name}: ${errorChain(error)}`);
  if (isJson) console.log(JSON.stringify({ bench: name, rows: [], error: errorChain(error) }));
  process.exit(1);
}

function describe(row: BenchRow): string {
  const peer =
    row.peer === null ? "" : `   ${row.peer} ${number(row.peerValue ?? 0)}   ratio ${number(row.ratio ?? 0)}`;
  return `${row.key.padEnd(28)}${number(row.value)} ${row.unit}  (n=${row.n})${peer}`;
}

function number(value: number): string {
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
