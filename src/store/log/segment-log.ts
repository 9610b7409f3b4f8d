import { assert } from "../../base/assert.ts";
import { CodedError } from "../../base/error.ts";
import { EntryReader } from "./entry-reader.ts";
import type { GroupSink } from "./group-sink.ts";
import { GROUP_OVERHEAD_BYTES, Layout, type PendingAppend } from "./layout.ts";
import type { Memberships } from "./memberships.ts";
import type { Positions } from "./positions.ts";
import type { Scan } from "./recover.ts";
import {
  type Append,
  type Disk,
  ENTRY_DATA_BYTES_MAX,
  type Log,
  type LogEntry,
  type LogStatistics,
  type MembershipRecord,
  type SnapshotMark,
  type SnapshotMeta,
} from "./types.ts";

export interface SegmentLogParts {
  readonly disk: Disk;
  /** Undefined for a damaged log: it can be read, never written. */
  readonly sink: GroupSink | undefined;
  readonly scan: Scan;
  readonly segmentSizeBytes: number;
  readonly cacheBytes: number;
  readonly idleMs: number;
  readonly onPoison: (error: Error) => void;
  readonly salt: () => number;
  readonly after: (delayMs: number, callback: () => void) => () => void;
}

/** Room that a group must leave in a segment to be worth beginning: header, group record, the largest entry. */
const SEGMENT_SIZE_BYTES_MIN = 4096;

/**
 * The core's half of the log: knows what is in it, lays out one group at a time, and answers when a group is durable.
 * While a group is under way, appends wait; together they are the next group. There is no artificial wait.
 */
export class SegmentLog implements Log {
  readonly #parts: SegmentLogParts;
  readonly #positions: Positions;
  readonly #memberships: Memberships;
  readonly #layout: Layout;
  readonly #reader: EntryReader;
  #waiting: PendingAppend[] = [];
  #writing: PendingAppend[] = [];
  #busy = false;
  readonly #recycling: number[] = [];
  #mayRecycle = true;
  #durable: number;
  #commit: number;
  #refusal: CodedError | undefined;
  #closing: { resolve: () => void } | undefined;
  /** The last group was an empty one: a burst is over and closed. */
  #closed = true;
  #cancelIdle: (() => void) | undefined;
  #appends = 0;
  #entries = 0;

