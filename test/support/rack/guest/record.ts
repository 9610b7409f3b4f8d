/**
 * What a guest writes to its disk about five times a second, in both tiers: a line of text at the start of a sector,
 *
 *     RFG1 NNNNNNNN BBBBBBBBBBBBBBBB CCCCCCCC
 *
 * N numbers the records of the disk over all boots, B is the boot's id, C counts the records of this boot; all
 * hexadecimal. The newest is in sector {@link LAST_SECTOR}, and each also in a ring that starts at
 * {@link RING_SECTOR_FIRST}. A guest reads the newest record before it writes the next: two that run on one disk
 * at a time number their records in turn, and the ring keeps the evidence for 15 minutes.
 */
import { closeSync, openSync, readSync } from "node:fs";

export const SECTOR_SIZE_BYTES = 512;
export const LAST_SECTOR = 1;
export const RING_SECTOR_FIRST = 8;
/** A power of two: the boot sector masks instead of dividing. */
export const RING_SECTORS = 4096;
/** Every guest disk is this large; sparse. */
export const DISK_SIZE_BYTES = 4 * 1024 * 1024;

export interface GuestRecord {
  readonly number: number;
  readonly bootId: string;
  readonly counter: number;
}

/** Reads one sector's record; undefined where none was written yet. */
export function parseRecord(sector: Uint8Array): GuestRecord | undefined {
  const text = new TextDecoder("latin1").decode(sector.subarray(0, 64));
  const [, number, bootId, counter] = /^RFG1 ([0-9A-F]{8}) ([0-9A-F]{16}) ([0-9A-F]{8})\n/.exec(text) ?? [];
  if (number === undefined || bootId === undefined || counter === undefined) return undefined;
  return { number: Number.parseInt(number, 16), bootId, counter: Number.parseInt(counter, 16) };
}

/** The newest record on a disk. QEMU writes through this machine's page cache, so it is seen at once. */
export function lastRecord(path: string): GuestRecord | undefined {
  return parseRecord(readAt(path, LAST_SECTOR * SECTOR_SIZE_BYTES, SECTOR_SIZE_BYTES));
}

/** All records that the ring still has, oldest first. */
export function ringRecords(path: string): readonly GuestRecord[] {
  const ring = readAt(path, RING_SECTOR_FIRST * SECTOR_SIZE_BYTES, RING_SECTORS * SECTOR_SIZE_BYTES);
  const records: GuestRecord[] = [];
  for (let offset = 0; offset < ring.length; offset += SECTOR_SIZE_BYTES) {
    const record = parseRecord(ring.subarray(offset, offset + SECTOR_SIZE_BYTES));
    if (record !== undefined) records.push(record);
  }
  return records.sort((a, b) => a.number - b.number || a.counter - b.counter);
}

/**
 * The boot ids of guests that ran at the same time on one disk: one that writes again after another one has begun.
 * Empty when each boot ended before the next. `records` in the order of their numbers.
 */
export function doubleRun(records: readonly GuestRecord[]): readonly string[] {
  const ended = new Set<string>();
  const guilty = new Set<string>();
  let current: string | undefined;
  for (const { bootId } of records) {
    if (current !== undefined && bootId !== current) {
      ended.add(current);
      if (ended.has(bootId)) {
        guilty.add(bootId);
        guilty.add(current);
      }
    }
    current = bootId;
  }
  return [...guilty];
}

function readAt(path: string, position: number, size: number): Uint8Array {
  const file = openSync(path, "r");
  try {
    const bytes = new Uint8Array(size);
    return bytes.subarray(0, readSync(file, bytes, 0, size, position));
  } finally {
    closeSync(file);
  }
}
