import { assert } from "../../base/assert.ts";
import { Memberships } from "./memberships.ts";
import {
  encodeDurableTo,
  encodeHardState,
  encodeMarkMembership,
  encodeRecord,
  FLAG_KEPT,
  FLAG_MEMBERSHIP,
  type LogPlace,
  RECORD,
  RECORD_HEADER_BYTES,
  recordSizeBytes,
} from "./record.ts";
import type { Scan } from "./recover.ts";
import { encodeSegmentHeader, SEGMENT_DATA_OFFSET } from "./segment.ts";
import type { Append, HardState } from "./types.ts";

/** An append on its way to the disk. */
export interface PendingAppend {
  readonly append: Append;
  readonly truncate: { readonly from: number; readonly previousTerm: number } | undefined;
  /** With a snapshot mark: what follows the snapshot's last entry stays. */
  readonly isKept: boolean;
  /** The last index that is durable with this append; lowered when a later append truncates. */
  durable: number;
  /** Records laid out so far; see {@link Layout}. */
  cursor: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export interface Group {
  readonly segment: number;
  readonly offset: number;
  readonly length: number;
  /** How many of the appends, from the first, end in this group. */
  readonly finished: number;
  /** Records besides the group record and what a new segment repeats. */
  readonly records: number;
}

const NOTHING = new Uint8Array(0);
const GROUP_RECORD_BYTES = recordSizeBytes(16);
/** Records of an append that come before its entries: hard state, snapshot mark, truncate mark, membership. */
const RECORDS_BEFORE_ENTRIES = 4;

interface RecordToWrite {
  readonly type: number;
  readonly flags: number;
  readonly term: number;
  readonly index: number;
  readonly payload: Uint8Array;
}

/** Where the log's end is, and what the bytes of the next group are. Pure but for the salt. */
export class Layout {
  readonly #segmentSizeBytes: number;
  readonly #newSalt: () => number;
  readonly #salts: Map<number, number>;
  readonly #memberships = new Memberships();
  #hardState: HardState | undefined;
  #lastIndex: number;
  #lastTerm: number;
  #end: LogPlace & { readonly crc: number };
  #durableTo: LogPlace;
  groups = 0;
  bytes = 0;
  rotations = 0;

  constructor(scan: Scan, segmentSizeBytes: number, newSalt: () => number) {
    this.#segmentSizeBytes = segmentSizeBytes;
    this.#newSalt = newSalt;
    this.#salts = new Map(scan.salts);
    for (const record of scan.memberships.all()) this.#memberships.add(record);
    this.#hardState = scan.hardState;
    this.#lastIndex = scan.positions.lastIndex;
    this.#lastTerm = scan.positions.term(this.#lastIndex) ?? 0;
    // Without a segment the end is that of a segment 0, which is always full.
    this.#end = scan.end ?? { segment: 0, offset: segmentSizeBytes, crc: 0 };
    this.#durableTo = scan.end ?? { segment: 0, offset: 0 };
  }

  /** The segment that the last group went to. */
  get segment(): number {
    return this.#end.segment;
  }

  get segmentCount(): number {
    return this.#salts.size;
  }

  salt(segment: number): number | undefined {
    return this.#salts.get(segment);
  }

