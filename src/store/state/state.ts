import { createHash } from "node:crypto";
import * as fs from "node:fs";
import { assert } from "../../base/assert.ts";
import { decodeEntry, type Outcome, type SqlValue } from "../../base/entry.ts";
import { CodedError } from "../../base/error.ts";
import { applyEntry } from "./apply-entry.ts";
import { planScript } from "./apply-script.ts";
import { Readers } from "./readers.ts";
import type { Sessions } from "./sessions.ts";
import { openSqlitePackage } from "./sqlite-package.ts";
import { type AppliedRow, closingStatements, commitTables, isDatabaseError, openTables } from "./store-tables.ts";
import type {
  Applied,
  AppliedListener,
  CommittedEntry,
  Database,
  Row,
  State,
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
 * applied index 0. Throws CodedError "state-failed".
 */
export async function openState(directory: string, options: StateOptions): Promise<State> {
  const path = `${directory}/${STATE_FILE}`;
  const openDatabase = options.openDatabase ?? openSqlitePackage;
  try {
    fs.mkdirSync(directory, { recursive: true });
    const writer = await openDatabase(path, "write");
    const { applied, sessions, sqliteVersion } = await openTables(writer);
    const readers = new Readers(
      path,
      openDatabase,
      options.readersMax ?? READERS_MAX,
      options.readTimeoutMs ?? READ_TIMEOUT_MS,
    );
    return new SqliteState({
      path,
      writer,
      readers,
      sessions,
      applied,
      comparable: `${options.featureLevel}/${sqliteVersion}`,
      walBytesMax: options.walBytesMax ?? WAL_BYTES_MAX,
    });
  } catch (error) {
    throw new CodedError("state-failed", `Cannot open the state in "${directory}"`, error);
  }
}

interface Parts {
  readonly path: string;
  readonly writer: Database;
  readonly readers: Readers;
  readonly sessions: Sessions;
  readonly applied: AppliedRow;
  readonly comparable: string;
  readonly walBytesMax: number;
}

class SqliteState implements State {
  readonly #parts: Parts;
  #applied: AppliedRow;
  #durableAppliedIndex: number;
  #listeners: AppliedListener[] = [];
  #failure: CodedError | undefined;
  #closing: Promise<void> | undefined;
  /** Everything that uses the writer's connection queues here. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#applied = parts.applied;
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

  apply(entries: readonly CommittedEntry[]): Promise<Applied[]> {
    return this.#inOrder(async () => {
      for (const [at, { index }] of entries.entries()) {
        assert(index === this.#applied.index + 1 + at, `entry ${index} applied after ${this.#applied.index + at}`);
      }
      const applied: Applied[] = [];
      while (applied.length < entries.length) {
        const batch =
          (await this.#applyScript(entries.slice(applied.length, applied.length + BATCH_ENTRIES_MAX))) ??
          (await this.#applyBatch(entries, applied.length));
        applied.push(...batch);
      }
      return applied;
    });
  }

  outcomeOf(requestId: string): Outcome | undefined {
    const answer = this.#parts.sessions.look(requestId);
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

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#tail;
    this.#failure ??= new CodedError("state-failed", "Cannot use the state: it is closed");
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

  /** The short way (apply-script.ts): one transaction in one call. Undefined, and nothing happened, if it is not to be had. */
  async #applyScript(entries: readonly CommittedEntry[]): Promise<readonly Applied[] | undefined> {
    const { writer, sessions } = this.#parts;
    const plan = planScript(entries, sessions, BATCH_ENTRIES_MAX);
    if (plan.applied.length === 0) return undefined;
    let row = this.#applied;
    for (const [at, result] of plan.applied.entries())
      row = { index: result.index, term: entries[at]?.term ?? row.term, hash: nextHash(row.hash, result) };
    const kept = { written: plan.sessions, removed: [], forgottenTo: sessions.forgottenTo };
    try {
      await writer.script(["BEGIN IMMEDIATE", ...plan.statements, ...closingStatements(row, kept)].join(";\n"));
    } catch (error) {
      if (!isDatabaseError(error) || error.kind !== "result") throw await this.#fail(error, this.#applied.index + 1);
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
    await this.#boundWal();
  }

  /** One transaction: entries from `from` on, as many as fit, with index, hash and sessions. */
  async #applyBatch(entries: readonly CommittedEntry[], from: number): Promise<Applied[]> {
    const { writer, sessions } = this.#parts;
    const applied: Applied[] = [];
    const tags = new Set<string>();
    let row = this.#applied;
    const deadline = performance.now() + BATCH_MS_MAX;
    try {
      await writer.run("BEGIN IMMEDIATE", []);
      for (let at = from; at < entries.length && applied.length < BATCH_ENTRIES_MAX; at++) {
        const entry = entries[at];
        if (entry === undefined || (applied.length > 0 && performance.now() > deadline)) break;
        const result = await this.#applyOne(entry, tags);
        applied.push(result);
        row = { index: entry.index, term: entry.term, hash: nextHash(row.hash, result) };
      }
      await commitTables(writer, row, sessions);
    } catch (error) {
      throw await this.#fail(error, row.index + 1);
    }
    await this.#applyDone(row, tags);
    return applied;
  }

  async #applyOne(committed: CommittedEntry, tags: Set<string>): Promise<Applied> {
    const { index } = committed;
    if (committed.kind === "membership" || committed.data.length === 0) {
      return { index, requestId: "", outcome: { kind: "done", index, rows: [], changes: [] } };
    }
    const { sessions, writer } = this.#parts;
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
        const outcome = await applyEntry(writer, index, entry);
        const { client, sequence } = answer;
        sessions.record({ client, sequence, at: index, outcome: JSON.stringify(outcome) });
        if (outcome.kind === "done") for (const tag of entry.tags) tags.add(tag);
        return { index, requestId, outcome };
      }
    }
  }

  /**
   * This box cannot do what every box must do: it stops before `applied` moves. SQLite may have ended the transaction
   * already, so nothing more is written; the rollback is for the lock only and may fail.
   */
  async #fail(cause: unknown, index: number): Promise<Error> {
    const full = isDatabaseError(cause) && cause.result.startsWith("SQLITE_FULL") ? ": the disk is full" : "";
    this.#failure = new CodedError("state-failed", `Cannot apply entry ${index} on this box${full}`, cause);
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
    if (walBytes(this.#parts.path) <= this.#parts.walBytesMax) return;
    try {
      await this.#parts.readers.paused(() => this.#checkpoint("TRUNCATE"));
    } catch (error) {
      throw await this.#fail(error, this.#applied.index + 1);
    }
  }
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
