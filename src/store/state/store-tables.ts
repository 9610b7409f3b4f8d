import { CodedError } from "../../base/error.ts";
import { SESSION_WINDOW, type SessionRow, Sessions } from "./sessions.ts";
import type { Database, DatabaseError } from "./types.ts";

const FORMAT_VERSION = 1;

/**
 * Foreign keys stay off: a deferred one fails at COMMIT, where no single entry can be rejected for it; guards check
 * references. A checkpoint every 4 MiB of WAL is SQLite's default and kept.
 */
const WRITER_PRAGMAS = [
  "PRAGMA journal_mode = WAL",
  "PRAGMA synchronous = NORMAL",
  "PRAGMA foreign_keys = OFF",
  "PRAGMA temp_store = MEMORY",
  "PRAGMA cache_size = -16000",
];

const TABLES = [
  `CREATE TABLE IF NOT EXISTS ringfence_state (
     id INTEGER PRIMARY KEY CHECK (id = 1), format INTEGER NOT NULL,
     applied_index INTEGER NOT NULL, applied_term INTEGER NOT NULL, hash TEXT NOT NULL, forgotten_to INTEGER NOT NULL)`,
  `CREATE TABLE IF NOT EXISTS ringfence_session (
     client TEXT NOT NULL, slot INTEGER NOT NULL, sequence INTEGER NOT NULL, at INTEGER NOT NULL, outcome TEXT NOT NULL,
     PRIMARY KEY (client, slot)) WITHOUT ROWID`,
  "CREATE TABLE IF NOT EXISTS ringfence_level (id INTEGER PRIMARY KEY CHECK (id = 1), level INTEGER NOT NULL)",
  "INSERT OR IGNORE INTO ringfence_level VALUES (1, 1)",
  `INSERT OR IGNORE INTO ringfence_state VALUES (1, ${FORMAT_VERSION}, 0, 0, '', 0)`,
];

/** What one transaction moves besides the entries' own effects. */
export interface AppliedRow {
  readonly index: number;
  readonly term: number;
  readonly hash: string;
}

/** Where a database stands. */
export interface ReadTables {
  readonly applied: AppliedRow;
  readonly sessions: Sessions;
  /** The feature level in force. */
  readonly level: number;
}

/** Within the entry's own transaction. */
export const RAISE_LEVEL = "UPDATE ringfence_level SET level = ? WHERE id = 1";

/** Sets the writer's connection up and reads where it stands. */
export async function openTables(database: Database): Promise<ReadTables & { readonly sqliteVersion: string }> {
  for (const pragma of WRITER_PRAGMAS) await database.all(pragma, []);
  for (const table of TABLES) await database.run(table, []);
  const [version] = await database.allRows("SELECT sqlite_version() AS version", []);
  return { ...(await readTables(database)), sqliteVersion: String(version?.["version"]) };
}

/** Where the database stands: what was committed, and nothing else. */
export async function readTables(database: Database): Promise<ReadTables> {
  const [row] = await database.allRows("SELECT * FROM ringfence_state", []);
  if (row?.["format"] !== FORMAT_VERSION) {
    throw new CodedError(
      "state-failed",
      `Cannot open the state: format ${String(row?.["format"])} is not ${FORMAT_VERSION}`,
    );
  }
  const sessions = await database.allRows(
    "SELECT client, sequence, at, outcome FROM ringfence_session ORDER BY at",
    [],
  );
  const [level] = await database.all("SELECT level FROM ringfence_level", []);
  return {
    applied: { index: Number(row["applied_index"]), term: Number(row["applied_term"]), hash: String(row["hash"]) },
    sessions: new Sessions(sessions.map(sessionRow), Number(row["forgotten_to"])),
    level: Number(level?.[0]),
  };
}

/**
 * Ends the open transaction: sessions, applied row and COMMIT in one go, because each call to the database costs a turn
 * through the thread pool. The values are our own numbers, hex, and JSON.
 */
export function commitTables(database: Database, applied: AppliedRow, sessions: Sessions): Promise<void> {
  const { written, removed } = sessions.takeChanges();
  return database.script(closingStatements(applied, { written, removed, forgottenTo: sessions.forgottenTo }).join(";"));
}

/** The last statements of a transaction. */
export function closingStatements(
  applied: AppliedRow,
  sessions: {
    readonly written: readonly SessionRow[];
    readonly removed: readonly string[];
    readonly forgottenTo: number;
  },
): string[] {
  const { written, removed, forgottenTo } = sessions;
  const statements: string[] = [];
  if (removed.length > 0) {
    statements.push(`DELETE FROM ringfence_session WHERE client IN (SELECT value FROM json_each(${json(removed)}))`);
  }
  if (written.length > 0) {
    const rows = written.map((row) => [row.client, row.sequence % SESSION_WINDOW, row.sequence, row.at, row.outcome]);
    statements.push(
      `INSERT OR REPLACE INTO ringfence_session
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM json_each(${json(rows)}) ORDER BY key`,
    );
  }
  statements.push(
    `UPDATE ringfence_state SET applied_index = ${applied.index}, applied_term = ${applied.term}, hash = '${applied.hash}',
       forgotten_to = ${forgottenTo} WHERE id = 1`,
    "COMMIT",
  );
  return statements;
}

/** JSON as an SQL text literal; it has no NUL, which would end the script. */
function json(value: unknown): string {
  return `'${JSON.stringify(value).replaceAll("'", "''")}'`;
}

function sessionRow(row: Readonly<Record<string, unknown>>): SessionRow {
  return {
    client: String(row["client"]),
    sequence: Number(row["sequence"]),
    at: Number(row["at"]),
    outcome: String(row["outcome"]),
  };
}

/** Narrows what a {@link Database} rejects with. */
export function isDatabaseError(error: unknown): error is DatabaseError {
  return error instanceof Error && "kind" in error && "result" in error;
}
