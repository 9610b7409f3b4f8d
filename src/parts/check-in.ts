import { existsSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { formatCheckIn, parseAcknowledgement } from "../watchdog/check-in-line.ts";
import type { Client, Freezable, MainPhase } from "../watchdog/clients.ts";

/** How often main says that it lives, ms. */
const INTERVAL_MS = 500;
const WAITING_BYTES_MAX = 4096;
/** An answer is 40 bytes. */
const ANSWER_BYTES_MAX = 1024;

/**
 * Main's side of the supervisor's check-ins: a line each half second, which the supervisor answers by an acknowledgement
 * that each client has to bring back. A client that stands still brings nothing new, whatever else goes on.
 */
export interface CheckIn {
  /** The newest acknowledgement; 0 before the first, and without a supervisor. */
  token(): number;
  /** A client brings back the newest one that it was given. */
  returned(client: Client, token: number): void;
  phase(phase: MainPhase): void;
  /** A start has gone one step on. */
  progressed(): void;
}

/** Without a supervisor (a hand-started main) this does nothing. A lost connection is made again: the supervisor may restart. */
export function openCheckIn(path: string, freeze: (client: Freezable) => void): CheckIn {
  const tokens: Partial<Record<Client, number>> = {};
  let phase: MainPhase = "starting";
  let progress = 0;
  let newest = 0;
  let socket: Socket | undefined;
  const timer = setInterval(() => {
    if (socket === undefined) {
      if (!existsSync(path)) return;
      const fresh = connect(path);
      socket = fresh;
      takeAnswers(fresh, ({ token, freeze: client }) => {
        newest = token;
        // It was this thread that took it from the socket.
        tokens.work = token;
        if (client !== undefined) freeze(client);
      });
      fresh.on("error", () => undefined);
      fresh.on("close", () => {
        socket = undefined;
      });
    }
    // A supervisor that stands still gets no heap of old lines: what counts is the newest.
    if (socket.writableLength > WAITING_BYTES_MAX) return;
    socket.write(formatCheckIn({ pid: process.pid, phase, progress, tokens }));
  }, INTERVAL_MS);
  timer.unref();
  return {
    token: () => newest,
    returned: (client, token) => {
      if (token !== 0) tokens[client] = token;
    },
    phase: (now) => {
      phase = now;
    },
    progressed: () => {
      progress++;
    },
  };
}

function takeAnswers(
  socket: Socket,
  take: (answer: NonNullable<ReturnType<typeof parseAcknowledgement>>) => void,
): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > ANSWER_BYTES_MAX) socket.destroy();
    for (const line of lines) {
      const answer = parseAcknowledgement(line);
      if (answer !== undefined) take(answer);
    }
  });
}
