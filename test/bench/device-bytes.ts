/** What reaches the disk itself, by the block device's own counters. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { CodedError } from "../../src/base/error.ts";

/** Position of "write sectors" among the fields (Documentation/block/stat.rst), and their size whatever the device. */
const WRITE_SECTORS_FIELD = 6;
const SECTOR_BYTES = 512;

/**
 * Bytes written so far to the device that holds the file system of `path`, by everybody.
 * Throws BENCH_DEVICE where there is none (tmpfs, a network's file system).
 */
export function deviceBytes(path: string): number {
  const { dev } = statSync(path);
  const file = `/sys/dev/block/${majorOf(dev)}:${minorOf(dev)}/stat`;
  if (!existsSync(file))
    throw new CodedError("BENCH_DEVICE", `Cannot count device bytes of "${path}": ${file} is not there`);
  return sectorsWritten(readFileSync(file, "utf8")) * SECTOR_BYTES;
}

/** Reads a device's `stat` file. */
export function sectorsWritten(stat: string): number {
  return Number(stat.trim().split(/\s+/)[WRITE_SECTORS_FIELD]);
}

/** How the kernel packs a device's number for stat(2): 12 bits of major, 20 of minor, the lower 8 of it in front. */
export function majorOf(dev: number): number {
  return (dev >>> 8) & 0xfff;
}

export function minorOf(dev: number): number {
  return (dev & 0xff) | ((dev >>> 12) & 0xfff00);
}
