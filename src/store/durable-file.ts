import { closeSync, fsyncSync, openSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";

/** Replaces a small file so that a crash leaves the old or the new content: write aside, sync, rename, sync directory. */
export function writeFileDurably(path: string, content: string | Uint8Array): void {
  const aside = `${path}.new`;
  const file = openSync(aside, "w", 0o600);
  try {
    writeSync(file, typeof content === "string" ? Buffer.from(content) : content);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(aside, path);
  syncDirectory(dirname(path));
}

/** Makes what was created, renamed or removed in a directory last. */
export function syncDirectory(path: string): void {
  const directory = openSync(path, "r");
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
