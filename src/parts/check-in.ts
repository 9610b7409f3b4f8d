import { existsSync } from "node:fs";
import { connect, type Socket } from "node:net";

/** How often main says that it lives, ms. */
const INTERVAL_MS = 500;

/** Main's side of the supervisor's check-ins: one JSON line each half second, with the core thread's age. */
export interface CheckIn {
  /** The core thread was heard. */
  coreAlive(): void;
  /** All parts run: the supervisor may count this start as a good one. */
  started(): void;
}

/** Without a supervisor (a hand-started main) this does nothing. A lost connection is made again: the supervisor may restart. */
export function openCheckIn(path: string): CheckIn {
  let coreAt = performance.now();
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
    const line = { client: "main", pid: process.pid, coreAgeMs: Math.round(performance.now() - coreAt), isStarted };
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
