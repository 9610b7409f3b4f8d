import { decodeEntry, type Entry, type Outcome, type SqlValue } from "../../base/entry.ts";
import { checkGuard, checkStatement } from "./check-statement.ts";
import { SESSION_CLIENTS_MAX, SESSION_WINDOW, type SessionRow, type Sessions } from "./sessions.ts";
import { statementShape } from "./sql-words.ts";
import type { Applied, CommittedEntry } from "./types.ts";
import { isWide } from "./wide-integers.ts";

/** Entries as one text: their outcomes *if* the text runs to its end, and what it keeps of their requests. */
export interface ApplyScript {
  readonly statements: readonly string[];
  readonly applied: readonly Applied[];
  readonly sessions: readonly SessionRow[];
  readonly tags: ReadonlySet<string>;
}

/**
 * Every call to the database costs two turns through the thread pool, far more than its work. So the entries at the head
 * of `entries` that can be foreseen, one plain change of one row each (nearly all of them), are written as one text. It
 * is a wager: each guard, and each change count, is checked inside the text, which fails when one is not as foreseen.
 * Then all of it is rolled back and the entries are applied one by one, so the wager never decides what an entry does.
 * Values are literals here: only those that SQLite reads back as exactly what it would have been given as a bound value.
 */
export function planScript(entries: readonly CommittedEntry[], sessions: Sessions, entriesMax: number): ApplyScript {
  const statements: string[] = [];
  const applied: Applied[] = [];
  const rows: SessionRow[] = [];
  const tags = new Set<string>();
  const requests = new FreshRequests(sessions);
  // The change count of one entry and the guards of the next are one question.
  let open: string[] = [];
  for (const { index, kind, data } of entries) {
    if (applied.length >= entriesMax) break;
    if (kind === "membership" || data.length === 0) {
      applied.push({ index, requestId: "", outcome: done(index, 0) });
      continue;
    }
    const entry = readEntry(data);
    const text = entry === undefined ? undefined : entryText(entry);
    if (entry === undefined || text === undefined) break;
    const request = requests.take(entry.requestId);
    if (request === undefined) break;
    const questions = [...open, ...text.guards];
    if (questions.length > 0) statements.push(demand(questions));
    open = [];
    for (const statement of text.statements) {
      if (open.length > 0) statements.push(demand(open));
      statements.push(statement);
      open = ["changes() = 1"];
    }
    const outcome = done(index, text.statements.length);
    applied.push({ index, requestId: entry.requestId, outcome });
    rows.push({ ...request, at: index, outcome: JSON.stringify(outcome) });
    for (const tag of entry.tags) tags.add(tag);
  }
  if (open.length > 0) statements.push(demand(open));
  return { statements, applied, sessions: rows, tags };
}

/** Undefined for bytes that are no entry: the long way says so, with the entry's index. */
function readEntry(data: Uint8Array): Entry | undefined {
  try {
    return decodeEntry(data);
  } catch {
    return undefined;
  }
}

function done(index: number, statements: number): Outcome {
  const each = Array.from({ length: statements });
  return { kind: "done", index, rows: each.map(() => []), changes: each.map(() => 1) };
}

/** Fails (malformed JSON) unless all hold. A value that is made at run time, so that nothing is computed beforehand. */
function demand(conditions: readonly string[]): string {
  return `SELECT json(CASE WHEN ${conditions.join(" AND ")} THEN '0' ELSE 'not as foreseen' END)`;
}

/** Requests that the session table has no word on, nor on each other: none of them is forgotten or forgets another one. */
class FreshRequests {
  readonly #sessions: Sessions;
  readonly #taken = new Map<string, Set<number>>();
  #newClients = 0;

  constructor(sessions: Sessions) {
    this.#sessions = sessions;
  }

