import {
  decodeRecord,
  FLAG_MEMBERSHIP,
  type LogPlace,
  RECORD,
  RECORD_HEADER_BYTES,
  recordSizeBytes,
} from "./record.ts";
import { type Scan, type ScanObserver, scanSegments, zerosFrom } from "./recover.ts";
import { type SegmentHeader, SPARE_NAME, segmentName, segmentOfName } from "./segment.ts";
import type { Disk, HardState, LogEntry, MembershipRecord } from "./types.ts";

/** A running box recycles its oldest segments and writes its newest while they are read: so often the look is repeated. */
const LOOKS_MAX = 5;

/** From the smallest to the largest of what a segment holds. */
export interface Span {
  readonly first: number;
  readonly last: number;
}

/** One segment file, as a recovery takes it. */
export interface SegmentReport {
  readonly segment: number;
  readonly fileBytes: number;
  /** Undefined: neither copy of the header is one. */
  readonly salt: number | undefined;
  /** Where the part of it that belongs to the log ends; 0 when none does. */
  readonly usedBytes: number;
  readonly groups: number;
  /** All records, groups included. */
  readonly records: number;
  /** Of its entries; undefined without any. Truncated ones count: they are on the disk. */
  readonly indexes: Span | undefined;
  readonly terms: Span | undefined;
}

/** What a recovery would make of a log. */
export type Verdict =
  | { readonly kind: "good" }
  /** Bytes after the end were never reported durable, or are of an earlier use of the file: a recovery zeroes them. */
  | { readonly kind: "cut"; readonly at: LogPlace; readonly reason: string; readonly bytes: number }
  /** A record that had been reported durable is bad: the box must not vote with this log. */
  | { readonly kind: "refused"; readonly at: LogPlace; readonly reason: string };

export interface LogReport {
  readonly segments: readonly SegmentReport[];
  /** A zeroed file waits for the next rotation. */
  readonly hasSpare: boolean;
  readonly firstIndex: number;
  readonly lastIndex: number;
  /** Term of the last entry. */
  readonly lastTerm: number;
  readonly commit: number;
  readonly hardState: HardState | undefined;
  readonly membership: MembershipRecord | undefined;
  /** Everything before this place was covered by a finished sync. */
  readonly durableTo: LogPlace;
  /** Where the longest valid prefix ends. */
  readonly end: LogPlace;
  readonly verdict: Verdict;
}

export interface Inspection {
  readonly report: LogReport;
  /** Entries of the log, in order, from index `from` on; each is read when it is asked for. */
  entries(from: number): Generator<LogEntry>;
}

/**
 * Looks at the log of `disk` by the rules of its recovery and writes nothing. The box may run: what it changed under the
 * reader's eyes looks like damage once, so damage is believed when a second look finds it at the same place.
 */
export function inspectLog(disk: Pick<Disk, "open" | "list">): Inspection {
  let before: string | undefined;
  for (let look = 1; ; look++) {
    try {
      const found = lookOnce(disk);
      const { verdict } = found.report;
      const place = verdict.kind === "refused" ? JSON.stringify(verdict) : undefined;
      if (place === undefined || place === before || look === LOOKS_MAX) return found;
      before = place;
    } catch (error) {
      // A file that was listed and is gone was recycled meanwhile.
      if (look === LOOKS_MAX) throw error;
    }
  }
}

function lookOnce(disk: Pick<Disk, "open" | "list">): Inspection {
  const names = disk.list();
  const numbers = names
    .map(segmentOfName)
    .filter((segment) => segment !== undefined)
    .sort((a, b) => a - b);
  const tallies = new Map<number, Tally>();
  const read = (segment: number): Uint8Array => readSegment(disk, segment);
  const observer: ScanObserver = {
    segment: (segment, bytes, header) => tallies.set(segment, new Tally(segment, bytes.length, header)),
    record: (record, { segment, offset }) => tallies.get(segment)?.take(record, offset),
  };
  const scan = scanSegments(numbers, read, observer);
  const end: LogPlace = { segment: scan.end?.segment ?? 0, offset: scan.end?.offset ?? 0 };
  const { positions } = scan;
  return {
    report: {
      segments: [...tallies.values()].map((tally) => tally.report()),
      hasSpare: names.includes(SPARE_NAME),
      firstIndex: positions.firstIndex,
      lastIndex: positions.lastIndex,
      lastTerm: positions.term(positions.lastIndex) ?? 0,
      commit: scan.commit,
      hardState: scan.hardState,
      membership: scan.memberships.newest(),
      durableTo: scan.durableTo,
      end,
      verdict: verdictOf(scan, numbers, read),
    },
    entries: (from) => entriesOf(scan, from, read),
  };
}