  /** The segments before `oldest`, ascending; they no longer belong to the log. */
  forgetBefore(oldest: number): number[] {
    const gone = [...this.#salts.keys()].filter((segment) => segment < oldest).sort((a, b) => a - b);
    for (const segment of gone) this.#salts.delete(segment);
    return gone;
  }

  /** The group laid out last is on the disk: the next one says so. */
  synced(): void {
    this.#durableTo = this.#end;
  }

  /**
   * Lays out as much of `appends` as one group holds: to the end of `buffer` or of the segment. A new segment begins with
   * its header, and repeats the hard state and the memberships, so that older segments can be purged.
   */
  next(
    buffer: Uint8Array,
    appends: readonly PendingAppend[],
    context: { readonly commit: number; readonly setPlace: (index: number, place: LogPlace) => void },
  ): Group {
    const first = firstRecord(appends);
    const need = GROUP_RECORD_BYTES + (first === undefined ? 0 : recordSizeBytes(first.payload.length));
    const begins = this.#end.offset + need > this.#segmentSizeBytes;
    const segment = begins ? this.#end.segment + 1 : this.#end.segment;
    const start = begins ? 0 : this.#end.offset;
    const salt = begins ? this.#begin(buffer, segment) : this.#salts.get(segment);
    assert(salt !== undefined, `log segment ${segment} has no salt`);
    const limit = Math.min(buffer.length, this.#segmentSizeBytes - start);
    let at = begins ? SEGMENT_DATA_OFFSET : 0;
    let { crc } = this.#end;

    const put = (record: RecordToWrite): LogPlace | undefined => {
      const size = recordSizeBytes(record.payload.length);
      if (at + size > limit) return undefined;
      const place = { segment, offset: start + at };
      crc = encodeRecord(buffer, at, { offset: place.offset, salt, previousCrc: crc }, record);
      at += size;
      return place;
    };

    put({ type: RECORD.group, flags: 0, term: 0, index: context.commit, payload: encodeDurableTo(this.#durableTo) });
    if (begins) this.#repeat(put);
    let finished = 0;
    let records = 0;
    for (const pending of appends) {
      const count = RECORDS_BEFORE_ENTRIES + pending.append.entries.length;
      for (; pending.cursor < count; pending.cursor++) {
        const record = recordOf(pending, pending.cursor);
        if (record === undefined) continue;
        const place = put(record);
        if (place === undefined) break;
        records++;
        this.#remember(pending, record);
        if (record.type === RECORD.entry) context.setPlace(record.index, place);
      }
      if (pending.cursor < count) break;
      finished++;
    }
    assert(appends.length === 0 || records > 0 || finished > 0, "a log group holds none of its appends");
    this.#end = { segment, offset: start + at, crc };
    this.groups++;
    this.bytes += at;
    return { segment, offset: start, length: at, finished, records };
  }

  #begin(buffer: Uint8Array, segment: number): number {
    const salt = this.#newSalt();
    this.#salts.set(segment, salt);
    this.rotations++;
    encodeSegmentHeader(buffer, {
      segment,
      salt,
      previousCrc: this.#end.crc,
      firstIndex: this.#lastIndex + 1,
      previousTerm: this.#lastTerm,
    });
    return salt;
  }

  #repeat(put: (record: RecordToWrite) => LogPlace | undefined): void {
    if (this.#hardState !== undefined) put(hardStateRecord(this.#hardState));
    for (const { index, bytes } of this.#memberships.all()) {
      put({ type: RECORD.membership, flags: 0, term: 0, index, payload: bytes });
    }
  }

  #remember(pending: PendingAppend, record: RecordToWrite): void {
    switch (record.type) {
      case RECORD.hardState:
        this.#hardState = pending.append.hardState;
        break;
      case RECORD.membership:
        this.#memberships.add({ index: record.index, bytes: record.payload });
        this.#memberships.settle(pending.append.commit);
        break;
      case RECORD.snapshot: {
        if (pending.append.snapshot !== undefined) this.#memberships.startFrom(pending.append.snapshot.membership);
        if (pending.isKept) break;
        this.#lastIndex = record.index;
        this.#lastTerm = record.term;
        break;
      }
      case RECORD.truncate:
        this.#memberships.truncate(record.index);
        this.#lastIndex = record.index - 1;
        this.#lastTerm = record.term;
        break;
      default:
        this.#lastIndex = record.index;
        this.#lastTerm = record.term;
    }
  }
}

function firstRecord(appends: readonly PendingAppend[]): RecordToWrite | undefined {
  for (const pending of appends) {
    const count = RECORDS_BEFORE_ENTRIES + pending.append.entries.length;
    for (let cursor = pending.cursor; cursor < count; cursor++) {
      const record = recordOf(pending, cursor);
      if (record !== undefined) return record;
    }
  }
  return undefined;
}

function hardStateRecord(state: HardState): RecordToWrite {
  return { type: RECORD.hardState, flags: 0, term: state.term, index: 0, payload: encodeHardState(state) };
}

/** Record number `cursor` of an append; undefined when the append has none of that type. */
function recordOf({ append, truncate, isKept }: PendingAppend, cursor: number): RecordToWrite | undefined {
  switch (cursor) {
    case 0:
      return append.hardState === undefined ? undefined : hardStateRecord(append.hardState);
    case 1: {
      const { snapshot } = append;
      if (snapshot === undefined) return undefined;
      const { index, term, membership } = snapshot;
      const flags = isKept ? FLAG_KEPT : 0;
      return { type: RECORD.snapshot, flags, term, index, payload: encodeMarkMembership(membership) };
    }
    case 2:
      if (truncate === undefined) return undefined;
      return { type: RECORD.truncate, flags: 0, term: truncate.previousTerm, index: truncate.from, payload: NOTHING };
    case 3: {
      const { membership } = append;
      if (membership === undefined) return undefined;
      return { type: RECORD.membership, flags: 0, term: 0, index: membership.index, payload: membership.bytes };
    }
    default: {
      const entry = append.entries[cursor - RECORDS_BEFORE_ENTRIES];
      if (entry === undefined) return undefined;
      const flags = entry.kind === "membership" ? FLAG_MEMBERSHIP : 0;
      return { type: RECORD.entry, flags, term: entry.term, index: entry.index, payload: entry.data };
    }
  }
}

/** What a record of `payloadBytes` and its group need in a fresh segment at most, repeated hard state included. */
export const GROUP_OVERHEAD_BYTES = SEGMENT_DATA_OFFSET + GROUP_RECORD_BYTES + 4 * RECORD_HEADER_BYTES;
