import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { assert } from "../../base/assert.ts";
import { decodeEntry, type Entry, type Outcome, type SqlValue } from "../../base/entry.ts";
import { CodedError } from "../../base/error.ts";
import { appliedOf } from "./applied-of.ts";
import { applyEntry } from "./apply-entry.ts";
import { planScript } from "./apply-script.ts";
import { levelObstacle, levelTooHigh } from "./level.ts";
import { Readers } from "./readers.ts";
import type { Sessions } from "./sessions.ts";
import { openSqlitePackage } from "./sqlite-package.ts";
import { CHECK_ENTRIES, StateChecks } from "./state-checks.ts";
import {
  type AppliedRow,
  closingStatements,
  commitTables,
  isDatabaseError,
  openTables,
  RAISE_LEVEL,
  readTables,
} from "./store-tables.ts";

import type {
  Applied,
  AppliedListener,
  CommittedEntry,
  Database,
  OpenDatabase,
  Row,
  State,
  StateCheck,
  StateHash,
  StateOptions,
} from "./types.ts";

/** Entries of one transaction, and the time after which it is closed early: readers must not wait long for what is applied. */
const BATCH_ENTRIES_MAX = 64;
const BATCH_MS_MAX = 5;

const READ_TIMEOUT_MS = 5_000;
const READERS_MAX = 4;
const WAL_BYTES_MAX = 64 * 1024 * 1024;

/** The database's name in its directory. */
export const STATE_FILE = "state.db";

/**
 * Opens the state in `directory`, which the caller holds exclusively; a new one has the store's own tables only and
 * applied index 0. Throws CodedError "state-failed", or "feature-level" when a newer build has used it.
 */
export async function openState(directory: string, options: StateOptions): Promise<State> {
  const path = `${directory}/${STATE_FILE}`;
  const openDatabase = options.openDatabase ?? openSqlitePackage;
  try {
    fs.mkdirSync(directory, { recursive: true });
    const writer = await openDatabase(path, "write");
    const { applied, sessions, level, sqliteVersion } = await openTables(writer);
    if (level > options.featureLevel) {
      await writer.close();
      throw levelTooHigh(level, options.featureLevel, `The state in "${directory}"`);
    }
    const readers = new Readers(
      path,
      openDatabase,
      options.readersMax ?? READERS_MAX,
      options.readTimeoutMs ?? READ_TIMEOUT_MS,
    );
    return new SqliteState({
      path,
      openDatabase,
      writer,
      readers,
      sessions,
      applied,
      level,
      featureLevel: options.featureLevel,
      comparable: `${options.featureLevel}/${sqliteVersion}`,
      walBytesMax: options.walBytesMax ?? WAL_BYTES_MAX,
      whenFull: options.whenFull,
    });
  } catch (error) {
    if (error instanceof CodedError && error.code === "feature-level") throw error;
    throw new CodedError("state-failed", `Cannot open the state in "${directory}"`, error);
  }
}

interface Parts {
  readonly path: string;
  readonly openDatabase: OpenDatabase;
  readonly writer: Database;
  readonly readers: Readers;
  readonly sessions: Sessions;
  readonly applied: AppliedRow;
  readonly level: number;
  /** The largest level that this build knows. */
  readonly featureLevel: number;
  readonly comparable: string;
  readonly walBytesMax: number;
  readonly whenFull: (() => Promise<void>) | undefined;
}

/** A batch was rolled back because the disk is full: it may be tried again. */
class NoRoom extends Error {}

