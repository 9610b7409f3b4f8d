import { assert } from "../base/assert.ts";
import type { LogEntry, LogReader, SnapshotMeta } from "./types.ts";

/** What an entry costs besides its data when bytes are counted, so that empty entries are not free. */
export const ENTRY_OVERHEAD_BYTES = 32;

export function entrySizeBytes(entry: LogEntry): number {
  return entry.data.length + ENTRY_OVERHEAD_BYTES;
}

interface Write {
  readonly sequence: number;
  /** The last index that will be durable here when this write is; lowered when the log is cut while it is under way. */
  lastIndex: number;
}

/**
 * The log as the core sees it: what the reader holds durably, and in front of it the newest entries in memory. An entry
 * stays in memory until it is durable *and* handed out for applying, so the reader's disk is asked only for laggards.
 *
 * 0 … applied ≤ offered ≤ commit ≤ last; stable ≤ submitted ≤ last; offered ≤ stable.
 */
export class LogView {
  readonly #reader: LogReader;
  /** Entries `#first` … `#last`, consecutive. */
  #recent: LogEntry[] = [];
  #first: number;
  #last: number;
  #stable: number;
  #submitted: number;
  #commit: number;
  #applied: number;
  #offered: number;
  readonly #writes: Write[] = [];
  /** The terms of what was durable at the start and perhaps not committed, from `#tailFirst` on. See {@link restore}. */
  readonly #tailTerms: number[] = [];
  readonly #tailFirst: number;
  /** Handed out and not yet applied, one record a Ready. */
  readonly #applying: { readonly index: number; readonly sizeBytes: number }[] = [];
  #applyingBytes = 0;

