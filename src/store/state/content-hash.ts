import { createHash } from "node:crypto";
import type { Database } from "./types.ts";

/** Rows of one slice, and slices of one look: about a thousand rows, some milliseconds on a thread of the pool. */
const SLICE_ROWS = 256;
const SLICES_PER_LOOK = 4;
/** Multiples of it fall evenly between 0 and 1, however many there are: no part waits long although tables grow meanwhile. */
const GOLDEN_RATIO = 0.618_033_988_749_894_9;

/**
 * Hash of a part of what the database holds, the same on every box that holds the same: which part follows from `look`
 * and the content alone. In a state of N slices each has had its turn after about N / 2 looks. The schema is in every one.
 * Rows are ordered by their primary key, never by rowid, which a copy of the database numbers anew.
 */
export async function contentHash(database: Database, look: number): Promise<string> {
  const tables = await database.all(
    "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    [],
  );
  const slices: { readonly table: string; readonly offset: number }[] = [];
  for (const [name] of tables) {
    const table = quote(String(name));
    const [[count] = []] = await database.all(`SELECT count(*) AS count FROM ${table}`, []);
    for (let offset = 0; offset < Number(count); offset += SLICE_ROWS) slices.push({ table: String(name), offset });
  }
  const hash = createHash("sha256").update(JSON.stringify(tables)).update(`\n${slices.length}`);
  for (let n = 0; n < Math.min(SLICES_PER_LOOK, slices.length); n++) {
    const slice = slices[Math.floor((((look * SLICES_PER_LOOK + n) * GOLDEN_RATIO) % 1) * slices.length)];
    if (slice === undefined) break;
    const order = await keyOf(database, slice.table);
    const rows = await database.all(
      `SELECT * FROM ${quote(slice.table)} ORDER BY ${order} LIMIT ${SLICE_ROWS} OFFSET ${slice.offset}`,
      [],
    );
    hash.update(`\n${slice.table} ${slice.offset}\n`).update(JSON.stringify(rows));
  }
  return hash.digest("hex");
}

/** The primary key's columns; all of them where there is none. */
async function keyOf(database: Database, table: string): Promise<string> {
  const columns = await database.all("SELECT name, pk FROM pragma_table_info(?) ORDER BY pk, cid", [table]);
  const key = columns.filter(([, pk]) => Number(pk) > 0);
  return (key.length > 0 ? key : columns).map(([name]) => quote(String(name))).join(", ");
}

function quote(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
