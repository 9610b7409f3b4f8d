import { CodedError } from "../../base/error.ts";
import type { Positions } from "./positions.ts";
import { decodeRecord, FLAG_MEMBERSHIP, RECORD, RECORD_HEADER_BYTES, recordSizeBytes } from "./record.ts";
import { segmentName } from "./segment.ts";
import type { Disk, DiskFile, LogEntry } from "./types.ts";

/** A lagging follower reads one or two segments; more open files help nobody. */
const OPEN_FILES_MAX = 4;

/** Entries by index: recent ones from memory, older ones from the disk, each checked against its CRC, term and index. */
export class EntryReader {
  readonly #disk: Disk;
  readonly #positions: Positions;
  readonly #salt: (segment: number) => number | undefined;
  readonly #cacheBytesMax: number;
  /** The log's last entries, without a gap, from `#cachedFrom` on. */
  #cache: LogEntry[] = [];
  #cachedFrom: number;
  #evicted = 0;
  #cacheBytes = 0;
  /** In the order of their last use. */
  readonly #files = new Map<number, DiskFile>();

  constructor(disk: Disk, positions: Positions, salt: (segment: number) => number | undefined, cacheBytesMax: number) {
    this.#disk = disk;
    this.#positions = positions;
    this.#salt = salt;
    this.#cacheBytesMax = cacheBytesMax;
    this.#cachedFrom = positions.lastIndex + 1;
  }

  /** `entry` follows the last one. */
  keep(entry: LogEntry): void {
    this.#cache.push(entry);
    this.#cacheBytes += entry.data.length;
  }

  truncate(from: number): void {
    while (this.#cachedFrom + this.#size() > from && this.#size() > 0) {
      this.#cacheBytes -= this.#cache.pop()?.data.length ?? 0;
    }
    if (this.#size() === 0) this.#cachedFrom = Math.min(this.#cachedFrom, from);
  }

  /** Nothing that was there counts any more; the next entry is `first`. */
  restart(first: number): void {
    this.#cache = [];
    this.#evicted = 0;
    this.#cacheBytes = 0;
    this.#cachedFrom = first;
  }

  /** Makes room; entries above `durable` stay, because they cannot be read from the disk yet. */
  evict(durable: number): void {
    while (this.#cacheBytes > this.#cacheBytesMax && this.#cachedFrom <= durable && this.#size() > 0) this.#evictOne();
    if (this.#evicted > 1024 && this.#evicted * 2 > this.#cache.length) {
      this.#cache = this.#cache.slice(this.#evicted);
      this.#evicted = 0;
    }
  }

  dropBefore(first: number, oldestSegment: number): void {
    while (this.#cachedFrom < first && this.#size() > 0) this.#evictOne();
    if (this.#size() === 0) this.#cachedFrom = Math.max(this.#cachedFrom, first);
    for (const [segment, file] of this.#files) {
      if (segment >= oldestSegment) continue;
      file.close();
      this.#files.delete(segment);
    }
  }

  entries(lo: number, hi: number, maxBytes: number): LogEntry[] {
    const result: LogEntry[] = [];
    if (lo < this.#positions.firstIndex) return result;
    let bytes = 0;
    for (let index = lo; index <= Math.min(hi, this.#positions.lastIndex); index++) {
      const size = this.#positions.place(index)?.length ?? 0;
      if (result.length > 0 && bytes + size > maxBytes) break;
      bytes += size;
      result.push(index >= this.#cachedFrom ? this.#cached(index) : this.#fromDisk(index));
    }
    return result;
  }

  close(): void {
    for (const file of this.#files.values()) file.close();
    this.#files.clear();
  }

  #size(): number {
    return this.#cache.length - this.#evicted;
  }

  #evictOne(): void {
    this.#cacheBytes -= this.#cache[this.#evicted]?.data.length ?? 0;
    this.#evicted++;
    this.#cachedFrom++;
  }

  #cached(index: number): LogEntry {
    const entry = this.#cache[this.#evicted + index - this.#cachedFrom];
    if (entry?.index !== index) throw new Error(`log cache has ${entry?.index} for entry ${index}`);
    return entry;
  }

  #fromDisk(index: number): LogEntry {
    const place = this.#positions.place(index);
    const salt = place === undefined ? undefined : this.#salt(place.segment);
    if (place === undefined || salt === undefined) throw readFailed(index, "its segment is not known");
    let bytes: Uint8Array;
    try {
      bytes = this.#file(place.segment).pread(place.offset, recordSizeBytes(place.length));
    } catch (error) {
      throw readFailed(index, `segment ${place.segment} offset ${place.offset}`, error);
    }
    const record = decodeRecord(bytes, 0, place.offset, salt);
    if (record?.type !== RECORD.entry || record.index !== index || record.term !== this.#positions.term(index)) {
      throw readFailed(index, `segment ${place.segment} offset ${place.offset} holds other bytes than were written`);
    }
    return {
      term: record.term,
      index,
      kind: (record.flags & FLAG_MEMBERSHIP) !== 0 ? "membership" : "normal",
      data: bytes.slice(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + record.length),
    };
  }

  #file(segment: number): DiskFile {
    const known = this.#files.get(segment);
    if (known !== undefined) {
      this.#files.delete(segment);
      this.#files.set(segment, known);
      return known;
    }
    const file = this.#disk.open(segmentName(segment), "read");
    this.#files.set(segment, file);
    if (this.#files.size > OPEN_FILES_MAX) {
      const [oldest] = this.#files;
      if (oldest !== undefined) {
        oldest[1].close();
        this.#files.delete(oldest[0]);
      }
    }
    return file;
  }
}

function readFailed(index: number, why: string, cause?: unknown): CodedError {
  return new CodedError("log-read-failed", `Cannot read entry ${index}: ${why}`, cause);
}