class SqliteState implements State {
  readonly #parts: Parts;
  #applied: AppliedRow;
  #sessions: Sessions;
  #level: number;
  readonly #checks: StateChecks;
  #durableAppliedIndex: number;
  #listeners: AppliedListener[] = [];
  #failure: CodedError | undefined;
  #closing: Promise<void> | undefined;
  #isCopying = false;
  /** Everything that uses the writer's connection queues here. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#applied = parts.applied;
    this.#sessions = parts.sessions;
    this.#level = parts.level;
    this.#checks = new StateChecks(parts.path, parts.openDatabase, parts.comparable);
    // What was found may be in the WAL only, and not synced: the first checkpoint tells.
    this.#durableAppliedIndex = 0;
  }

  get appliedIndex(): number {
    return this.#applied.index;
  }

  get appliedTerm(): number {
    return this.#applied.term;
  }

  get durableAppliedIndex(): number {
    return this.#durableAppliedIndex;
  }

  get hash(): StateHash {
    return { index: this.#applied.index, hash: this.#applied.hash, comparable: this.#parts.comparable };
  }

  checks(): readonly StateCheck[] {
    return this.#checks.all();
  }

  get level(): number {
    return this.#level;
  }

  apply(entries: readonly CommittedEntry[]): Promise<Applied[]> {
    return this.#inOrder(async () => {
      for (const [at, { index }] of entries.entries()) {
        assert(index === this.#applied.index + 1 + at, `entry ${index} applied after ${this.#applied.index + at}`);
      }
      const applied: Applied[] = [];
      while (applied.length < entries.length) {
        applied.push(...(await this.#applyNext(entries, applied.length)));
      }
      return applied;
    });
  }

  outcomeOf(requestId: string): Outcome | undefined {
    const answer = this.#sessions.look(requestId);
    return answer.kind === "known" ? answer.outcome : undefined;
  }

  read(sql: string, values: readonly SqlValue[] = []): Promise<SqlValue[][]> {
    return this.#read(sql, (database) => database.all(sql, values));
  }

  readRows(sql: string, values: readonly SqlValue[] = []): Promise<Row[]> {
    return this.#read(sql, (database) => database.allRows(sql, values));
  }

  onApplied(listener: AppliedListener): () => void {
    this.#listeners.push(listener);
    return () => {
      this.#listeners = this.#listeners.filter((other) => other !== listener);
    };
  }

  checkpoint(): Promise<{ durableAppliedIndex: number; complete: boolean }> {
    return this.#inOrder(async () => {
      const complete = await this.#checkpoint("PASSIVE");
      return { durableAppliedIndex: this.#durableAppliedIndex, complete };
    });
  }

  async copyTo(path: string): Promise<{ index: number; term: number }> {
    assert(!this.#isCopying, "two copies of the state at once");
    if (this.#failure !== undefined) throw this.#failure;
    this.#isCopying = true;
    try {
      const source = await this.#parts.openDatabase(this.#parts.path, "read");
      try {
        await source.run("VACUUM INTO ?", [path]);
      } finally {
        await source.close();
      }
      return await appliedOf(this.#parts.openDatabase, path);
    } catch (error) {
      throw new CodedError("snapshot-failed", `Cannot copy the state to "${path}"`, error);
    } finally {
      this.#isCopying = false;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#tail;
    this.#failure ??= new CodedError("state-failed", "Cannot use the state: it is closed");
    await this.#checks.close();
    await this.#parts.readers.close();
    await this.#parts.writer.close();
  }

  #read<T>(sql: string, work: (database: Database) => Promise<T>): Promise<T> {
    return this.#failure === undefined ? this.#parts.readers.read(sql, work) : Promise.reject(this.#failure);
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(() => {
      if (this.#failure !== undefined) throw this.#failure;
      return work();
    });
    this.#tail = result.catch(() => undefined);
    return result;
  }

  /** The entries from `from` on, as many as one transaction takes. On a full disk it waits and begins again. */
  async #applyNext(entries: readonly CommittedEntry[], from: number): Promise<readonly Applied[]> {
    // A transaction ends where the state is checked: other boxes look at the very same content.
    const countMax = Math.min(BATCH_ENTRIES_MAX, CHECK_ENTRIES - (this.#applied.index % CHECK_ENTRIES));
    for (;;) {
      try {
        return (
          (await this.#applyScript(entries.slice(from, from + countMax))) ??
          (await this.#applyBatch(entries.slice(from, from + countMax)))
        );
      } catch (error) {
        const { whenFull } = this.#parts;
        if (!(error instanceof NoRoom) || whenFull === undefined) throw error;
        try {
          await whenFull();
        } catch (cause) {
          throw await this.#fail(cause, this.#applied.index + 1);
        }
      }
    }
  }

  /** The short way (apply-script.ts): one transaction in one call. Undefined, and nothing happened, if it is not to be had. */
  async #applyScript(entries: readonly CommittedEntry[]): Promise<readonly Applied[] | undefined> {
    const { writer } = this.#parts;
    const sessions = this.#sessions;
    const plan = planScript(entries, sessions, BATCH_ENTRIES_MAX);
    if (plan.applied.length === 0) return undefined;
    let row = this.#applied;
    for (const [at, result] of plan.applied.entries())
      row = { index: result.index, term: entries[at]?.term ?? row.term, hash: nextHash(row.hash, result) };
    const kept = { written: plan.sessions, removed: [], forgottenTo: sessions.forgottenTo };
    try {
      await writer.script(["BEGIN IMMEDIATE", ...plan.statements, ...closingStatements(row, kept)].join(";\n"));
    } catch (error) {
      if (!isDatabaseError(error) || error.kind !== "result") throw await this.#broken(error, this.#applied.index + 1);
      try {
        await writer.run("ROLLBACK", []);
      } catch (cause) {
        throw await this.#fail(cause, this.#applied.index + 1);
      }
      return undefined;
    }
    for (const session of plan.sessions) sessions.record(session);
    const { written, removed } = sessions.takeChanges();
    assert(written.length === plan.sessions.length && removed.length === 0, "a script kept other sessions than memory");
    await this.#applyDone(row, plan.tags);
    return plan.applied;
  }

  async #applyDone(row: AppliedRow, tags: ReadonlySet<string>): Promise<void> {
    this.#applied = row;
    if (tags.size > 0) for (const listener of this.#listeners) listener([...tags], row.index);
    if (row.index % CHECK_ENTRIES === 0) await this.#checks.at(row.index, row.hash);
    await this.#boundWal();
  }

  /** One transaction: of `entries` as many as fit, with index, hash and sessions. */
  async #applyBatch(entries: readonly CommittedEntry[]): Promise<Applied[]> {
    const { writer } = this.#parts;
    const sessions = this.#sessions;
    const applied: Applied[] = [];
    const tags = new Set<string>();
    let row = this.#applied;
    const deadline = performance.now() + BATCH_MS_MAX;
    try {
      await writer.run("BEGIN IMMEDIATE", []);
      for (const entry of entries) {
        if (applied.length > 0 && performance.now() > deadline) break;
        const result = await this.#applyOne(entry, tags);
        applied.push(result);
        row = { index: entry.index, term: entry.term, hash: nextHash(row.hash, result) };
      }
      await commitTables(writer, row, sessions);
    } catch (error) {
      throw await this.#broken(error, row.index + 1);
    }
    await this.#applyDone(row, tags);
    return applied;
  }

  async #applyOne(committed: CommittedEntry, tags: Set<string>): Promise<Applied> {
    const { index } = committed;
    if (committed.kind === "membership" || committed.data.length === 0) {
      return { index, requestId: "", outcome: { kind: "done", index, rows: [], changes: [] } };
    }
    const sessions = this.#sessions;
    const entry = decodeEntry(committed.data);
    const { requestId } = entry;
    const answer = sessions.look(requestId);
    switch (answer.kind) {
      case "malformed":
        return {
          index,
          requestId,
          outcome: { kind: "rejected", index, by: "constraint", why: "malformed request id" },
        };
      case "expired":
        return { index, requestId, outcome: { kind: "expired" } };
      case "known":
        return { index, requestId, outcome: answer.outcome };
      case "new": {
        const outcome = await this.#applyNew(index, entry);
        const { client, sequence } = answer;
        sessions.record({ client, sequence, at: index, outcome: JSON.stringify(outcome) });
        if (outcome.kind === "done") for (const tag of entry.tags) tags.add(tag);
        return { index, requestId, outcome };
      }
    }
  }

