/** The log alone, beside the disk's floor; and what it costs the disk. */
import { mkdirSync, rmSync } from "node:fs";
import { must } from "../support/rack/command.ts";
import { deviceBytes } from "./device-bytes.ts";
import { type Floor, type LogResult, rawFdatasync, writeLog } from "./log.ts";
import type { BenchRow } from "./row.ts";
import { median } from "./statistics.ts";

/** Of each load; long enough that the segments made ahead are part of it in their share. */
const SECONDS = 4;
const FLOOR_SECONDS = 1;
const RUNS = 3;
/** The disk at rest, before and after each load. */
const REST_SECONDS = 2;
const WRITERS = [1, 16, 64] as const;

interface Measured extends LogResult {
  /** What the device wrote for one entry, KiB. */
  readonly deviceKib: number;
  /** What it writes without us, KiB/s: figures beside a disk that others are busy with are worth little. */
  readonly restKibPerSecond: number;
}

/** In `directory`, which is removed afterwards. With the options' `runs` the medians of so many runs. */
export async function bench(options: {
  readonly log: (line: string) => void;
  readonly runs?: number;
  readonly directory?: string;
}): Promise<BenchRow[]> {
  const { runs = RUNS, log, directory = `/var/tmp/ringfence-bench-log-${process.pid}` } = options;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const floors: Floor[] = [];
  const results = new Map(WRITERS.map((writers) => [writers, [] as Measured[]]));
  try {
    for (let run = 1; run <= runs; run++) {
      for (const [writers, all] of results) {
        const measured = await measure(`${directory}/run-${run}-${writers}`, writers);
        all.push(measured);
        // Beside each load: a disk that others use as well changes by the second.
        floors.push(rawFdatasync(`${directory}/floor-${floors.length}`, FLOOR_SECONDS));
        const { rate, entriesPerGroup, deviceKib, restKibPerSecond } = measured;
        log(
          `log, run ${run}, ${writers} writers: ${rate.toFixed(0)} /s, ${entriesPerGroup.toFixed(1)} entries a group, ` +
            `${deviceKib.toFixed(2)} KiB of the device an entry (at rest it writes ${restKibPerSecond.toFixed(0)} KiB/s); ` +
            `raw fdatasync ${floors.at(-1)?.rate.toFixed(0)} /s`,
        );
      }
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return rowsOf(results, Math.max(...floors.map(({ rate }) => rate)));
}

/** The floor is the best of all: the strictest peer. */
function rowsOf(results: ReadonlyMap<number, readonly Measured[]>, floor: number): BenchRow[] {
  const rows: BenchRow[] = [];
  for (const [writers, all] of results) {
    const n = all.reduce((sum, one) => sum + one.n, 0);
    if (writers !== 16) {
      const value = median(all.map(({ rate }) => rate));
      rows.push({
        ...{ key: `log.c${writers}`, value, unit: "1/s", n },
        ...{ peer: "fdatasync", peerValue: floor, ratio: value / floor },
      });
    }
    const value = median(all.map(({ deviceKib }) => deviceKib));
    const alone = { peer: null, peerValue: null, ratio: null };
    rows.push({ key: `log.deviceKib.c${writers}`, value, unit: "KiB", n, ...alone });
  }
  return rows;
}

/** One load in a directory of its own, from a disk with nothing left to write to the next such moment. */
async function measure(directory: string, writers: number): Promise<Measured> {
  mkdirSync(directory, { recursive: true });
  await flush(directory);
  const restBefore = await rest(directory);
  const before = deviceBytes(directory);
  const startedAt = performance.now();
  const result = await writeLog(directory, writers, SECONDS);
  await flush(directory);
  const elapsedMs = performance.now() - startedAt;
  const bytes = deviceBytes(directory) - before;
  const restRate = (restBefore + (await rest(directory))) / 2;
  rmSync(directory, { recursive: true, force: true });
  const deviceKib = (bytes - restRate * elapsedMs) / 1024 / result.n;
  return { ...result, deviceKib, restKibPerSecond: (restRate * 1000) / 1024 };
}

/** Bytes per ms that others write, and the file system by itself. */
async function rest(directory: string): Promise<number> {
  const before = deviceBytes(directory);
  const startedAt = performance.now();
  await Bun.sleep(REST_SECONDS * 1000);
  return (deviceBytes(directory) - before) / (performance.now() - startedAt);
}

/** syncfs(2) on the file system of `directory`. */
function flush(directory: string): Promise<string> {
  return must(["sync", "-f", directory]);
}