  take(requestId: string): { readonly client: string; readonly sequence: number } | undefined {
    const answer = this.#sessions.look(requestId);
    if (answer.kind !== "new") return undefined;
    const { client, sequence } = answer;
    const taken = this.#taken.get(client);
    if (taken !== undefined) {
      // Requests of one client overtake each other on their way into the log, but not by more than its window.
      const tooFar = [...taken].some((other) => Math.abs(sequence - other) >= SESSION_WINDOW);
      if (tooFar || taken.has(sequence)) return undefined;
      taken.add(sequence);
      return { client, sequence };
    }
    if (!this.#sessions.hasClient(client)) {
      if (this.#sessions.clientCount + this.#newClients >= SESSION_CLIENTS_MAX) return undefined;
      this.#newClients++;
    }
    this.#taken.set(client, new Set([sequence]));
    return { client, sequence };
  }
}

interface EntryText {
  readonly guards: readonly string[];
  readonly statements: readonly string[];
}

/** Undefined for an entry that only the long way can apply. */
function entryText(entry: Entry): EntryText | undefined {
  if (entry.level !== undefined) return undefined;
  const guards: string[] = [];
  for (const { sql, values, expect } of entry.guards) {
    const query = checkGuard(sql) === undefined ? inline(sql, values) : undefined;
    const condition = query === undefined ? undefined : guardCondition(query, expect);
    if (condition === undefined) return undefined;
    guards.push(condition);
  }
  const statements: string[] = [];
  for (const { sql, values } of entry.statements) {
    if (checkStatement(sql) !== undefined) return undefined;
    const { changesRows, returnsRows } = statementShape(sql);
    const text = changesRows && !returnsRows ? inline(sql, values) : undefined;
    if (text === undefined) return undefined;
    statements.push(text);
  }
  return { guards, statements };
}

/** True if the query gives exactly these rows; undefined for more than one. Types count, as they do in JavaScript. */
function guardCondition(query: string, expect: readonly (readonly SqlValue[])[]): string | undefined {
  const [row, second] = expect;
  if (row === undefined) return `NOT EXISTS (${query})`;
  if (second !== undefined || row.length === 0) return undefined;
  const columns = row.map((_, at) => `c${at}`);
  const conditions: string[] = [];
  for (const [at, value] of row.entries()) {
    const text = literal(value);
    if (text === undefined) return undefined;
    if (value === null) conditions.push(`c${at} IS NULL`);
    else if (typeof value === "number") conditions.push(`typeof(c${at}) = 'integer' AND c${at} IS ${text}`);
    // A column's own collation could call two texts the same.
    else conditions.push(`typeof(c${at}) = 'text' AND c${at} COLLATE BINARY IS ${text}`);
  }
  return `(WITH guard(${columns.join(", ")}) AS (${query}) SELECT count(*) = 1 AND min(${conditions.join(" AND ")}) FROM guard)`;
}

/** Texts whose pieces are kept; the front-end has some three hundred. */
const CACHE_ENTRIES_MAX = 1024;
const pieces = new Map<string, readonly string[] | undefined>();

/** The statement with its values in place. */
function inline(sql: string, values: readonly SqlValue[]): string | undefined {
  if (!pieces.has(sql)) {
    if (pieces.size >= CACHE_ENTRIES_MAX) pieces.clear();
    pieces.set(sql, piecesOf(sql));
  }
  const parts = pieces.get(sql);
  if (parts === undefined || parts.length !== values.length + 1) return undefined;
  let text = parts[0] ?? "";
  for (const [at, value] of values.entries()) {
    const between = literal(value);
    if (between === undefined) return undefined;
    text += `${between}${parts[at + 1] ?? ""}`;
  }
  return text;
}

const STRING_OR_PARAMETER = /'(?:[^']|'')*'|\?/g;
/** Whatever could make a text mean something else beside others: quotes, comments, separators, named and numbered parameters. */
const NOT_PLAIN = /['"`[\]{};@$:#\\\0]|--|\/\*|\?\d/;
/** A number means a column's place there, and a bound value does not. */
const BY_PLACE = /\b(?:ORDER|GROUP)\b/i;

/** The text between its parameters; undefined if it is not plain. */
function piecesOf(sql: string): readonly string[] | undefined {
  const rest = sql.replaceAll(STRING_OR_PARAMETER, (token) => (token === "?" ? "?" : " "));
  if (NOT_PLAIN.test(rest) || BY_PLACE.test(rest)) return undefined;
  const parts: string[] = [];
  let from = 0;
  for (const match of sql.matchAll(STRING_OR_PARAMETER)) {
    if (match[0] !== "?") continue;
    parts.push(sql.slice(from, match.index));
    from = match.index + 1;
  }
  parts.push(sql.slice(from));
  return parts;
}

/** Blanks around it keep it apart from its neighbours: `a-?` with −1 would begin a comment. */
function literal(value: SqlValue): string | undefined {
  if (value === null) return " NULL ";
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) return undefined;
    return isWide(value) ? ` CAST('${value}' AS INTEGER) ` : ` (${value}) `;
  }
  // A NUL would end the text; half a character is replaced on its way, where nobody promises how.
  if (value.includes("\0") || !value.isWellFormed()) return undefined;
  return ` '${value.replaceAll("'", "''")}' `;
}
