import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { errorChain } from "../../base/error.ts";
import { hashFile, moveDurably, removeDatabase, syncDirectory, writeDurably } from "./files.ts";
import { createManifest, type ManifestContent, parseManifest, type SnapshotManifest } from "./manifest.ts";

/** Kept: one that is being sent, and the newest. An older one helps nobody. */
const SNAPSHOTS_MAX = 2;
const TAKING = "taking.db";
const NAME = /^snapshot-(\d{15})-(\d{12})\.(db|json)$/;

/** A snapshot that is whole and on the disk. */
export interface StoredSnapshot {
  readonly manifest: SnapshotManifest;
  /** The database. It may be unlinked while somebody reads it: an open file stays readable. */
  readonly path: string;
}

/** What a copy of the state needs to become a snapshot. */
export type CopyFacts = Omit<ManifestContent, "sizeBytes" | "sha256">;

/**
 * The snapshots that this box has taken, in `directory`: each a database and a manifest that is written last, so that
 * what has a manifest is whole.
 */
export class SnapshotLibrary {
  readonly #directory: string;
  #stored: StoredSnapshot[];

  /** Clears away what an interrupted taking left. */
  constructor(directory: string, log: (text: string) => void) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    removeDatabase(`${directory}/${TAKING}`);
    this.#stored = load(directory, log);
  }

  newest(): StoredSnapshot | undefined {
    return this.#stored.at(-1);
  }

  /**
   * Takes one: `copy` writes the state's database to the path that it is given and says where it stands. At most one at
   * a time; the caller sees to it.
   */
  async take(copy: (path: string) => Promise<CopyFacts>): Promise<StoredSnapshot> {
    const taking = `${this.#directory}/${TAKING}`;
    removeDatabase(taking);
    const facts = await copy(taking);
    const file = await open(taking, "r+");
    try {
      // SQLite does not sync what VACUUM INTO writes.
      await file.sync();
    } finally {
      await file.close();
    }
    const manifest = createManifest({ ...facts, ...(await hashFile(taking)) });
    const path = `${this.#directory}/${nameOf(manifest)}`;
    moveDurably(taking, `${path}.db`);
    writeDurably(`${path}.json`, JSON.stringify(manifest));
    const stored = { manifest, path: `${path}.db` };
    this.#stored = [...this.#stored.filter((other) => other.path !== stored.path), stored].sort(byIndex);
    while (this.#stored.length > SNAPSHOTS_MAX) this.#remove(this.#stored.shift());
    return stored;
  }

  #remove(snapshot: StoredSnapshot | undefined): void {
    if (snapshot === undefined) return;
    // The manifest first: without it the rest is rubbish, which the next start clears away.
    rmSync(snapshot.path.replace(/db$/, "json"), { force: true });
    removeDatabase(snapshot.path);
    syncDirectory(this.#directory);
  }
}

function nameOf({ index, term }: SnapshotManifest): string {
  return `snapshot-${String(index).padStart(15, "0")}-${String(term).padStart(12, "0")}`;
}

function byIndex(a: StoredSnapshot, b: StoredSnapshot): number {
  return a.manifest.index - b.manifest.index;
}

function load(directory: string, log: (text: string) => void): StoredSnapshot[] {
  const names = readdirSync(directory).filter((name) => NAME.test(name));
  const stored: StoredSnapshot[] = [];
  for (const name of names.filter((one) => one.endsWith(".db"))) {
    const path = `${directory}/${name}`;
    const manifestName = name.replace(/db$/, "json");
    try {
      if (!names.includes(manifestName)) throw new Error("its taking was interrupted");
      stored.push({ manifest: parseManifest(readFileSync(`${directory}/${manifestName}`, "utf8")), path });
    } catch (error) {
      log(`snapshot ${name} is thrown away: ${errorChain(error)}`);
      rmSync(`${directory}/${manifestName}`, { force: true });
      removeDatabase(path);
    }
  }
  return stored.sort(byIndex);
}
