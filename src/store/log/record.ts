import { ENTRY_DATA_BYTES_MAX, type MembershipRecord } from "./types.ts";

/**
 * One record of a segment, little-endian, padded with zeros to 8 bytes:
 *
 *     0 crc  u32   over everything after it, begun with salt XOR offset: neither an old use of the file nor a write
 *                  that landed elsewhere passes
 *     4 magic u16, 6 type u8, 7 flags u8, 8 length u32, 12 previous record's crc u32, 16 term f64, 24 index f64, 32 payload
 */
export const RECORD_HEADER_BYTES = 32;
const MAGIC = 0x5246;
const MAGIC_LOW = MAGIC & 0xff;
const MAGIC_HIGH = MAGIC >>> 8;

export const RECORD = {
  /** Starts each group: index = commit; payload = durable-to. */
  group: 1,
  entry: 2,
  /** term; payload = largest promise, commit, vote. */
  hardState: 3,
  /** index; payload = opaque bytes. */
  membership: 4,
  /** Entries at and above `index` are gone; term is that of the entry before. */
  truncate: 5,
  /** A snapshot up to `index` with `term` was installed; payload = its membership. See {@link FLAG_KEPT}. */
  snapshot: 6,
} as const;

/** In an entry's flags. */
export const FLAG_MEMBERSHIP = 1;
/** In a snapshot mark's flags: the log held the snapshot's last entry, what follows it stays. Without it the log is empty. */
export const FLAG_KEPT = 1;

export interface RecordHead {
  readonly type: number;
  readonly flags: number;
  readonly length: number;
  readonly previousCrc: number;
  readonly term: number;
  readonly index: number;
  readonly crc: number;
}

/** What a record takes on disk. */
export function recordSizeBytes(payloadBytes: number): number {
  return (RECORD_HEADER_BYTES + payloadBytes + 7) & ~7;
}

/** A write position: where the next record goes and what it must point back to. */
export interface RecordPlace {
  /** Offset in the segment. */
  readonly offset: number;
  readonly salt: number;
  readonly previousCrc: number;
}

/** Writes a record at `at` in `bytes` for its `place` in the segment; returns its CRC. */
export function encodeRecord(
  bytes: Uint8Array,
  at: number,
  place: RecordPlace,
  record: { type: number; flags: number; term: number; index: number; payload: Uint8Array },
): number {
  const { payload } = record;
  const end = RECORD_HEADER_BYTES + payload.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, RECORD_HEADER_BYTES);
  view.setUint16(4, MAGIC, true);
  view.setUint8(6, record.type);
  view.setUint8(7, record.flags);
  view.setUint32(8, payload.length, true);
  view.setUint32(12, place.previousCrc, true);
  view.setFloat64(16, record.term, true);
  view.setFloat64(24, record.index, true);
  bytes.set(payload, at + RECORD_HEADER_BYTES);
  bytes.fill(0, at + end, at + recordSizeBytes(payload.length));
  const crc = Bun.hash.crc32(bytes.subarray(at + 4, at + end), (place.salt ^ place.offset) >>> 0);
  view.setUint32(0, crc, true);
  return crc;
}

/**
 * The record at `at` of `bytes`, if its CRC is right for this salt and offset; undefined otherwise. `offset` is the
 * record's offset in the segment. The chain (previousCrc) is the caller's to check. The payload lies at
 * `at + RECORD_HEADER_BYTES`.
 */
export function decodeRecord(bytes: Uint8Array, at: number, offset: number, salt: number): RecordHead | undefined {
  if (at + RECORD_HEADER_BYTES > bytes.length) return undefined;
  if (bytes[at + 4] !== MAGIC_LOW || bytes[at + 5] !== MAGIC_HIGH) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, RECORD_HEADER_BYTES);
  const length = view.getUint32(8, true);
  if (length > ENTRY_DATA_BYTES_MAX || at + RECORD_HEADER_BYTES + length > bytes.length) return undefined;
  const crc = Bun.hash.crc32(bytes.subarray(at + 4, at + RECORD_HEADER_BYTES + length), (salt ^ offset) >>> 0);
  if (view.getUint32(0, true) !== crc) return undefined;
  return {
    type: view.getUint8(6),
    flags: view.getUint8(7),
    length,
    previousCrc: view.getUint32(12, true),
    term: view.getFloat64(16, true),
    index: view.getFloat64(24, true),
    crc,
  };
}

/** A place in the whole log. */
export interface LogPlace {
  readonly segment: number;
  readonly offset: number;
}

export function isBefore(a: LogPlace, b: LogPlace): boolean {
  return a.segment < b.segment || (a.segment === b.segment && a.offset < b.offset);
}

/** The group record's payload: everything before this place was covered by a finished fdatasync. */
export function encodeDurableTo(place: LogPlace): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setFloat64(0, place.segment, true);
  view.setFloat64(8, place.offset, true);
  return bytes;
}

export function decodeDurableTo(payload: Uint8Array): LogPlace {
  const view = new DataView(payload.buffer, payload.byteOffset, 16);
  return { segment: view.getFloat64(0, true), offset: view.getFloat64(8, true) };
}

/** The snapshot mark's payload: the membership's index, and its bytes. */
export function encodeMarkMembership({ index, bytes }: MembershipRecord): Uint8Array {
  const payload = new Uint8Array(8 + bytes.length);
  new DataView(payload.buffer).setFloat64(0, index, true);
  payload.set(bytes, 8);
  return payload;
}

export function decodeMarkMembership(payload: Uint8Array): MembershipRecord {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  return { index: view.getFloat64(0, true), bytes: payload.slice(8) };
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The hard state record's payload; the term is the record's. */
export function encodeHardState(state: { vote: string; promiseMs: number; commit: number }): Uint8Array {
  const vote = encoder.encode(state.vote);
  const bytes = new Uint8Array(16 + vote.length);
  const view = new DataView(bytes.buffer);
  view.setFloat64(0, state.promiseMs, true);
  view.setFloat64(8, state.commit, true);
  bytes.set(vote, 16);
  return bytes;
}

export function decodeHardState(payload: Uint8Array): { vote: string; promiseMs: number; commit: number } {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length);
  return {
    promiseMs: view.getFloat64(0, true),
    commit: view.getFloat64(8, true),
    vote: decoder.decode(payload.subarray(16)),
  };
}
