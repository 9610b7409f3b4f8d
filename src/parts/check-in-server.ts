import { chmodSync, existsSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { CHECK_IN_BYTES_MAX } from "../watchdog/check-in-line.ts";

/** Main has one connection; a person looking with a tool has another, and is cut off when nothing comes. */
const CONNECTIONS_MAX = 8;
const SILENCE_MS_MAX = 5000;
/** Answers that a peer does not take are left out: it gets the next one. */
const WAITING_BYTES_MAX = 16 * 1024;

/** The supervisor's end of the check-ins. */
export interface CheckInServer {
  /** Listens again if the socket's file has gone. Called before each start. */
  ensure(): void;
  close(): void;
}

/** Takes lines on a Unix socket, root's only, and gives the answers back. What goes wrong here shows as late check-ins, so errors are reported and never thrown. */
export function openCheckInServer(
  path: string,
  line: (text: string) => string | undefined,
  report: (text: string) => void,
): CheckInServer {
  let server: Server | undefined;
  const ensure = (): void => {
    if (server?.listening === true && existsSync(path)) return;
    server?.close();
    rmSync(path, { force: true });
    server = createServer((socket) => takeLines(socket, line));
    server.maxConnections = CONNECTIONS_MAX;
    server.on("error", (error) => report(`Cannot take check-ins on "${path}": ${error.message}`));
    server.listen(path, () => {
      try {
        chmodSync(path, 0o600);
      } catch (error) {
        report(`Cannot keep "${path}" to root: ${String(error)}`);
      }
    });
  };
  return { ensure, close: () => server?.close() };
}

function takeLines(socket: Socket, line: (text: string) => string | undefined): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.setTimeout(SILENCE_MS_MAX, () => socket.destroy());
  socket.on("error", () => undefined); // Its end is what counts, and that shows as silence.
  socket.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > CHECK_IN_BYTES_MAX) socket.destroy();
    for (const text of lines) {
      const answer = line(text);
      if (answer !== undefined && socket.writableLength < WAITING_BYTES_MAX) socket.write(answer);
    }
  });
}
