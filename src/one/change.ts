import type { Change, Guard, SqlValue, Statement } from "../base/entry.ts";

/** What a transition of an object gives: the change to propose, or why this row may not make that step. */
export type Transition = { readonly ok: true; readonly change: Change } | { readonly ok: false; readonly why: string };

/** A statement with its bound values. */
export function statement(sql: string, ...values: SqlValue[]): Statement {
  return { sql, values };
}

/** Holds while the row still has the version that the decision was made on. `table` is ours, never a caller's text. */
export function versionGuard(table: string, row: { readonly id: number; readonly version: number }): Guard {
  return {
    sql: `SELECT version FROM ${table} WHERE id=?`,
    values: [row.id],
    expect: [[row.version]],
    why: `${table} ${row.id} was changed meanwhile`,
  };
}

/** Both changes in one entry: all guards, then all statements in order, each tag once. */
export function merge(...changes: readonly Change[]): Change {
  return {
    guards: changes.flatMap((change) => change.guards),
    statements: changes.flatMap((change) => change.statements),
    tags: [...new Set(changes.flatMap((change) => change.tags))],
  };
}