  async #applyNew(index: number, entry: Entry): Promise<Outcome> {
    const { writer, featureLevel } = this.#parts;
    const why = levelObstacle(entry, this.#level, featureLevel);
    if (why !== undefined) return { kind: "rejected", index, by: "guard", why };
    const outcome = await applyEntry(writer, index, entry);
    if (entry.level === undefined || outcome.kind !== "done") return outcome;
    await writer.run(RAISE_LEVEL, [entry.level]);
    // If this transaction is rolled back, the level is read anew with the rest.
    this.#level = entry.level;
    return outcome;
  }

  /** What a batch ends with that failed on this box: a full disk is waited for, everything else is final. */
  async #broken(error: unknown, index: number): Promise<Error> {
    if (!isFull(error) || this.#parts.whenFull === undefined) return this.#fail(error, index);
    const { writer } = this.#parts;
    try {
      // SQLite has ended the transaction already, or this does.
      await writer.run("ROLLBACK", []).catch(() => undefined);
      // What memory noted of the batch never happened. The database says where it stands, as after a restart.
      const { applied, sessions, level } = await readTables(writer);
      assert(
        applied.index === this.#applied.index && applied.hash === this.#applied.hash,
        `a batch that found no room was committed: ${applied.index} after ${this.#applied.index}`,
      );
      this.#sessions = sessions;
      this.#level = level;
      return new NoRoom("the disk is full", { cause: error });
    } catch (cause) {
      return this.#fail(cause, index);
    }
  }

