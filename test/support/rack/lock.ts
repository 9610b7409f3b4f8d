/** One command at a time for a node or for the rack, across terminals. The kernel drops a dead program's lock. */
import { dlopen } from "bun:ffi";
import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { waitFor } from "./command.ts";

const libc = dlopen("libc.so.6", { flock: { args: ["i32", "i32"], returns: "i32" } });
const LOCK_EXCLUSIVE_NOW = 2 | 4;

/** Runs `action` while it holds `path`. Waits at most `timeoutMs` for others. */
export async function withLock<T>(path: string, timeoutMs: number, action: () => Promise<T>): Promise<T> {
  mkdirSync(dirname(path), { recursive: true });
  const file = openSync(path, "w");
  try {
    await waitFor(`the lock ${path}`, timeoutMs, () => libc.symbols.flock(file, LOCK_EXCLUSIVE_NOW) === 0);
    return await action();
  } finally {
    closeSync(file);
  }
}
