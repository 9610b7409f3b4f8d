import type { OpenDatabase } from "./types.ts";

/** Index and term of the last entry that the database in `path` has applied. */
export async function appliedOf(
  openDatabase: OpenDatabase,
  path: string,
): Promise<{ readonly index: number; readonly term: number }> {
  const database = await openDatabase(path, "read");
  try {
    const [row] = await database.all("SELECT applied_index, applied_term FROM ringfence_state", []);
    return { index: Number(row?.[0]), term: Number(row?.[1]) };
  } finally {
    await database.close();
  }
}
