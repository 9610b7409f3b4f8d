import type { Entry, Outcome, SqlValue } from "../../base/entry.ts";
import { checkGuard, checkStatement } from "./check-statement.ts";
import { statementShape } from "./sql-words.ts";
import { isDatabaseError } from "./store-tables.ts";
import type { Database } from "./types.ts";

/** Rows that one entry may return, as JSON: they are kept for 65,536 requests. */
export const OUTCOME_BYTES_MAX = 16 * 1024;

/**
 * Runs one entry inside the open transaction: guards, then statements. A refusal leaves nothing behind. Throws whatever is
 * not the same on every box; then the transaction must not be committed.
 *
 * Guards come first and change nothing, and SQLite undoes a single failed statement by itself: only an entry that can
 * fail after a change needs a savepoint.
 */
export async function applyEntry(database: Database, index: number, entry: Entry): Promise<Outcome> {
  const rejected = (by: "guard" | "constraint", why: string): Outcome => ({ kind: "rejected", index, by, why });
  for (const guard of entry.guards) {
    const refusal = checkGuard(guard.sql);
    if (refusal !== undefined) return rejected("constraint", refusal);
    const rows = await result(database.all(guard.sql, guard.values));
    if ("failed" in rows) return rejected("constraint", rows.failed);
    if (!sameRows(rows.value, guard.expect)) return rejected("guard", guard.why);
  }
  for (const { sql } of entry.statements) {
    const refusal = checkStatement(sql);
    if (refusal !== undefined) return rejected("constraint", refusal);
  }

  const savepoint = entry.statements.length > 1 || entry.statements.some(({ sql }) => statementShape(sql).returnsRows);
  if (savepoint) await database.run("SAVEPOINT entry", []);
  const outcome = await runStatements(database, index, entry);
  if (savepoint) {
    if (outcome.kind === "rejected") await database.run("ROLLBACK TO entry", []);
    await database.run("RELEASE entry", []);
  }
  return outcome;
}

async function runStatements(database: Database, index: number, entry: Entry): Promise<Outcome> {
  const rows: SqlValue[][][] = [];
  const changes: number[] = [];
  for (const { sql, values } of entry.statements) {
    const { changesRows, returnsRows } = statementShape(sql);
    const done = returnsRows
      ? await result(database.all(sql, values).then((all) => ({ all, changed: changesRows ? all.length : 0 })))
      : await result(database.run(sql, values).then((run) => ({ all: [], changed: run.changes })));
    if ("failed" in done) return { kind: "rejected", index, by: "constraint", why: done.failed };
    rows.push(done.value.all);
    changes.push(done.value.changed);
  }
  if (rows.some((some) => some.length > 0) && JSON.stringify(rows).length > OUTCOME_BYTES_MAX) {
    return { kind: "rejected", index, by: "constraint", why: `the entry returns more than ${OUTCOME_BYTES_MAX} bytes` };
  }
  return { kind: "done", index, rows, changes };
}

/** An error that every box gets from the same input becomes a value; any other is thrown. */
async function result<T>(work: Promise<T>): Promise<{ readonly value: T } | { readonly failed: string }> {
  try {
    return { value: await work };
  } catch (error) {
    if (isDatabaseError(error) && error.kind === "result") return { failed: error.message };
    throw error;
  }
}

function sameRows(rows: readonly (readonly SqlValue[])[], expected: readonly (readonly SqlValue[])[]): boolean {
  return (
    rows.length === expected.length &&
    rows.every((row, at) => {
      const other = expected[at];
      return (
        other !== undefined && row.length === other.length && row.every((value, column) => value === other[column])
      );
    })
  );
}