  constructor(reader: LogReader, commit: number, applied: number) {
    this.#reader = reader;
    this.#last = reader.lastIndex();
    this.#first = this.#last + 1;
    this.#stable = this.#last;
    this.#submitted = this.#last;
    assert(applied <= this.#last, `applied ${applied} is after the log's end ${this.#last}`);
    // A commit index past the end belongs to entries that a crash took, which were never acknowledged by this box.
    this.#commit = Math.max(applied, Math.min(commit, this.#last));
    this.#applied = applied;
    this.#offered = applied;
    this.#tailFirst = this.#commit + 1;
    for (let index = this.#tailFirst; index <= this.#last; index++) this.#tailTerms.push(reader.term(index) ?? -1);
  }

  get lastIndex(): number {
    return this.#last;
  }
  get stable(): number {
    return this.#stable;
  }
  get commit(): number {
    return this.#commit;
  }
  get applied(): number {
    return this.#applied;
  }

  get lastTerm(): number {
    const term = this.term(this.#last);
    assert(term !== undefined, `the term of the last index ${this.#last} is unknown`);
    return term;
  }

  firstIndex(): number {
    return this.#reader.firstIndex();
  }

  snapshotMeta(): SnapshotMeta | undefined {
    return this.#reader.snapshotMeta();
  }

  /** Undefined when purged or after the end. */
  term(index: number): number | undefined {
    if (index > this.#last || index < 0) return undefined;
    if (index >= this.#first) return (this.#recent[index - this.#first] as LogEntry).term;
    return this.#reader.term(index);
  }

  matches(index: number, term: number): boolean {
    return this.term(index) === term;
  }

  /** Raft §5.4.1: is a log that ends at (index, term) at least as good as ours? */
  isUpToDate(index: number, term: number): boolean {
    const own = this.lastTerm;
    return term > own || (term === own && index >= this.#last);
  }

  /** Entries `lo` … `hi` within `maxBytes`, at least one; empty when `lo` was purged. */
  slice(lo: number, hi: number, maxBytes: number): readonly LogEntry[] {
    const last = Math.min(hi, this.#last);
    if (lo > last) return [];
    const result: LogEntry[] = [];
    let size = 0;
    if (lo < this.#first) {
      for (const entry of this.#reader.entries(lo, Math.min(last, this.#first - 1), maxBytes)) {
        result.push(entry);
        size += entrySizeBytes(entry);
      }
      const expected = Math.min(last, this.#first - 1) - lo + 1;
      if (result.length < expected) return result;
    }
    for (let index = Math.max(lo, this.#first); index <= last; index++) {
      const entry = this.#recent[index - this.#first] as LogEntry;
      size += entrySizeBytes(entry);
      if (size > maxBytes && result.length > 0) break;
      result.push(entry);
    }
    return result;
  }

  /** Appends at the end. */
  push(entry: LogEntry): void {
    assert(entry.index === this.#last + 1, `entry ${entry.index} does not follow ${this.#last}`);
    this.#recent.push(entry);
    this.#last = entry.index;
  }

  /** Cuts everything from `index` on. Cutting what is committed would lose an acknowledged write: never. */
  truncate(index: number): void {
    assert(index > this.#commit, `the log may not be cut at ${index}: ${this.#commit} is committed`);
    const last = index - 1;
    if (index >= this.#first) {
      this.#recent.length = index - this.#first;
    } else {
      this.#recent.length = 0;
      this.#first = index;
    }
    this.#last = last;
    this.#stable = Math.min(this.#stable, last);
    this.#submitted = Math.min(this.#submitted, last);
    // A write under way may end after this: what it wrote past the cut is then not ours any more.
    for (const write of this.#writes) write.lastIndex = Math.min(write.lastIndex, last);
  }

  commitTo(index: number): void {
    if (index <= this.#commit) return;
    assert(index <= this.#last, `commit ${index} is after the log's end ${this.#last}`);
    this.#commit = index;
  }

  hasUnsubmitted(): boolean {
    return this.#submitted < this.#last;
  }

  /** Entries to be written with the Ready `sequence`. */
  submit(sequence: number): readonly LogEntry[] {
    if (this.#submitted === this.#last) return [];
    const entries = this.#recent.slice(this.#submitted + 1 - this.#first);
    this.#submitted = this.#last;
    this.#writes.push({ sequence, lastIndex: this.#last });
    return entries;
  }

  /** The writes up to `sequence` are durable. True when the stable index moved. */
  written(sequence: number): boolean {
    let stable = this.#stable;
    while (this.#writes.length > 0 && (this.#writes[0] as Write).sequence <= sequence) {
      stable = Math.max(stable, (this.#writes.shift() as Write).lastIndex);
    }
    if (stable === this.#stable) return false;
    this.#stable = stable;
    this.#forget();
    return true;
  }

  hasCommittedToOffer(maxBytes: number): boolean {
    return this.#offered < Math.min(this.#commit, this.#stable) && this.#applyingBytes < maxBytes;
  }

  /** Committed and durable entries that were not handed out before, within what may be applying at a time. */
  offer(maxBytes: number): readonly LogEntry[] {
    if (!this.hasCommittedToOffer(maxBytes)) return [];
    const hi = Math.min(this.#commit, this.#stable);
    const entries = this.slice(this.#offered + 1, hi, maxBytes - this.#applyingBytes);
    const last = entries[entries.length - 1];
    assert(last !== undefined, `committed entry ${this.#offered + 1} is not in the log`);
    let sizeBytes = 0;
    for (const entry of entries) sizeBytes += entrySizeBytes(entry);
    this.#applyingBytes += sizeBytes;
    this.#applying.push({ index: last.index, sizeBytes });
    this.#offered = last.index;
    this.#forget();
    return entries;
  }

  get offered(): number {
    return this.#offered;
  }

  appliedTo(index: number): void {
    assert(index >= this.#applied && index <= this.#offered, `applied ${index}: ${this.#offered} was handed out`);
    this.#applied = index;
    while (this.#applying.length > 0) {
      const head = this.#applying[0] as { readonly index: number; readonly sizeBytes: number };
      if (head.index > index) break;
      this.#applyingBytes -= head.sizeBytes;
      this.#applying.shift();
    }
  }

  /**
   * A snapshot after commit was installed. When the log held its last entry the rest is good and acknowledged, and
   * stays; else the log starts empty after it. The reader cannot say which: it knows the snapshot's term by now, whatever
   * it held there before. What is after commit is in memory, or was on the disk at the start.
   */
  restore(meta: SnapshotMeta): void {
    if (!this.#held(meta)) {
      this.#recent = [];
      this.#last = meta.index;
      this.#stable = meta.index;
      this.#submitted = meta.index;
      this.#first = meta.index + 1;
      this.#writes.length = 0;
    } else {
      this.#stable = Math.max(this.#stable, meta.index);
      this.#submitted = Math.max(this.#submitted, meta.index);
    }
    this.#commit = meta.index;
    this.#applied = meta.index;
    this.#offered = meta.index;
    this.#applying.length = 0;
    this.#applyingBytes = 0;
    this.#forget();
  }

  #held({ index, term }: SnapshotMeta): boolean {
    if (index > this.#last) return false;
    if (index >= this.#first) return (this.#recent[index - this.#first] as LogEntry).term === term;
    return this.#tailTerms[index - this.#tailFirst] === term;
  }

  /** Drops from memory what is both durable and handed out. */
  #forget(): void {
    const upTo = Math.min(this.#stable, this.#offered);
    const count = upTo + 1 - this.#first;
    if (count <= 0) return;
    if (count >= this.#recent.length) this.#recent = [];
    else this.#recent.splice(0, count);
    this.#first = upTo + 1;
  }
}
