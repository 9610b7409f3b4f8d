import { existsSync } from "node:fs";
import { connect, type Socket } from "node:net";

/** How often main says that it lives, ms. */
const INTERVAL_MS = 500;
const WAITING_BYTES_MAX = 4096;

/** Main's side of the supervisor's check-ins: one JSON line each half second, with the core thread's age. */
export interface CheckIn {
  /** The core thread was heard. */
  coreAlive(): void;
  /** All parts run: the supervisor may count this start as a good one. */
  started(): void;
}

/** Without a supervisor (a hand-started main) this does nothing. A lost connection is made again: the supervisor may restart. */
export function openCheckIn(path: string): CheckIn {
  // No age before the core thread was heard first: a box that waits for a join token has none, and is well.
  let coreAt: number | undefined;
  let isStarted = false;
  let socket: Socket | undefined;
  const timer = setInterval(() => {
    if (socket === undefined) {
      if (!existsSync(path)) return;
      const fresh = connect(path);
      socket = fresh;
      fresh.on("error", () => undefined);
      fresh.on("close", () => {
        socket = undefined;
      });
    }
    // A supervisor that stands still gets no heap of old lines: what counts is the newest.
    if (socket.writableLength > WAITING_BYTES_MAX) return;
    const coreAgeMs = coreAt === undefined ? 0 : Math.round(performance.now() - coreAt);
    const line = { client: "main", pid: process.pid, coreAgeMs, isStarted };
    socket.write(`${JSON.stringify(line)}\n`);
  }, INTERVAL_MS);
  timer.unref();
  return {
    coreAlive: () => {
      coreAt = performance.now();
    },
    started: () => {
      isStarted = true;
    },
  };
}
