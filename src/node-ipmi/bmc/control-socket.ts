import { rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import type { Bmc } from "./bmc.ts";
import { parseFault } from "./faults.ts";

/** A line is a small JSON object; whoever sends more is not talking to us. */
const LINE_BYTES_MAX = 4_096;

/**
 * Serves a BMC's faults on a Unix socket, a JSON line in, a JSON line out: `{"fault":NAME,"value":...}`,
 * `{"fault":"none"}`, `{"status":true}`. Answers `{"ok":true,...}` or `{"ok":false,"error":...}`.
 */
export async function serveControl(bmc: Bmc, path: string): Promise<Server> {
  rmSync(path, { force: true });
  const server = createServer((connection) => {
    let pending = "";
    connection.setEncoding("utf8");
    connection.on("error", () => connection.destroy());
    connection.on("data", (text: string) => {
      pending += text;
      const lines = pending.split("\n");
      pending = lines.pop() ?? "";
      if (pending.length > LINE_BYTES_MAX) connection.destroy();
      for (const line of lines) {
        void answer(bmc, line).then((result) => connection.write(`${JSON.stringify(result)}\n`));
      }
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return server;
}

async function answer(bmc: Bmc, line: string): Promise<object> {
  try {
    const request: unknown = JSON.parse(line);
    if (typeof request === "object" && request !== null && "status" in request) return await status(bmc);
    if (typeof request === "object" && request !== null && "fault" in request && request.fault === "none") {
      await bmc.clearFaults();
      return { ok: true, faults: bmc.faults };
    }
    const fault = parseFault(request);
    if (typeof fault === "string") return { ok: false, error: fault };
    await bmc.inject(fault);
    return { ok: true, faults: bmc.faults };
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) };
  }
}

async function status(bmc: Bmc): Promise<object> {
  const power = (await bmc.chassis.isOn()) ? "on" : "off";
  return { ok: true, power, sessions: bmc.activeSessions, changes: bmc.chassis.changes, faults: bmc.faults };
}
