import { type FileHandle, open } from "node:fs/promises";
import { errorChain } from "../base/error.ts";
import { dropFromCache } from "../linux/page-cache.ts";

/** Three in the time that the watchdog gives the disk. */
const INTERVAL_MS = 10_000;
/** One block: written in place, it needs no room on a full disk. */
const BYTES = 4096;
/** The kernel's word for "full": a disk that can say so is alive, and the full disk has an answer of its own. */
const FULL = new Set(["ENOSPC", "EDQUOT"]);

export interface DiskProbeOptions {
  /** A file of its own beside log and state: the only thing that an idle box syncs. */
  readonly path: string;
  /** The newest acknowledgement; 0: nobody wants to know. */
  token(): number;
  /** The disk took the token and gave it back. */
  returned(token: number): void;
  log(text: string): void;
  readonly intervalMs?: number;
}

/** Has the disk take each acknowledgement and give it back: write, fsync, out of the kernel's memory, read. */
export function startDiskProbe(options: DiskProbeOptions): { stop(): void } {
  const { path, token, returned, log } = options;
  let isBusy = false;
  let lastWhy = "";
  const probe = async (): Promise<void> => {
    const asked = token();
    if (isBusy || asked === 0) return;
    // A disk that hangs keeps this one for ever, and no second one is sent after it.
    isBusy = true;
    try {
      await passThrough(path, asked);
      returned(asked);
      lastWhy = "";
    } catch (error) {
      const why = errorChain(error);
      if (FULL.has((error as NodeJS.ErrnoException).code ?? "")) returned(asked);
      // Else it is not alive: when it stays so, a restart is tried, and then a reset.
      else if (why !== lastWhy) log(`ALERT the disk does not give back what it was given: ${why}`);
      lastWhy = why;
    } finally {
      isBusy = false;
    }
  };
  const timer = setInterval(probe, options.intervalMs ?? INTERVAL_MS);
  // The first acknowledgement comes within a second or two of the start.
  const first = setTimeout(probe, Math.min(2000, options.intervalMs ?? INTERVAL_MS));
  return {
    stop: () => {
      clearInterval(timer);
      clearTimeout(first);
    },
  };
}

async function passThrough(path: string, token: number): Promise<void> {
  const bytes = Buffer.alloc(BYTES);
  bytes.write(`${token}\n`);
  const file = await openOrCreate(path);
  try {
    await file.write(bytes, 0, BYTES, 0);
    await file.sync();
    dropFromCache(file.fd, BYTES);
    const back = Buffer.alloc(BYTES);
    const { bytesRead } = await file.read(back, 0, BYTES, 0);
    if (bytesRead !== BYTES || !back.equals(bytes)) throw new Error(`"${path}" reads otherwise than it was written`);
  } finally {
    await file.close();
  }
}

async function openOrCreate(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r+");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return open(path, "w+", 0o600);
  }
}
