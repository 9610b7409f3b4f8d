import { appendFile, rename, stat } from "node:fs/promises";
import type { LogFile } from "./log-file.ts";

/** As openLogFile's: 10 MiB, four old ones. */
const BYTES_MAX = 10 * 1024 * 1024;
const KEPT = 4;
/** Lines that wait for a disk that hangs; what comes then is counted and left out. */
const WAITING_MAX = 500;

/**
 * A log for a process that must never wait for a disk: lines are queued and written in the background, one write at a time.
 * A disk that cannot be written gets the lines sent to standard error; one that hangs loses those beyond the queue.
 */
export function openPatientLog(path: string): LogFile & { flushed(): Promise<void> } {
  let waiting: string[] = [];
  let lost = 0;
  let writing: Promise<void> | undefined;
  const drain = async (): Promise<void> => {
    while (waiting.length > 0) {
      if (lost > 0) waiting.push(`${new Date().toISOString()} ${lost} lines were lost: the disk did not take them\n`);
      const text = waiting.join("");
      waiting = [];
      lost = 0;
      try {
        await turnIfLarge(path);
        await appendFile(path, text, { mode: 0o640 });
      } catch {
        process.stderr.write(text);
      }
    }
    writing = undefined;
  };
  return {
    write: (text) => {
      if (waiting.length >= WAITING_MAX) {
        lost++;
        return;
      }
      waiting.push(`${new Date().toISOString()} ${text.replaceAll("\n", "\n  ")}\n`);
      writing ??= drain();
    },
    flushed: async () => writing,
  };
}

async function turnIfLarge(path: string): Promise<void> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  );
  if (size < BYTES_MAX) return;
  for (let number = KEPT; number >= 1; number--)
    // There may not be that many yet.
    await rename(number === 1 ? path : `${path}.${number - 1}`, `${path}.${number}`).catch(() => undefined);
}
