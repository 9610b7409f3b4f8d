import { Memberships } from "./memberships.ts";
import { Positions } from "./positions.ts";
import {
  decodeDurableTo,
  decodeHardState,
  decodeMarkMembership,
  decodeRecord,
  FLAG_KEPT,
  isBefore,
  type LogPlace,
  RECORD,
  RECORD_HEADER_BYTES,
  type RecordHead,
  recordSizeBytes,
} from "./record.ts";
import { decodeSegmentHeader, SEGMENT_DATA_OFFSET, type SegmentHeader } from "./segment.ts";
import type { Damage, HardState } from "./types.ts";

/** The number of a log's first segment ever. */
const FIRST_SEGMENT = 1;

/** What a scan of all segments knows. */
export interface Scan {
  readonly hardState: HardState | undefined;
  readonly memberships: Memberships;
  readonly positions: Positions;
  readonly commit: number;
  /** Salts of the segments that belong to the log, by number. */
  readonly salts: ReadonlyMap<number, number>;
  /** Where the longest valid prefix ends, and the CRC there; undefined for an empty log. */
  readonly end: (LogPlace & { readonly crc: number }) | undefined;
  /** The largest durable-to that a valid record of a current salt names: everything before it was once on the disk. */
  readonly durableTo: LogPlace;
  readonly damage: Damage;
}

/** Told what a scan meets, in its order; for the tools that show a log. */
export interface ScanObserver {
  /** Each file, readable or not; what follows {@link Scan.end} is not taken into the log. */
  segment(segment: number, bytes: Uint8Array, header: SegmentHeader | undefined): void;
  /** Each record of the longest valid prefix. */
  record(record: RecordHead, place: LogPlace): void;
}

/**
 * Reads the log's segments, ascending, and decides what it holds (consensus.md section 3). Of all valid records of the
 * current salts, also those after a bad one, the largest *durable-to* counts: a bad record before it is damage; after it,
 * the log ends at the longest valid prefix, because a disk may reorder the sectors of a write that was never synced.
 */
export function scanSegments(
  segments: readonly number[],
  read: (segment: number) => Uint8Array,
  observer?: ScanObserver,
): Scan {
  const content = new Content();
  const salts = new Map<number, number>();
  let end: (LogPlace & { crc: number }) | undefined;
  let durableTo: LogPlace = { segment: 0, offset: 0 };
  let stopped: string | undefined;

  for (const segment of segments) {
    const bytes = read(segment);
    const header = decodeSegmentHeader(bytes, segment);
    observer?.segment(segment, bytes, header);
    if (header === undefined) {
      stopped ??= `segment ${segment} has no valid header`;
      continue;
    }
    let offset = SEGMENT_DATA_OFFSET;
    stopped = stopped ?? continues(header, end);
    if (stopped === undefined) {
      if (end === undefined) content.begin(header);
      salts.set(segment, header.salt);
      let crc = header.previousCrc;
      for (;;) {
        const record = decodeRecord(bytes, offset, offset, header.salt);
        if (record === undefined || record.previousCrc !== crc) break;
        const payload = bytes.subarray(offset + RECORD_HEADER_BYTES, offset + RECORD_HEADER_BYTES + record.length);
        if (!content.take(record, payload, { segment, offset })) break;
        observer?.record(record, { segment, offset });
        if (record.type === RECORD.group) durableTo = later(durableTo, decodeDurableTo(payload));
        crc = record.crc;
        offset += recordSizeBytes(record.length);
      }
      end = { segment, offset, crc };
    }
    durableTo = later(durableTo, durableToAfter(bytes, offset, header.salt));
  }

  const damaged = isBefore(end ?? { segment: 0, offset: 0 }, durableTo);
  const place = end ?? { segment: segments[0] ?? 0, offset: 0 };
  // The segments before the oldest one went after its opening was durable: vote and membership are in nothing else.
  const [oldest = 0] = segments;
  const isEmptied = oldest > FIRST_SEGMENT && end?.segment === oldest && end.offset === SEGMENT_DATA_OFFSET;
  const reason = isEmptied
    ? "its opening is gone"
    : damaged
      ? `${stopped ?? "bad record"}, although the log was durable up to segment ${durableTo.segment} offset ${durableTo.offset}`
      : undefined;
  return {
    hardState: content.hardState,
    memberships: content.memberships,
    positions: content.positions,
    commit: Math.min(content.commit, content.positions.lastIndex),
    salts,
    end,
    durableTo,
    damage:
      reason === undefined
        ? { kind: "none" }
        : { kind: "corrupt", segment: place.segment, offset: place.offset, reason },
  };
}

