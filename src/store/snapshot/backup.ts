import { closeSync, fsyncSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { CodedError } from "../../base/error.ts";
import { moveDurably, readPieces } from "./files.ts";
import { parseManifest, type SnapshotManifest } from "./manifest.ts";

const FORMAT = "ringfence-backup 1";
/** The first line: a manifest with its membership, a key and a password. */
const HEADER_BYTES_MAX = 256 * 1024;
const NEWLINE = 0x0a;

/** What a backup holds beside the database: without the key the secrets in it stay sealed. */
export interface BackupHeader {
  readonly manifest: SnapshotManifest;
  /** cluster.key, base64. */
  readonly clusterKey: string;
  /** Root's credentials, `oneadmin:PASSWORD`; undefined when the box had none. */
  readonly oneAuth: string | undefined;
}

/**
 * A backup is one file: a line of JSON, then the database as it is. `path` appears whole or not at all, readable by root
 * only. Throws what the file system throws.
 */
export async function writeBackup(path: string, header: BackupHeader, database: string): Promise<void> {
  const aside = `${path}.unfinished`;
  const file = openSync(aside, "w", 0o600);
  try {
    writeAll(file, Buffer.from(`${JSON.stringify({ format: FORMAT, ...header })}\n`));
    await readPieces(database, (piece) => writeAll(file, piece));
    fsyncSync(file);
  } catch (error) {
    rmSync(aside, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
  moveDurably(aside, path);
}

/** What a backup says of itself. Throws `backup-invalid`. */
export function readBackupHeader(path: string): BackupHeader {
  return readHead(path).header;
}

/** Writes the database of a backup to `database`, synced; whether it is whole is the verification's to say. */
export async function extractBackup(path: string, database: string): Promise<BackupHeader> {
  const { header, length } = readHead(path);
  const file = openSync(database, "w", 0o600);
  try {
    let skip = length;
    await readPieces(path, (piece) => {
      const from = Math.min(skip, piece.length);
      skip -= from;
      writeAll(file, piece.subarray(from));
    });
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return header;
}

function readHead(path: string): { readonly header: BackupHeader; readonly length: number } {
  const buffer = Buffer.alloc(HEADER_BYTES_MAX);
  const file = openSync(path, "r");
  let bytes: Buffer;
  try {
    bytes = buffer.subarray(0, readSync(file, buffer, 0, buffer.length, 0));
  } finally {
    closeSync(file);
  }
  const end = bytes.indexOf(NEWLINE);
  try {
    if (end === -1) throw new Error("it has no first line");
    const value = JSON.parse(bytes.toString("utf8", 0, end)) as Partial<BackupHeader> & { readonly format?: string };
    if (value.format !== FORMAT) throw new Error(`format "${String(value.format)}" is not "${FORMAT}"`);
    if (typeof value.clusterKey !== "string") throw new Error("it has no key");
    const manifest = parseManifest(JSON.stringify(value.manifest));
    return { header: { manifest, clusterKey: value.clusterKey, oneAuth: value.oneAuth }, length: end + 1 };
  } catch (error) {
    throw new CodedError("backup-invalid", `Cannot read "${path}": it is no backup of ringfence`, error);
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(file, bytes, done, bytes.length - done);
}
