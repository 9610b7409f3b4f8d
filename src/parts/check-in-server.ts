import { existsSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { CHECK_IN_BYTES_MAX } from "../watchdog/check-in-line.ts";

/** Main has one connection; a person looking with a tool has another. */
const CONNECTIONS_MAX = 4;

/** The supervisor's end of the check-ins. */
export interface CheckInServer {
  /** Listens again if the socket's file has gone. Called before each start. */
  ensure(): void;
  close(): void;
}

/** Takes lines on a Unix socket. What goes wrong here shows as late check-ins, so errors are reported and never thrown. */
export function openCheckInServer(
  path: string,
  line: (text: string) => void,
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
    server.listen(path);
  };
  return { ensure, close: () => server?.close() };
}

function takeLines(socket: Socket, line: (text: string) => void): void {
  let rest = "";
  socket.setEncoding("utf8");
  socket.on("error", () => undefined); // Its end is what counts, and that shows as silence.
  socket.on("data", (chunk: string) => {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > CHECK_IN_BYTES_MAX) socket.destroy();
    for (const text of lines) line(text);
  });
}
