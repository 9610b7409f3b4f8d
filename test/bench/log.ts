import * as fs from "node:fs";
import { openLog } from "../../src/store/log/log.ts";
import { openRealDisk } from "../../src/store/log/real-disk.ts";
import type { BenchRow } from "./row.ts";

const ENTRY_BYTES = 300;
const FLOOR_FILE_BYTES = 16 * 1024 * 1024;

/** The raw fdatasync floor of this disk, and the log on it with 1 and 64 writers. `seconds` is the time of each part. */
export async function bench(options: {
  readonly log: (line: string) => void;
  readonly seconds?: number;
  readonly directory?: string;
}): Promise<BenchRow[]> {
  const seconds = options.seconds ?? 2;
  const directory = options.directory ?? `/tmp/ringfence-bench-log-${process.pid}`;
  fs.rmSync(directory, { recursive: true, force: true });
  try {
    const floors: Floor[] = [];
    const measureFloor = (): void => {
      floors.push(rawFdatasync(`${directory}/floor-${floors.length}`, seconds / 2));
    };
    const results: (LogResult & { readonly writers: number })[] = [];
    // The floor before, between and after: a disk that others use as well changes by the second.
    measureFloor();
    for (const writers of [1, 64]) {
      results.push({ writers, ...(await writeLog(`${directory}/writers-${writers}`, writers, seconds)) });
      measureFloor();
    }
    // The best of them: the strictest peer.
    const floor = floors.reduce((best, one) => (one.rate > best.rate ? one : best));
    options.log(`raw fdatasync: ${floor.rate.toFixed(0)} /s, median ${floor.medianUs.toFixed(0)} us`);
    const rows: BenchRow[] = [
      row("log.fdatasync-floor", floor.rate, "1/s", floor.n, null),
      row("log.fdatasync-floor-median", floor.medianUs, "us", floor.n, null),
    ];
    for (const { writers, rate, p99Ms, entriesPerGroup, n } of results) {
      options.log(
        `log, ${writers} writers: ${rate.toFixed(0)} /s, p99 ${p99Ms.toFixed(2)} ms, ` +
          `${entriesPerGroup.toFixed(1)} entries a group, ${(rate / floor.rate).toFixed(2)} x floor`,
      );
      rows.push(row(`log.writers-${writers}`, rate, "1/s", n, floor.rate));
      rows.push(row(`log.writers-${writers}-p99`, p99Ms, "ms", n, null));
    }
    return rows;
  } finally {
    fs.rmSync(directory, { recursive: true, force: true });
  }
}

function row(key: string, value: number, unit: string, n: number, floor: number | null): BenchRow {
  const peer = floor === null ? null : "raw fdatasync";
  return { key, value, unit, n, peer, peerValue: floor, ratio: floor === null ? null : value / floor };
}

export interface Floor {
  readonly rate: number;
  readonly medianUs: number;
  readonly n: number;
}

export interface LogResult {
  readonly rate: number;
  readonly p99Ms: number;
  readonly entriesPerGroup: number;
  readonly n: number;
}

/** One writer, one sync a block of 380 bytes: what the disk gives at best without groups. */
export function rawFdatasync(directory: string, seconds: number): Floor {
  const file = openRealDisk(directory).open("floor", "create");
  const block = new Uint8Array(ENTRY_BYTES + 80);
  try {
    file.pwrite(0, new Uint8Array(FLOOR_FILE_BYTES));
    file.fdatasync();
    const times: number[] = [];
    const start = performance.now();
    for (let offset = 0; performance.now() - start < seconds * 1000; offset += block.length) {
      const before = performance.now();
      file.pwrite(offset % (FLOOR_FILE_BYTES - block.length), block);
      file.fdatasync();
      times.push(performance.now() - before);
    }
    const rate = (times.length * 1000) / (performance.now() - start);
    return { rate, medianUs: quantile(times, 0.5) * 1000, n: times.length };
  } finally {
    file.close();
  }
}

/** The log alone: each writer appends one entry after the other, for `seconds`. */
export async function writeLog(directory: string, writers: number, seconds: number): Promise<LogResult> {
  const { log } = await openLog(directory);
  const data = new Uint8Array(ENTRY_BYTES).fill(7);
  const times: number[] = [];
  const start = performance.now();
  const writer = async (): Promise<void> => {
    while (performance.now() - start < seconds * 1000) {
      const before = performance.now();
      await log.append({ entries: [{ term: 1, index: log.lastIndex() + 1, kind: "normal", data }], commit: 0 });
      times.push(performance.now() - before);
    }
  };
  await Promise.all(Array.from({ length: writers }, writer));
  const rate = (times.length * 1000) / (performance.now() - start);
  const { entries, groups } = log.statistics();
  await log.close();
  return { rate, p99Ms: quantile(times, 0.99), entriesPerGroup: entries / groups, n: times.length };
}

function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * fraction))] ?? 0;
}

if (import.meta.main) await bench({ log: (line) => console.log(line) });
