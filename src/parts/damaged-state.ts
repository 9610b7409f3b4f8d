import { existsSync, renameSync, rmSync } from "node:fs";
import { CodedError, errorChain } from "../base/error.ts";
import { syncDirectory, writeFileDurably } from "../store/durable-file.ts";
import { openState } from "../store/state/state.ts";
import { isDatabaseError } from "../store/state/store-tables.ts";
import type { State, StateOptions } from "../store/state/types.ts";

/** Says that the state is not to be opened again: SQLite found its file damaged while entries were applied. */
const MARK = "state-damaged";
/** The last damaged state, for a person; one only. */
const ASIDE = "state.damaged";

/** SQLite's own words for a file that is not what it wrote. */
const DAMAGE = /^SQLITE_(CORRUPT|NOTADB)/;

/** True if the database file itself is bad, whatever was tried with it. */
export function isDamage(error: unknown): boolean {
  if (isDatabaseError(error) && DAMAGE.test(error.result)) return true;
  return error instanceof Error && error.cause !== undefined && isDamage(error.cause);
}

/** Durable before the process ends: the next start sets the state aside. */
export function markDamaged(data: string, why: string): void {
  writeFileDurably(`${data}/${MARK}`, `${why}\n`);
}

/**
 * Opens the state in `data`/state. A damaged one is set aside and an empty one opened: the log is whole, so this box
 * still votes by it, and applies it again from its beginning, or from a snapshot of the leader where that is purged.
 */
export async function openSoundState(data: string, options: StateOptions, log: (text: string) => void): Promise<State> {
  const directory = `${data}/state`;
  if (existsSync(`${data}/${MARK}`)) {
    setAside(data);
    log("ALERT the state database is damaged: it is set aside, and made anew from the log or from a snapshot");
  }
  try {
    return await openState(directory, options);
  } catch (error) {
    if (!isDamage(error)) throw error;
    setAside(data);
    log(`ALERT the state database is damaged (${errorChain(error)}): it is set aside, and made anew`);
    return openState(directory, options);
  }
}

/** A snapshot has taken the damaged state's place. */
export function forgetDamage(data: string): void {
  rmSync(`${data}/${MARK}`, { force: true });
}

/** Done again after a crash in between it does the rest. */
function setAside(data: string): void {
  try {
    if (existsSync(`${data}/state`)) {
      rmSync(`${data}/${ASIDE}`, { recursive: true, force: true });
      renameSync(`${data}/state`, `${data}/${ASIDE}`);
    }
    syncDirectory(data);
    rmSync(`${data}/${MARK}`, { force: true });
    syncDirectory(data);
  } catch (error) {
    throw new CodedError("state-failed", `Cannot set the damaged state in "${data}" aside`, error);
  }
}