function readSegment(disk: Pick<Disk, "open">, segment: number): Uint8Array {
  const file = disk.open(segmentName(segment), "read");
  try {
    return file.pread(0, file.sizeBytes());
  } finally {
    file.close();
  }
}

/** Counts what a segment gives to the log. */
class Tally {
  readonly #segment: number;
  readonly #fileBytes: number;
  readonly #header: SegmentHeader | undefined;
  #usedBytes = 0;
  #groups = 0;
  #records = 0;
  #indexes: Span | undefined;
  #terms: Span | undefined;

  constructor(segment: number, fileBytes: number, header: SegmentHeader | undefined) {
    this.#segment = segment;
    this.#fileBytes = fileBytes;
    this.#header = header;
  }

  take(record: { type: number; length: number; index: number; term: number }, offset: number): void {
    this.#usedBytes = offset + recordSizeBytes(record.length);
    this.#records++;
    if (record.type === RECORD.group) this.#groups++;
    if (record.type !== RECORD.entry) return;
    this.#indexes = widened(this.#indexes, record.index);
    this.#terms = widened(this.#terms, record.term);
  }

  report(): SegmentReport {
    return {
      segment: this.#segment,
      fileBytes: this.#fileBytes,
      salt: this.#header?.salt,
      usedBytes: this.#usedBytes,
      groups: this.#groups,
      records: this.#records,
      indexes: this.#indexes,
      terms: this.#terms,
    };
  }
}

function widened(span: Span | undefined, value: number): Span {
  return { first: Math.min(span?.first ?? value, value), last: Math.max(span?.last ?? value, value) };
}

function verdictOf(scan: Scan, segments: readonly number[], read: (segment: number) => Uint8Array): Verdict {
  const { damage } = scan;
  if (damage.kind === "corrupt") {
    const { segment, offset } = damage;
    const why = segments.includes(segment) ? firstBad(scan, read) : undefined;
    return {
      kind: "refused",
      at: { segment, offset },
      reason: why === undefined ? damage.reason : `${why}; ${damage.reason}`,
    };
  }
  if (scan.end === undefined) {
    return segments.length === 0
      ? { kind: "good" }
      : { kind: "cut", at: { segment: segments[0] ?? 0, offset: 0 }, reason: "no segment has a header", bytes: 0 };
  }
  const { segment, offset } = scan.end;
  const rest = read(segment).subarray(offset);
  const behind = segments.filter((other) => other > segment);
  const bytes = zerosFrom(rest);
  if (bytes === 0 && behind.length === 0) return { kind: "good" };
  const files = behind.length === 0 ? "" : `; segment ${behind.join(", ")} does not go on from there`;
  const why = firstBad(scan, read) ?? "nothing is written here";
  return { kind: "cut", at: { segment, offset }, reason: `${why}${files}`, bytes };
}

/** What is wrong with the bytes where the valid prefix ends; undefined when nothing was written there. */
function firstBad(scan: Scan, read: (segment: number) => Uint8Array): string | undefined {
  if (scan.end === undefined) return "the first segment has no header";
  const { segment, offset, crc } = scan.end;
  const bytes = read(segment);
  const salt = scan.salts.get(segment) ?? 0;
  if (zerosFrom(bytes) <= offset) return undefined;
  const record = decodeRecord(bytes, offset, offset, salt);
  if (record !== undefined)
    return record.previousCrc === crc
      ? `a record of type ${record.type} with index ${record.index} that cannot follow`
      : "a whole record that follows another one than the one before it";
  for (let at = offset + 8; at + RECORD_HEADER_BYTES <= bytes.length; at += 8)
    if (decodeRecord(bytes, at, at, salt) !== undefined) return `a bad record; a whole one follows at offset ${at}`;
  return "no whole record: torn, or of an earlier use of the file";
}

function* entriesOf(scan: Scan, from: number, read: (segment: number) => Uint8Array): Generator<LogEntry> {
  const { positions } = scan;
  let loaded: { readonly segment: number; readonly bytes: Uint8Array } | undefined;
  for (let index = Math.max(from, positions.firstIndex); index <= positions.lastIndex; index++) {
    const place = positions.place(index);
    if (place === undefined) return;
    if (loaded?.segment !== place.segment) loaded = { segment: place.segment, bytes: read(place.segment) };
    const { bytes } = loaded;
    const record = decodeRecord(bytes, place.offset, place.offset, scan.salts.get(place.segment) ?? 0);
    if (record?.index !== index) throw new Error(`Cannot read entry ${index}: the box has just recycled its segment`);
    const start = place.offset + RECORD_HEADER_BYTES;
    const kind = (record.flags & FLAG_MEMBERSHIP) === 0 ? "normal" : "membership";
    yield { term: record.term, index, kind, data: bytes.slice(start, start + record.length) };
  }
}
