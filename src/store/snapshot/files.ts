import { createHash } from "node:crypto";
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";

/** One read of a file that is hashed or copied. */
const READ_BYTES = 1024 * 1024;

/** Whatever SQLite may have put beside a database. */
export const SIDE_FILES = ["-wal", "-shm", "-journal"] as const;

export function syncDirectory(path: string): void {
  syncPath(path, "r");
}

/** Waits in the caller's thread: for small files, and at a start. */
export function syncFile(path: string): void {
  syncPath(path, "r+");
}

function syncPath(path: string, flags: string): void {
  const descriptor = openSync(path, flags);
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Renames and makes the renaming durable. */
export function moveDurably(from: string, to: string): void {
  renameSync(from, to);
  syncDirectory(dirname(to));
}

/** Replaces a small file so that a crash leaves the old or the new content. */
export function writeDurably(path: string, text: string): void {
  const aside = `${path}.new`;
  const descriptor = openSync(aside, "w", 0o600);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  moveDurably(aside, path);
}

/** Copies a file of any size; whole and synced when it is there. */
export async function copyDurably(from: string, to: string): Promise<void> {
  const descriptor = openSync(to, "w", 0o600);
  try {
    await readPieces(from, (piece) => {
      for (let done = 0; done < piece.length; ) done += writeSync(descriptor, piece, done, piece.length - done);
    });
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  syncDirectory(dirname(to));
}

/** Removes a database and what SQLite left beside it. */
export function removeDatabase(path: string): void {
  for (const side of SIDE_FILES) rmSync(`${path}${side}`, { force: true });
  rmSync(path, { force: true });
}

export function exists(path: string): boolean {
  return existsSync(path);
}

/** Calls `take` with one piece of the file after the other, without holding the thread. */
export async function readPieces(path: string, take: (piece: Uint8Array) => void | Promise<void>): Promise<void> {
  const file = await open(path, "r");
  try {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES);
      if (bytesRead === 0) return;
      await take(buffer.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

export async function hashFile(path: string): Promise<{ readonly sha256: string; readonly sizeBytes: number }> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  await readPieces(path, (piece) => {
    hash.update(piece);
    sizeBytes += piece.length;
  });
  return { sha256: hash.digest("hex"), sizeBytes };
}
