import { CodedError } from "../../base/error.ts";
import { appliedOf } from "../state/applied-of.ts";
import type { OpenDatabase } from "../state/types.ts";
import { hashFile } from "./files.ts";
import type { SnapshotManifest } from "./manifest.ts";

/**
 * Proves that the file is what its manifest says: size, hash, a whole database, and its own word on index and term.
 * Throws `snapshot-invalid`. Reads all of it; runs in the thread pool.
 */
export async function verifySnapshot(
  openDatabase: OpenDatabase,
  path: string,
  manifest: SnapshotManifest,
): Promise<void> {
  const { sha256, sizeBytes } = await hashFile(path);
  if (sizeBytes !== manifest.sizeBytes) throw invalid(`${sizeBytes} bytes are not ${manifest.sizeBytes}`);
  if (sha256 !== manifest.sha256) throw invalid(`its sha256 is ${sha256}, not ${manifest.sha256}`);
  const database = await openDatabase(path, "read").catch((error: unknown) => {
    throw invalid("it is no database", error);
  });
  try {
    const [check] = await database.all("PRAGMA quick_check(1)", []);
    if (check?.[0] !== "ok") throw invalid(`the database is not whole: ${String(check?.[0])}`);
  } finally {
    await database.close();
  }
  const applied = await appliedOf(openDatabase, path);
  if (applied.index !== manifest.index || applied.term !== manifest.term)
    throw invalid(
      `the database is at ${applied.index} of term ${applied.term}, the manifest says ${manifest.index} of term ${manifest.term}`,
    );
}

function invalid(why: string, cause?: unknown): CodedError {
  return new CodedError("snapshot-invalid", `Cannot use the snapshot: ${why}`, cause);
}
