import type { Outcome, SqlValue } from "../../base/entry.ts";

/** A committed entry of the log, as the state takes it. */
export interface CommittedEntry {
  readonly index: number;
  readonly term: number;
  readonly kind: "normal" | "membership";
  /** base/entry's encoding; empty for a no-op. Of a membership entry only index and term count here. */
  readonly data: Uint8Array;
}

/** What became of one entry. A no-op or membership entry has requestId "" and is done without rows. */
export interface Applied {
  readonly index: number;
  readonly requestId: string;
  readonly outcome: Outcome;
}

export interface StateOptions {
  /**
   * The largest feature level that this build knows: a state, or an entry, of a higher one is refused. Also part of what
   * makes hashes comparable: only boxes of the same level and SQLite version compare them.
   */
  readonly featureLevel: number;
  /** The binding; the `sqlite3` package's when absent. */
  readonly openDatabase?: OpenDatabase | undefined;
  /** A read that takes longer is interrupted. Default 5,000 ms. */
  readonly readTimeoutMs?: number | undefined;
  /** Default 4: more would take the thread pool from the writer. */
  readonly readersMax?: number | undefined;
  /**
   * A batch found no room on the disk and was rolled back: resolves when it is worth trying again, and rejects when the
   * state is to give up. Without it a full disk is an error like any other.
   */
  readonly whenFull?: (() => Promise<void>) | undefined;
  /** A WAL larger than this is truncated with the writer paused. Default 64 MiB. */
  readonly walBytesMax?: number | undefined;
}

/** The running hash over every entry's effects; comparable between equal `comparable` values only. */
export interface StateHash {
  readonly index: number;
  readonly hash: string;
  /** `featureLevel/sqlite version`. */
  readonly comparable: string;
}

/** What a box's state was after entry `index`: two boxes with equal `comparable` must agree on it. */
export interface StateCheck {
  readonly index: number;
  /** As in {@link StateHash}. */
  readonly comparable: string;
  /** The running hash over every entry's effects. */
  readonly running: string;
  /** Hash of a part of the content (content-hash.ts); "" where this box did not look. */
  readonly content: string;
}

export type AppliedListener = (tags: readonly string[], index: number) => void;

/** A row as an object by column name. Columns need distinct names (`AS`) that are not numbers. */
export type Row = Readonly<Record<string, SqlValue>>;

/** The replicated state: one SQLite database, changed by entries only. */
export interface State {
  readonly appliedIndex: number;
  readonly appliedTerm: number;
  /** What a finished checkpoint made durable: purge and snapshots go up to here, never further. */
  readonly durableAppliedIndex: number;
  readonly hash: StateHash;
  /** The last checks, each 1,024 entries, newest last. */
  checks(): readonly StateCheck[];
  /** The feature level in force: 1 until an entry raises it, never lowered. */
  readonly level: number;
  /**
   * Applies entries in order; the first must be appliedIndex + 1. Calls queue behind each other. Resolves when all are
   * committed to the WAL and visible to readers. Rejects with CodedError "state-failed" when this box cannot apply what
   * every box must apply (I/O, full, corrupt ...), with "feature-level" when this build is too old for an entry; from
   * then on everything is refused.
   */
  apply(entries: readonly CommittedEntry[]): Promise<Applied[]>;
  /** The kept outcome of a request id (`client:sequence`); undefined when it was never seen. */
  outcomeOf(requestId: string): Outcome | undefined;
  /** Rows of a query, columns in the query's order. At most 5 s. Rejects with "read-timeout", "read-busy", "read-failed" or "state-failed". */
  read(sql: string, values?: readonly SqlValue[]): Promise<SqlValue[][]>;
  /** The same, rows as objects. */
  readRows(sql: string, values?: readonly SqlValue[]): Promise<Row[]>;
  /** Called after each batch with the tags of its done entries, each once; readers already see the batch. Returns the removal. */
  onApplied(listener: AppliedListener): () => void;
  /** Notes the applied index, moves the WAL into the database, and counts as durable only if everything was moved. */
  checkpoint(): Promise<{ readonly durableAppliedIndex: number; readonly complete: boolean }>;
  /**
   * Writes a consistent copy of the whole database to `path`, which must not exist, and says what it has applied. In one
   * read transaction on a connection of its own: the writer goes on beside it. Not synced. One at a time.
   */
  copyTo(path: string): Promise<{ readonly index: number; readonly term: number }>;
  close(): Promise<void>;
}

/** Why a statement failed. `result`: the same on every box. `local`: this box alone. `interrupted`: by {@link Database.interrupt}. */
export type DatabaseErrorKind = "result" | "local" | "interrupted";

export interface DatabaseError extends Error {
  readonly kind: DatabaseErrorKind;
  /** SQLite's name of the result, as SQLITE_CONSTRAINT. */
  readonly result: string;
}

export interface RunResult {
  /** Rows changed by an INSERT, UPDATE or DELETE; 0 for every other statement. */
  readonly changes: number;
}

/**
 * One connection, behind which another binding is one file; test/unit/store/database-contract.test.ts holds its contract.
 * Statements run in the order of the calls, prepared once and kept by text. A number must be a safe integer or a finite
 * float; bigint and undefined are refused. All rejections are {@link DatabaseError}.
 */
export interface Database {
  /** Runs one statement that returns no rows. */
  run(sql: string, values: readonly SqlValue[]): Promise<RunResult>;
  /** Runs one statement and gives its rows, columns in order. */
  all(sql: string, values: readonly SqlValue[]): Promise<SqlValue[][]>;
  allRows(sql: string, values: readonly SqlValue[]): Promise<Row[]>;
  /** Runs several statements without values in one go, and stops at the first that fails. */
  script(sql: string): Promise<void>;
  /** Breaks off the statement that is running, if any; it rejects with kind "interrupted". */
  interrupt(): void;
  close(): Promise<void>;
}

export type OpenDatabase = (path: string, mode: "read" | "write") => Promise<Database>;
