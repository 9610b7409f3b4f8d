import { mkdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { OpenDatabase } from "../state/types.ts";
import { exists, moveDurably, removeDatabase, syncDirectory, writeDurably } from "./files.ts";
import { verifySnapshot } from "./inspect.ts";
import { parseManifest, type SnapshotManifest } from "./manifest.ts";

/** Synced while it comes in pieces of so many bytes: the log's sync must never wait for a whole snapshot on the same disk. */
const SYNC_EVERY_BYTES = 4 * 1024 * 1024;

/** A snapshot that was sent to this box, and whether somebody wants it in any case. */
export interface Received {
  readonly manifest: SnapshotManifest;
  readonly isForced: boolean;
}

/** The names in the snapshots' directory, in the order in which one becomes the other. */
export const INCOMING = {
  receivingDatabase: "receiving.db",
  receiving: "receiving.json",
  database: "received.db",
  /** The database is whole, verified and durable. */
  received: "received.json",
  /** The log starts after it; what is left is the swap, and it must be done. */
  installing: "installing.json",
} as const;

/** A snapshot on its way to this box; goes on where it was broken off, also by a restart. */
export class Incoming {
  readonly received: Received;
  readonly #directory: string;
  readonly #openDatabase: OpenDatabase;
  #file: FileHandle;
  #sizeBytes: number;
  #unsyncedBytes = 0;

  private constructor(
    directory: string,
    received: Received,
    openDatabase: OpenDatabase,
    file: FileHandle,
    sizeBytes: number,
  ) {
    this.#directory = directory;
    this.received = received;
    this.#openDatabase = openDatabase;
    this.#file = file;
    this.#sizeBytes = sizeBytes;
  }

  /** Begins, or takes up what there is of the same snapshot. */
  static async open(directory: string, received: Received, openDatabase: OpenDatabase): Promise<Incoming> {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const path = `${directory}/${INCOMING.receivingDatabase}`;
    const manifestPath = `${directory}/${INCOMING.receiving}`;
    const known = exists(path) ? readReceived(manifestPath) : undefined;
    let sizeBytes = 0;
    if (known?.manifest.sha256 === received.manifest.sha256) sizeBytes = statSync(path).size;
    if (sizeBytes === 0 || sizeBytes > received.manifest.sizeBytes) {
      rmSync(manifestPath, { force: true });
      removeDatabase(path);
      sizeBytes = 0;
    }
    writeDurably(manifestPath, JSON.stringify(received));
    const file = await open(path, sizeBytes === 0 ? "w" : "r+", 0o600);
    return new Incoming(directory, received, openDatabase, file, sizeBytes);
  }

  /** The offset of the next byte. */
  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Adds bytes at {@link sizeBytes}. */
  async append(bytes: Uint8Array): Promise<void> {
    await this.#file.write(bytes, 0, bytes.length, this.#sizeBytes);
    this.#sizeBytes += bytes.length;
    this.#unsyncedBytes += bytes.length;
    if (this.#unsyncedBytes < SYNC_EVERY_BYTES) return;
    this.#unsyncedBytes = 0;
    await this.#file.datasync();
  }

  /** All bytes are there: proves them and makes them ready for the next start. Throws `snapshot-invalid`, and begins anew then. */
  async finish(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
    const path = `${this.#directory}/${INCOMING.receivingDatabase}`;
    try {
      await verifySnapshot(this.#openDatabase, path, this.received.manifest);
    } catch (error) {
      this.#discard();
      throw error;
    }
    // An older one that waits for a start is outdone; its manifest goes first, the database is replaced.
    rmSync(`${this.#directory}/${INCOMING.received}`, { force: true });
    syncDirectory(this.#directory);
    moveDurably(path, `${this.#directory}/${INCOMING.database}`);
    moveDurably(`${this.#directory}/${INCOMING.receiving}`, `${this.#directory}/${INCOMING.received}`);
  }

  /** Stops here; what there is stays for the next attempt. */
  async leave(): Promise<void> {
    await this.#file.close();
  }

  #discard(): void {
    rmSync(`${this.#directory}/${INCOMING.receiving}`, { force: true });
    removeDatabase(`${this.#directory}/${INCOMING.receivingDatabase}`);
  }
}

/** Undefined when there is none that can be read. */
export function readReceived(path: string): Received | undefined {
  if (!exists(path)) return undefined;
  try {
    const value = JSON.parse(readFileSync(path, "utf8")) as { manifest?: unknown; isForced?: unknown };
    return { manifest: parseManifest(JSON.stringify(value.manifest)), isForced: value.isForced === true };
  } catch {
    // Written aside and renamed, so it is somebody else's or of another format: as good as none.
    return undefined;
  }
}
