import * as fs from "node:fs";
import { encodeEntry } from "../../src/base/entry.ts";
import { openState } from "../../src/store/state/state.ts";
import type { CommittedEntry, State } from "../../src/store/state/types.ts";
import type { BenchRow } from "./row.ts";

const ROW_BYTES = 1000;
const BATCHES = [1, 8, 64];

/** Entries a second through the state database: one guard and one INSERT of a 1 KB row each, by batch size. */
export async function bench(options: {
  readonly log: (line: string) => void;
  readonly seconds?: number;
  readonly directory?: string;
}): Promise<BenchRow[]> {
  const seconds = options.seconds ?? 2;
  const directory = options.directory ?? `/tmp/ringfence-bench-apply-${process.pid}`;
  fs.rmSync(directory, { recursive: true, force: true });
  const state = await openState(directory, { featureLevel: 1 });
  try {
    await state.apply([entry(1, [{ sql: "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)", values: [] }], [])]);
    const rows: BenchRow[] = [];
    for (const batch of BATCHES) {
      const result = await applyFor(state, batch, seconds);
      options.log(
        `apply, batches of ${batch}: ${result.rate.toFixed(0)} entries/s, ${result.cpuUs.toFixed(0)} us CPU an entry, ` +
          `p99 ${result.p99Ms.toFixed(2)} ms a batch`,
      );
      const shape = { n: result.n, peer: null, peerValue: null, ratio: null };
      rows.push({ key: `apply.batch-${batch}`, value: result.rate, unit: "1/s", ...shape });
      rows.push({ key: `apply.batch-${batch}-cpu`, value: result.cpuUs, unit: "us", ...shape });
    }
    return rows;
  } finally {
    await state.close();
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

type Statements = readonly { readonly sql: string; readonly values: readonly (string | number)[] }[];

function entry(index: number, statements: Statements, guards: Statements): CommittedEntry {
  const data = encodeEntry({
    version: 1,
    requestId: `bench:${index}`,
    kind: "bench",
    at: 1_700_000_000_000,
    guards: guards.map((guard) => ({ ...guard, expect: [], why: "taken" })),
    statements,
    tags: [`t:${index % 100}`],
  });
  return { index, term: 1, kind: "normal", data };
}

async function applyFor(
  state: State,
  batch: number,
  seconds: number,
): Promise<{ rate: number; cpuUs: number; p99Ms: number; n: number }> {
  const body = "x".repeat(ROW_BYTES);
  const times: number[] = [];
  const cpu = process.cpuUsage();
  const start = performance.now();
  while (performance.now() - start < seconds * 1000) {
    const entries = Array.from({ length: batch }, (_, at) => {
      const id = state.appliedIndex + 1 + at;
      return entry(
        id,
        [{ sql: "INSERT INTO t VALUES (?, ?)", values: [id, body] }],
        [{ sql: "SELECT id FROM t WHERE id = ?", values: [id] }],
      );
    });
    const before = performance.now();
    await state.apply(entries);
    times.push(performance.now() - before);
  }
  const elapsed = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  times.sort((a, b) => a - b);
  const n = times.length * batch;
  return {
    rate: (n * 1000) / elapsed,
    cpuUs: (user + system) / n,
    p99Ms: times[Math.floor(times.length * 0.99)] ?? 0,
    n,
  };
}

if (import.meta.main) await bench({ log: (line) => console.log(line) });