  /**
   * This box cannot do what every box must do: it stops before `applied` moves. SQLite may have ended the transaction
   * already, so nothing more is written; the rollback is for the lock only and may fail.
   */
  async #fail(cause: unknown, index: number): Promise<Error> {
    const full = isFull(cause) ? ": the disk is full" : "";
    const code = cause instanceof CodedError && cause.code === "feature-level" ? cause.code : "state-failed";
    this.#failure = new CodedError(code, `Cannot apply entry ${index} on this box${full}`, cause);
    await this.#parts.writer.run("ROLLBACK", []).catch(() => undefined);
    return this.#failure;
  }

  /** Durable is what was applied *before* the call, if all of the WAL reached the database. */
  async #checkpoint(mode: "PASSIVE" | "TRUNCATE"): Promise<boolean> {
    const { index } = this.#applied;
    const [row] = await this.#parts.writer.all(`PRAGMA wal_checkpoint(${mode})`, []);
    const [busy, pages, moved] = row ?? [];
    const complete = busy === 0 && pages === moved;
    if (complete) this.#durableAppliedIndex = index;
    return complete;
  }

  /** A reader that is never without a snapshot keeps the WAL growing: past the bound, reads wait once for its truncation. */
  async #boundWal(): Promise<void> {
    // A copy reads the WAL until it is done: a truncation would hold the writer for it, in vain.
    if (this.#isCopying || walBytes(this.#parts.path) <= this.#parts.walBytesMax) return;
    try {
      await this.#parts.readers.paused(() => this.#checkpoint("TRUNCATE"));
    } catch (error) {
      // The WAL is whole and stays: it is truncated when there is room to move it into the database.
      if (isFull(error) && this.#parts.whenFull !== undefined) return;
      throw await this.#fail(error, this.#applied.index + 1);
    }
  }
}

function isFull(error: unknown): boolean {
  return isDatabaseError(error) && error.result.startsWith("SQLITE_FULL");
}

function walBytes(path: string): number {
  return fs.statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0;
}

/** The running hash over each entry's effects: its index, request and outcome. */
function nextHash(previous: string, { index, requestId, outcome }: Applied): string {
  return createHash("sha256")
    .update(`${previous}\n${index}\n${requestId}\n${JSON.stringify(outcome)}`)
    .digest("hex");
}
