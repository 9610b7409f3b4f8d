import type { Database } from "./types.ts";

/** Written since the last checkpoint, roughly, before the next: SQLite's own default, 1,000 pages. */
const DUE_BYTES = 4 * 1024 * 1024;
const PAGE_BYTES = 4096;
/** Each transaction writes at least a page of sessions, the applied row, and a table's leaf. */
const BATCH_PAGES_MIN = 3;
/** Rows of an entry land on pages and indexes of their own: a page each besides their bytes. */
const ENTRY_PAGES = 1;
/** Frames in the WAL beyond which a checkpoint is made with the writer waiting, so that the next write starts the WAL anew. */
const RESET_FRAMES = 4096;

/**
 * Moves the WAL into the database on a connection of its own, beside the writer: inside COMMIT, where SQLite does it by
 * default, one batch in fifty would wait for two syncs of the disk.
 */
export class Checkpointer {
  readonly #database: Database;
  #running: Promise<boolean> | undefined;
  #written = 0;
  #frames = 0;
  /** The applied index that the last complete checkpoint covered. */
  durableIndex = 0;

  constructor(database: Database) {
    this.#database = database;
  }

  /** A batch was committed. True when a checkpoint is due and none is running. */
  wrote(entries: number, bytes: number): boolean {
    this.#written += bytes + (BATCH_PAGES_MIN + entries * ENTRY_PAGES) * PAGE_BYTES;
    return this.#written >= DUE_BYTES && this.#running === undefined;
  }

  /** The WAL is only begun anew by a write that finds all of it moved; under load that never happens by itself. */
  get wantsReset(): boolean {
    return this.#frames >= RESET_FRAMES && this.#running === undefined;
  }

  /** Beside the writer. One at a time; a second caller gets one that began after its call. */
  async run(appliedIndex: number): Promise<boolean> {
    while (this.#running !== undefined) await this.#running.catch(() => undefined);
    this.#running = this.on(this.#database, appliedIndex, "PASSIVE");
    try {
      return await this.#running;
    } finally {
      this.#running = undefined;
    }
  }

  /** On `database`, whose turn it is. What was applied *before* the call is durable if all of the WAL was moved. */
  async on(database: Database, appliedIndex: number, mode: "PASSIVE" | "TRUNCATE"): Promise<boolean> {
    this.#written = 0;
    const [row] = await database.all(`PRAGMA wal_checkpoint(${mode})`, []);
    const [busy, frames, moved] = row ?? [];
    this.#frames = Number(frames);
    const complete = busy === 0 && frames === moved;
    if (complete) this.durableIndex = Math.max(this.durableIndex, appliedIndex);
    return complete;
  }

  /** After a checkpoint with the writer waiting: the count begins anew. */
  resetTried(): void {
    this.#frames = 0;
  }

  async close(): Promise<void> {
    await this.#running?.catch(() => undefined);
    await this.#database.close();
  }
}