  constructor(parts: SegmentLogParts) {
    assert(
      parts.segmentSizeBytes % 4096 === 0 && parts.segmentSizeBytes >= SEGMENT_SIZE_BYTES_MIN,
      `segment size ${parts.segmentSizeBytes} is no multiple of 4096`,
    );
    this.#parts = parts;
    this.#positions = parts.scan.positions;
    this.#memberships = parts.scan.memberships;
    this.#durable = this.#positions.lastIndex;
    this.#commit = parts.scan.commit;
    this.#layout = new Layout(parts.scan, parts.segmentSizeBytes, parts.salt);
    this.#reader = new EntryReader(
      parts.disk,
      this.#positions,
      (segment) => this.#layout.salt(segment),
      parts.cacheBytes,
    );
    if (parts.scan.damage.kind === "corrupt") {
      const { segment, offset, reason } = parts.scan.damage;
      this.#refusal = new CodedError("log-damaged", `Cannot append: segment ${segment} offset ${offset}: ${reason}`);
    }
  }

  /** Writes the first group, which says that the recovered prefix is durable. */
  start(): Promise<void> {
    if (this.#refusal !== undefined) return Promise.resolve();
    return this.append({ entries: [], commit: this.#commit });
  }

  append(append: Append): Promise<void> {
    if (this.#refusal !== undefined) return Promise.reject(this.#refusal);
    this.#appends++;
    this.#entries += append.entries.length;
    const isKept = append.snapshot !== undefined && this.#startAfter(append.snapshot);
    const truncate = this.#truncateFor(append.entries);
    this.#commit = Math.max(this.#commit, append.commit);
    for (const entry of append.entries) this.#take(entry);
    if (append.membership !== undefined) this.#memberships.add(append.membership);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ append, truncate, isKept, durable: this.#positions.lastIndex, cursor: 0, resolve, reject });
      this.#next();
    });
  }

  durableIndex(): number {
    return this.#durable;
  }

  membershipAt(index: number): MembershipRecord | undefined {
    return this.#memberships.newestAt(index);
  }

  sizeBytes(): number {
    return this.#layout.segmentCount * this.#parts.segmentSizeBytes;
  }

  firstIndex(): number {
    return this.#positions.firstIndex;
  }

  lastIndex(): number {
    return this.#positions.lastIndex;
  }

  term(index: number): number | undefined {
    return this.#positions.term(index);
  }

  entries(lo: number, hi: number, maxBytes: number): LogEntry[] {
    return this.#reader.entries(lo, hi, maxBytes);
  }

  snapshotMeta(): SnapshotMeta | undefined {
    const index = this.#positions.firstIndex - 1;
    if (index === 0) return undefined;
    return { index, term: this.#positions.term(index) ?? 0, membership: this.#memberships.newestAt(index) };
  }

  purgeTo(index: number): void {
    if (this.#refusal !== undefined) return;
    const purgeable = Math.min(index, this.#durable, this.#commit);
    // The first entry that stays decides which segment is the oldest; without one, the segment being written is.
    const keep = this.#positions.place(purgeable + 1);
    const oldest = keep === undefined || keep.segment === 0 ? this.#layout.segment : keep.segment;
    const gone = this.#layout.forgetBefore(oldest);
    if (gone.length === 0) return;
    const first = this.#firstIn(oldest);
    this.#reader.dropBefore(first, oldest);
    this.#positions.dropBefore(first);
    this.#memberships.settle(first - 1);
    this.#recycling.push(...gone);
    this.#next();
  }

  statistics(): LogStatistics {
    return {
      appends: this.#appends,
      entries: this.#entries,
      groups: this.#layout.groups,
      bytes: this.#layout.bytes,
      rotations: this.#layout.rotations,
      lateSegments: this.#parts.sink?.lateSegments() ?? 0,
    };
  }

  async close(): Promise<void> {
    this.#cancelIdle?.();
    this.#cancelIdle = undefined;
    if (this.#refusal === undefined) {
      const drained = new Promise<void>((resolve) => {
        this.#closing = { resolve };
      });
      this.#next();
      await drained;
    }
    this.#refusal ??= new CodedError("log-closed", "Cannot append: the log is closed");
    this.#reader.close();
    await this.#parts.sink?.close();
  }

  /** The first index whose record is in segment `oldest` or later: places ascend with the index. */
  #firstIn(oldest: number): number {
    let low = this.#positions.firstIndex;
    let high = this.#positions.lastIndex + 1;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const segment = this.#positions.place(middle)?.segment ?? 0;
      if (segment === 0 || segment >= oldest) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** True when what follows the snapshot's last entry stays. */
  #startAfter({ index, term, membership }: SnapshotMark): boolean {
    assert(index >= this.#positions.firstIndex - 1, `a snapshot at ${index} before the first index`);
    const isKept = this.#positions.term(index) === term;
    if (isKept) {
      this.#positions.dropBefore(index + 1);
      this.#reader.dropBefore(index + 1, 0);
    } else {
      assert(index > this.#commit, `a snapshot at ${index} contradicts what is committed up to ${this.#commit}`);
      this.#positions.startAfter(index, term);
      this.#reader.restart(index + 1);
      this.#durable = Math.min(this.#durable, index);
      for (const pending of [...this.#waiting, ...this.#writing]) pending.durable = Math.min(pending.durable, index);
    }
    this.#memberships.startFrom(membership);
    this.#commit = Math.max(this.#commit, index);
    return isKept;
  }

  #truncateFor(entries: readonly LogEntry[]): PendingAppend["truncate"] {
    const from = entries[0]?.index;
    if (from === undefined || from > this.#positions.lastIndex) return undefined;
    assert(from > this.#commit, `truncation from ${from} at or below commit ${this.#commit}`);
    assert(from >= this.#positions.firstIndex, `truncation from ${from} before the first index`);
    const truncate = { from, previousTerm: this.#positions.term(from - 1) ?? 0 };
    this.#reader.truncate(from);
    this.#positions.truncate(from, truncate.previousTerm);
    this.#memberships.truncate(from);
    // What is still on its way to the disk does not become durable any more above the cut.
    this.#durable = Math.min(this.#durable, from - 1);
    for (const pending of [...this.#waiting, ...this.#writing]) pending.durable = Math.min(pending.durable, from - 1);
    return truncate;
  }

  #take(entry: LogEntry): void {
    assert(entry.data.length <= ENTRY_DATA_BYTES_MAX, `entry ${entry.index} has ${entry.data.length} bytes`);
    assert(
      entry.data.length + GROUP_OVERHEAD_BYTES < this.#parts.segmentSizeBytes,
      `entry ${entry.index} does not fit into a segment of ${this.#parts.segmentSizeBytes} bytes`,
    );
    this.#positions.append(entry.index, entry.term, entry.data.length);
    this.#reader.keep(entry);
  }

  /** The one place that starts work on the disk. */
  #next(): void {
    const { sink } = this.#parts;
    if (this.#busy || sink === undefined || this.#refusal !== undefined) return;
    // One purged segment between two groups: neither waits for all of the other under steady load.
    const gone = this.#waiting.length === 0 || this.#mayRecycle ? this.#recycling.shift() : undefined;
    if (gone !== undefined) {
      this.#mayRecycle = false;
      this.#begin((done) => sink.recycle(gone, done));
      return;
    }
    if (this.#waiting.length > 0) {
      this.#writeGroup(sink, this.#waiting);
      return;
    }
    if (this.#closing !== undefined) {
      if (this.#closed) this.#closing.resolve();
      else this.#writeGroup(sink, []);
      return;
    }
    if (!this.#closed && this.#cancelIdle === undefined) this.#watchForSilence(sink);
  }

  /** One timer for a whole burst: setting one for each group would cost more than the group's CRC. */
  #watchForSilence(sink: GroupSink): void {
    const { groups } = this.#layout;
    this.#cancelIdle = this.#parts.after(this.#parts.idleMs, () => {
      this.#cancelIdle = undefined;
      if (this.#busy || this.#waiting.length > 0 || this.#closed || this.#refusal !== undefined) return;
      if (this.#layout.groups === groups) this.#writeGroup(sink, []);
      else this.#watchForSilence(sink);
    });
  }

  #writeGroup(sink: GroupSink, appends: readonly PendingAppend[]): void {
    const group = this.#layout.next(sink.buffer, appends, {
      commit: this.#commit,
      setPlace: (index, place) => this.#positions.setPlace(index, place),
    });
    // Each group names what the one before covered: one without records leaves nothing undecided behind it.
    this.#closed = group.records === 0;
    this.#mayRecycle = true;
    this.#writing = this.#waiting.slice(0, group.finished);
    this.#waiting = this.#waiting.slice(group.finished);
    this.#begin((done) => sink.write(group.segment, group.offset, group.length, done));
  }

  #begin(work: (done: (error?: Error) => void) => void): void {
    this.#busy = true;
    work((error) => {
      this.#busy = false;
      if (error !== undefined) this.#poison(error);
      else this.#finished();
    });
  }

  #finished(): void {
    const finished = this.#writing;
    this.#writing = [];
    this.#layout.synced();
    for (const pending of finished) this.#durable = Math.max(this.#durable, pending.durable);
    this.#reader.evict(this.#durable);
    // First the next group, then the answers: the disk does not wait for the callers.
    this.#next();
    for (const pending of finished) pending.resolve();
  }

  /** After a failed write or sync nobody knows what is on the disk (pages may be marked clean): nothing is ever retried. */
  #poison(cause: Error): void {
    const error = new CodedError(
      "log-poisoned",
      "Cannot write the log: a write or sync failed, it is not retried",
      cause,
    );
    this.#refusal = error;
    this.#cancelIdle?.();
    this.#parts.onPoison(error);
    const pending = [...this.#writing, ...this.#waiting];
    this.#writing = [];
    this.#waiting = [];
    for (const append of pending) append.reject(error);
    this.#closing?.resolve();
  }
}
