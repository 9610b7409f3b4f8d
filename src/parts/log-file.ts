import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

/** A log is at most this large before it is turned … */
const BYTES_MAX = 10 * 1024 * 1024;
/** … and so many old ones are kept: with six logs at most 300 MiB of a box's disk. */
const KEPT = 4;

/** One of the box's logs (`/var/log/one/NAME.log`). Lines carry wall time, for people. */
export interface LogFile {
  write(text: string): void;
}

/** Opens a log for appending. A log that cannot be written is no reason to stop: the line goes to standard error. */
export function openLogFile(path: string, bytesMax: number = BYTES_MAX): LogFile {
  let file = openSync(path, "a", 0o640);
  let size = fstatSync(file).size;
  const turn = (): void => {
    for (let number = KEPT; number >= 1; number--) {
      try {
        renameSync(number === 1 ? path : `${path}.${number - 1}`, `${path}.${number}`);
      } catch {
        // There are not that many yet.
      }
    }
    // The old one is closed only when there is a new one: a number that was closed may be the database's a moment later.
    const old = file;
    file = openSync(path, "a", 0o640);
    size = fstatSync(file).size;
    closeSync(old);
  };
  return {
    write: (text) => {
      const line = `${new Date().toISOString()} ${text.replaceAll("\n", "\n  ")}\n`;
      try {
        if (size + line.length > bytesMax) turn();
      } catch {
        // No room for another file: this one goes on.
      }
      try {
        size += writeSync(file, line);
      } catch {
        console.error(line.trimEnd());
      }
    },
  };
}