/** Why `header` does not go on from `end`; undefined when it does. */
function continues(header: SegmentHeader, end: (LogPlace & { crc: number }) | undefined): string | undefined {
  if (end === undefined) return undefined;
  if (header.segment !== end.segment + 1) return `segment ${end.segment + 1} is missing`;
  if (header.previousCrc !== end.crc) return `bad record in segment ${end.segment}`;
  return undefined;
}

function later(a: LogPlace, b: LogPlace): LogPlace {
  return isBefore(a, b) ? b : a;
}

const ZEROS = new Uint8Array(64 * 1024);

/** Where the zeros at the end of `bytes` begin. Compared in pieces: a segment is mostly zeros, and one by one 16 MiB cost 200 ms. */
export function zerosFrom(bytes: Uint8Array): number {
  for (let end = bytes.length; end > 0; end -= ZEROS.length) {
    const begin = Math.max(0, end - ZEROS.length);
    const piece = bytes.subarray(begin, end);
    if (Buffer.compare(piece, ZEROS.subarray(0, piece.length)) !== 0)
      return begin + piece.findLastIndex((byte) => byte !== 0) + 1;
  }
  return 0;
}

/** The largest durable-to of any valid group record at or after `from`. */
function durableToAfter(bytes: Uint8Array, from: number, salt: number): LogPlace {
  let durableTo: LogPlace = { segment: 0, offset: 0 };
  const used = Math.min(zerosFrom(bytes), bytes.length - RECORD_HEADER_BYTES + 1);
  for (let offset = from; offset < used; offset += 8) {
    if (bytes[offset + 6] !== RECORD.group) continue;
    const record = decodeRecord(bytes, offset, offset, salt);
    if (record === undefined) continue;
    durableTo = later(durableTo, decodeDurableTo(bytes.subarray(offset + RECORD_HEADER_BYTES)));
  }
  return durableTo;
}

/** The log's content while its records are taken in order. */
class Content {
  hardState: HardState | undefined;
  readonly memberships = new Memberships();
  positions = new Positions(0, 0);
  commit = 0;

  begin(header: SegmentHeader): void {
    this.positions = new Positions(header.firstIndex - 1, header.previousTerm);
  }

  /** False for a record that cannot follow what was there: the prefix ends before it. */
  take(record: RecordHead, payload: Uint8Array, place: LogPlace): boolean {
    switch (record.type) {
      case RECORD.group:
        this.commit = Math.max(this.commit, record.index);
        return true;
      case RECORD.entry:
        if (record.index !== this.positions.lastIndex + 1) return false;
        this.positions.append(record.index, record.term, record.length);
        this.positions.setPlace(record.index, place);
        return true;
      case RECORD.hardState:
        this.hardState = { term: record.term, ...decodeHardState(payload) };
        return true;
      case RECORD.membership:
        this.memberships.add({ index: record.index, bytes: payload.slice() });
        return true;
      case RECORD.snapshot: {
        const isKept = (record.flags & FLAG_KEPT) !== 0;
        // Of a kept mark the snapshot's last entry may be purged since: then it says nothing new.
        const isPurged = record.index < this.positions.firstIndex - 1;
        if (isKept && !isPurged && this.positions.term(record.index) !== record.term) return false;
        if (isKept) this.positions.dropBefore(record.index + 1);
        else this.positions.startAfter(record.index, record.term);
        this.memberships.startFrom(decodeMarkMembership(payload));
        this.commit = Math.max(this.commit, record.index);
        return true;
      }
      case RECORD.truncate:
        if (record.index > this.positions.lastIndex + 1) return false;
        this.positions.truncate(record.index, record.term);
        this.memberships.truncate(record.index);
        return true;
      default:
        return false;
    }
  }
}
