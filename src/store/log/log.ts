import { randomInt } from "node:crypto";
import { CodedError } from "../../base/error.ts";
import { createInlineSink } from "./group-sink.ts";
import { openRealDisk } from "./real-disk.ts";
import { type Scan, scanSegments, zerosFrom } from "./recover.ts";
import { SEGMENT_SIZE_BYTES, segmentName, segmentOfName } from "./segment.ts";
import { SegmentLog } from "./segment-log.ts";
import type { Disk, DiskFile, Log, LogOptions, Recovered } from "./types.ts";
import { createWorkerSink } from "./worker-sink.ts";

/** Every read of a large part of a log answers at once from here; older entries come from the disk. */
const CACHE_BYTES = 16 * 1024 * 1024;
/** Silence after which a burst counts as over. */
const IDLE_MS = 200;

/**
 * Opens the log in `directory`, which the caller holds exclusively. Finds the longest valid prefix, cuts and zeroes what
 * follows, syncs, and starts the writer. Throws CodedError "log-open-failed". With damage nothing is changed on the disk
 * and the log can be read only.
 */
export async function openLog(
  directory: string,
  options: LogOptions = {},
): Promise<{ readonly log: Log; readonly recovered: Recovered }> {
  const segmentSizeBytes = options.segmentSizeBytes ?? SEGMENT_SIZE_BYTES;
  const inline = (options.writer ?? (options.disk === undefined ? "worker" : "inline")) === "inline";
  try {
    const disk = options.disk ?? openRealDisk(directory);
    const scan = readLog(disk);
    const damaged = scan.damage.kind !== "none";
    const tornBytes = damaged ? 0 : cut(disk, scan);
    const sink = damaged
      ? undefined
      : inline
        ? createInlineSink(disk, segmentSizeBytes, options.defer, options.after)
        : await createWorkerSink(directory, segmentSizeBytes);
    const log = new SegmentLog({
      disk,
      sink,
      scan,
      segmentSizeBytes,
      cacheBytes: options.cacheBytes ?? CACHE_BYTES,
      idleMs: options.idleMs ?? IDLE_MS,
      onPoison: options.onPoison ?? (() => undefined),
      salt: options.salt ?? (() => randomInt(2 ** 32)),
      after: options.after ?? afterTimer,
    });
    try {
      await log.start();
    } catch (error) {
      await log.close();
      throw error;
    }
    return {
      log,
      recovered: {
        hardState: scan.hardState,
        membership: scan.memberships.newest(),
        firstIndex: scan.positions.firstIndex,
        lastIndex: scan.positions.lastIndex,
        commit: scan.commit,
        damage: scan.damage,
        tornBytes,
      },
    };
  } catch (error) {
    throw new CodedError("log-open-failed", `Cannot open the log in "${directory}"`, error);
  }
}

function segmentsOf(disk: Disk): number[] {
  return disk
    .list()
    .map(segmentOfName)
    .filter((segment) => segment !== undefined)
    .sort((a, b) => a - b);
}

function readLog(disk: Disk): Scan {
  return scanSegments(segmentsOf(disk), (segment) => {
    const file = disk.open(segmentName(segment), "read");
    try {
      return file.pread(0, file.sizeBytes());
    } finally {
      file.close();
    }
  });
}

/**
 * Removes what follows the longest valid prefix, so that no old record can ever again follow a new one by chance (a
 * leader may send the same entry to the same place), and makes the prefix durable. A sync alone would not: after a sync
 * that failed the kernel holds the pages for clean, gives them to the next process and never writes them. So what no
 * finished sync is known to cover, a group or two, is written again. Returns how many bytes other than zero were cut.
 */
function cut(disk: Disk, scan: Scan): number {
  let torn = 0;
  const { end, durableTo } = scan;
  for (const segment of segmentsOf(disk)) {
    if (segment > (end?.segment ?? 0)) disk.unlink(segmentName(segment));
    else if (end !== undefined && segment >= durableTo.segment) {
      const file = disk.open(segmentName(segment), "write");
      const from = segment === durableTo.segment ? durableTo.offset : 0;
      const to = segment === end.segment ? end.offset : file.sizeBytes();
      if (from < to) file.pwrite(from, file.pread(from, to - from));
      if (segment === end.segment) torn = zeroAfter(file, to);
      file.fdatasync();
      file.close();
    }
  }
  disk.fsyncDirectory();
  return torn;
}

function zeroAfter(file: DiskFile, offset: number): number {
  const rest = file.pread(offset, Math.max(0, file.sizeBytes() - offset));
  const written = zerosFrom(rest);
  if (written > 0) file.pwrite(offset, new Uint8Array(rest.length));
  return written;
}

function afterTimer(delayMs: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delayMs);
  return () => clearTimeout(timer);
}
