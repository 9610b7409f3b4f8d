import type { SqlValue } from "../base/entry.ts";

/** A row as SQLite gives it: column name to value. */
export type Row = Readonly<Record<string, SqlValue>>;

/** A read of the local state; `R` is the shape of one of its rows, by the text of its columns. */
export interface Query<R = unknown> {
  readonly sql: string;
  readonly values: readonly SqlValue[];
  /** Never present; carries `R` for the type checker. */
  readonly row?: R;
}
