/**
 * What the log offers to the core. The shapes of entries and of the hard state are those of raft, declared again here
 * because store imports base only; cluster's compilation checks that they fit.
 */

/** One record of the replicated log. */
export interface LogEntry {
  readonly term: number;
  readonly index: number;
  readonly kind: "normal" | "membership";
  /** At most {@link ENTRY_DATA_BYTES_MAX}; empty for a leader's no-op. Not to be changed after it was handed in. */
  readonly data: Uint8Array;
}

/** Room for base/entry's 1 MiB and a margin for framing. A larger entry is a programmer's error. */
export const ENTRY_DATA_BYTES_MAX = 1024 * 1024 + 4096;

/** What a box must remember over a restart besides the entries. */
export interface HardState {
  readonly term: number;
  /** The raft id voted for in `term`; "" for none. */
  readonly vote: string;
  /** The largest time for which this box ever promised to vote for nobody, in ms (lease; consensus.md section 6). */
  readonly promiseMs: number;
  readonly commit: number;
}

/** Opaque to the log: what raft needs to know its voters at a restart, with the index of the entry that made it. */
export interface MembershipRecord {
  readonly index: number;
  readonly bytes: Uint8Array;
}

/**
 * A snapshot that this box was given and keeps durably: the log starts after it. What it held behind the snapshot's last
 * entry stays if it holds that very entry, else the whole of it conflicts and goes.
 */
export interface SnapshotMark {
  readonly index: number;
  readonly term: number;
  /** The membership in force at `index`. */
  readonly membership: MembershipRecord;
}

/** Index and term of the last entry that was purged from the log, and the newest membership at or below it. */
export interface SnapshotMeta {
  readonly index: number;
  readonly term: number;
  readonly membership: MembershipRecord | undefined;
}

/** What raft reads, synchronously, on the core's thread. It sees what was appended at once, durable or not. */
export interface LogReader {
  /** The first index that can be read; lastIndex() + 1 when the log is empty. */
  firstIndex(): number;
  lastIndex(): number;
  /** The term of entry `index`; undefined outside firstIndex() − 1 … lastIndex(); 0 for index 0. */
  term(index: number): number | undefined;
  /**
   * Entries lo … hi, both included, as many as fit in `maxBytes` of data but at least one; empty when lo was purged.
   * Throws CodedError "log-read-failed" when the disk gives other bytes than were written.
   */
  entries(lo: number, hi: number, maxBytes: number): LogEntry[];
  /** Undefined when nothing was ever purged. */
  snapshotMeta(): SnapshotMeta | undefined;
}

/** What goes to the disk together, in this order: hard state, snapshot mark, membership, entries. */
export interface Append {
  /** Consecutive indexes. A first index at or below lastIndex() truncates from there, never at or below the durable commit. */
  readonly entries: readonly LogEntry[];
  readonly hardState?: HardState | undefined;
  readonly membership?: MembershipRecord | undefined;
  /** Never older than what the log starts with, never at odds with what is committed. */
  readonly snapshot?: SnapshotMark | undefined;
  /** The commit index known to the caller; it rides in the group's record. */
  readonly commit: number;
}

/**
 * A bad record that had been reported durable: the box must not vote with this log. Nothing on the disk is changed then,
 * what was recovered is the prefix before it, and every append is rejected with "log-damaged".
 */
export type Damage =
  | { readonly kind: "none" }
  | { readonly kind: "corrupt"; readonly segment: number; readonly offset: number; readonly reason: string };

export interface Recovered {
  readonly hardState: HardState | undefined;
  readonly membership: MembershipRecord | undefined;
  readonly firstIndex: number;
  /** Of the longest valid prefix. */
  readonly lastIndex: number;
  readonly commit: number;
  readonly damage: Damage;
  /** Bytes after the longest valid prefix that were cut: what had been written and never acknowledged. */
  readonly tornBytes: number;
}

export interface LogStatistics {
  readonly appends: number;
  readonly groups: number;
  readonly entries: number;
  readonly bytes: number;
  readonly rotations: number;
  /** Rotations that had to zero a new segment on the spot because no spare was ready. */
  readonly lateSegments: number;
}

export interface Log extends LogReader {
  /**
   * Resolves when everything in it is durable. Appends become durable in the order of the calls.
   * Rejects with CodedError "log-poisoned" after a failed write or fsync (never retried) and "log-closed" after close().
   */
  append(append: Append): Promise<void>;
  /** The largest index that a finished fdatasync covers; never above lastIndex(). */
  durableIndex(): number;
  /** The newest recorded membership at or below `index`; undefined when its record is gone or was never made. */
  membershipAt(index: number): MembershipRecord | undefined;
  /** What the segments take on the disk. */
  sizeBytes(): number;
  /** Lets the log forget entries up to `index` where whole segments allow it. The caller holds a durable state for them. */
  purgeTo(index: number): void;
  statistics(): LogStatistics;
  /** Waits for what was appended, writes the closing group and ends the writer's thread. */
  close(): Promise<void>;
}

export interface LogOptions {
  /** The directory's disk; the real one when absent. */
  readonly disk?: Disk | undefined;
  /** Where groups are written: a Worker of its own (product) or this thread (simulator, tests). Default "worker" with the real disk, else "inline". */
  readonly writer?: "worker" | "inline" | undefined;
  /** When an inline writer does its work; the simulator's disk is slow by it. Default: the next microtask. */
  readonly defer?: ((work: () => void) => void) | undefined;
  /** 16 MiB; 4 MiB on small flash. A multiple of 4096. */
  readonly segmentSizeBytes?: number | undefined;
  /** Recent entries kept in memory, in bytes of data. Default 16 MiB. */
  readonly cacheBytes?: number | undefined;
  /** Silence after which the closing empty group is written, in ms. Default 200. */
  readonly idleMs?: number | undefined;
  /** Called once, before the first append is rejected: release the VIP and exit. */
  readonly onPoison?: ((error: Error) => void) | undefined;
  /** 32 random bits for a segment's salt. The simulator hands in its own source. */
  readonly salt?: (() => number) | undefined;
  /** Runs `callback` after `delayMs`; returns the cancellation. The simulator hands in its own clock. */
  readonly after?: ((delayMs: number, callback: () => void) => () => void) | undefined;
}

/** A file of a {@link Disk}. Calls are synchronous: they run in the writer's thread, or at start. */
export interface DiskFile {
  /** Reads up to `length` bytes; fewer at the end of the file. */
  pread(offset: number, length: number): Uint8Array<ArrayBuffer>;
  /** Writes all of `bytes` or throws. */
  pwrite(offset: number, bytes: Uint8Array): void;
  fdatasync(): void;
  sizeBytes(): number;
  close(): void;
}

/** One directory of a disk. Names have no slash. Errors are thrown; a failed write or sync is final for the log. */
export interface Disk {
  open(name: string, mode: "read" | "write" | "create"): DiskFile;
  rename(from: string, to: string): void;
  unlink(name: string): void;
  list(): string[];
  fsyncDirectory(): void;
}
