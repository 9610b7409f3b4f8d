import sqlite3 from "sqlite3";
import type { SqlValue } from "../../base/entry.ts";
import { statementShape } from "./sql-words.ts";
import type { Database, DatabaseError, DatabaseErrorKind, Row, RunResult } from "./types.ts";
import { bindWideIntegers } from "./wide-integers.ts";

/** Prepared statements kept by text; the front-end has some three hundred. */
const STATEMENTS_MAX = 512;

/**
 * Errors that the same input gives on every box. SQLITE_ERROR is among them: it is what a text gets that does not fit the
 * schema, and stopping for it would let one wrong entry stop every box for good.
 */
const RESULT_ERRORS = new Set([sqlite3.ERROR, sqlite3.CONSTRAINT, sqlite3.MISMATCH, sqlite3.TOOBIG, sqlite3.RANGE]);

/**
 * The `sqlite3` package as a {@link Database}. It runs each statement on the thread pool. Its `serialize()` orders only
 * calls on the database, not on prepared statements (*tried*: BEGIN and INSERT overtake each other), therefore one
 * statement at a time is handed over here; that costs 25 µs a statement, no more than the package's own queue.
 */
export async function openSqlitePackage(path: string, mode: "read" | "write"): Promise<Database> {
  const flags = mode === "read" ? sqlite3.OPEN_READONLY : sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE;
  const database = await new Promise<sqlite3.Database>((resolve, reject) => {
    const opened = new sqlite3.Database(path, flags, (error) => {
      if (error === null) resolve(opened);
      else reject(databaseError(error));
    });
  });
  return new PackageDatabase(database);
}

class PackageDatabase implements Database {
  readonly #database: sqlite3.Database;
  readonly #statements = new Map<string, sqlite3.Statement>();
  #tail: Promise<unknown> = Promise.resolve();

  constructor(database: sqlite3.Database) {
    this.#database = database;
  }

  run(sql: string, values: readonly SqlValue[]): Promise<RunResult> {
    return this.#inOrder(sql, values, (statement, bound, settle) =>
      statement.run(bound, function (this: sqlite3.RunResult, error: Error | null) {
        // SQLite keeps the last count for statements that change nothing by themselves.
        settle(error, { changes: statementShape(sql).changesRows ? this.changes : 0 });
      }),
    );
  }

  async all(sql: string, values: readonly SqlValue[]): Promise<SqlValue[][]> {
    const rows = await this.allRows(sql, values);
    return rows.map((row) => Object.values(row));
  }

  allRows(sql: string, values: readonly SqlValue[]): Promise<Row[]> {
    return this.#inOrder<Row[]>(sql, values, (statement, bound, settle) =>
      statement.all(bound, (error: Error | null, rows: unknown[]) => settle(error, rows as Row[])),
    ).then((rows) => {
      checkRows(rows);
      return rows;
    });
  }

  script(sql: string): Promise<void> {
    const result = this.#tail.then(
      () =>
        new Promise<void>((resolve, reject) => {
          this.#database.exec(sql, (error) => (error === null ? resolve() : reject(databaseError(error))));
        }),
    );
    this.#tail = result.catch(() => undefined);
    return result;
  }

  interrupt(): void {
    this.#database.interrupt();
  }

  async close(): Promise<void> {
    await this.#tail.catch(() => undefined);
    for (const statement of this.#statements.values()) statement.finalize();
    this.#statements.clear();
    await new Promise<void>((resolve, reject) => {
      this.#database.close((error) => (error === null ? resolve() : reject(databaseError(error))));
    });
  }

  #inOrder<T>(
    sql: string,
    values: readonly SqlValue[],
    start: (
      statement: sqlite3.Statement,
      bound: readonly SqlValue[],
      settle: (error: Error | null, value: T) => void,
    ) => void,
  ): Promise<T> {
    const result = this.#tail.then(async () => {
      checkValues(values);
      const bound = bindWideIntegers(sql, values);
      const statement = this.#statements.get(bound.sql) ?? (await this.#prepare(bound.sql));
      return new Promise<T>((resolve, reject) => {
        start(statement, bound.values, (error, value) =>
          error === null ? resolve(value) : reject(databaseError(error)),
        );
      });
    });
    this.#tail = result.catch(() => undefined);
    return result;
  }

  #prepare(sql: string): Promise<sqlite3.Statement> {
    return new Promise((resolve, reject) => {
      const statement = this.#database.prepare(sql, (error: Error | null) => {
        if (error !== null) {
          reject(databaseError(error));
          return;
        }
        if (this.#statements.size >= STATEMENTS_MAX) this.#evict();
        this.#statements.set(sql, statement);
        resolve(statement);
      });
    });
  }

  #evict(): void {
    const [oldest] = this.#statements;
    if (oldest === undefined) return;
    oldest[1].finalize();
    this.#statements.delete(oldest[0]);
  }
}

const ARRAY_INDEX = /^\d+$/;

/** The package rounds integers above 2^53 and stores a bigint as NULL, without an error either time. */
function checkValues(values: readonly unknown[]): void {
  for (const [at, value] of values.entries()) {
    if (value === null || typeof value === "string") continue;
    if (
      typeof value === "number" &&
      Number.isFinite(value) &&
      (!Number.isInteger(value) || Number.isSafeInteger(value))
    ) {
      continue;
    }
    throw error(
      "result",
      "VALUE",
      `Cannot bind value ${at + 1}: ${typeof value} ${String(value)} is no text, safe integer or null`,
    );
  }
}

function checkRows(rows: readonly Row[]): void {
  for (const row of rows) {
    let columns = 0;
    let indexLike = false;
    for (const name in row) {
      columns++;
      // JavaScript puts such names first, whatever the query's order.
      if (ARRAY_INDEX.test(name)) indexLike = true;
      const value: unknown = row[name];
      if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) {
        throw error("result", "VALUE", `Cannot read column "${name}": ${value} is no safe integer`);
      }
      if (typeof value === "object" && value !== null) {
        throw error("result", "VALUE", `Cannot read column "${name}": bytes are kept as text`);
      }
    }
    if (indexLike && columns > 1) throw error("result", "VALUE", "Cannot read rows: a column needs a name (AS)");
  }
}

function databaseError(cause: Error): DatabaseError {
  const { errno, code } = cause as { errno?: number; code?: string };
  const kind = errno === sqlite3.INTERRUPT ? "interrupted" : RESULT_ERRORS.has(errno ?? -1) ? "result" : "local";
  return error(kind, code ?? "SQLITE_UNKNOWN", cause.message);
}

function error(kind: DatabaseErrorKind, result: string, message: string): DatabaseError {
  return Object.assign(new Error(message), { kind, result });
}
