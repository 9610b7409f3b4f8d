import type { Change, Statement } from "../base/entry.ts";
import type { State } from "../store/state/types.ts";

/** Says that the row has changed. */
export const TIMINGS_TAG = "timings";

/** The cluster's timings: part of the first schema. */
export const timingsSchema: readonly Statement[] = [
  { sql: "CREATE TABLE timings (id INTEGER PRIMARY KEY CHECK (id = 0), text TEXT NOT NULL)", values: [] },
];

/** `text` as of config/timings.ts. */
export function storeTimings(text: string): Change {
  return {
    guards: [],
    statements: [{ sql: "INSERT OR REPLACE INTO timings VALUES (0, ?)", values: [text] }],
    tags: [TIMINGS_TAG],
  };
}

/** What is in force, as this box's state has it. `no-table`: the cluster is not founded yet, as far as this box knows. */
export async function readTimings(
  state: Pick<State, "read">,
): Promise<{ readonly kind: "no-table" } | { readonly kind: "table"; readonly text: string | undefined }> {
  const [table] = await state.read("SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'timings'");
  if (table?.[0] !== 1) return { kind: "no-table" };
  const [row] = await state.read("SELECT text FROM timings");
  return { kind: "table", text: row === undefined ? undefined : String(row[0]) };
}
