import { fileURLToPath } from "node:url";
import { program } from "../../base/program.ts";
import type { Rpc } from "../client/rpc.ts";
import type { Context } from "../command.ts";
import { CommandFailure } from "../failure.ts";

/** The console as a program of its own: it needs nothing of a cluster, and this command may not need more. */
const PROGRAM = fileURLToPath(new URL(program("../../console.ts", import.meta.url), import.meta.url));

interface RecordRow {
  readonly at: number;
  readonly box: string;
  readonly line: string;
  readonly action: string;
  readonly detail: string;
  readonly outcome: string;
}

/** Does one action of the recovery console; its questions are answered by standard input, a line each. */
export async function execConsole({ words }: Context): Promise<void> {
  const child = Bun.spawn([process.execPath, PROGRAM, "--exec", ...words], {
    stdio: ["inherit", "inherit", "inherit"],
  });
  const code = await child.exited;
  if (code !== 0) throw new CommandFailure(`console exec ${words[0]} failed`, { exitCode: 1 });
}

export async function printConsoleRecord({ rpc, terminal }: Context): Promise<void> {
  terminal.out(await readConsoleRecord(rpc));
}

/** What the cluster's record has of all consoles, the newest first, a line each. */
export async function readConsoleRecord(rpc: Rpc): Promise<string> {
  const rows = JSON.parse(await rpc.read("ringfence.console.records")) as readonly RecordRow[];
  if (rows.length === 0) return "Nothing is on the record of the consoles.\n";
  return rows.map((row) => `${lineOf(row)}\n`).join("");
}

function lineOf({ at, box, line, action, detail, outcome }: RecordRow): string {
  const when = new Date(at).toISOString().slice(0, 19).replace("T", " ");
  return `${when} ${box} ${line}: ${action}${detail === "" ? "" : ` ${detail}`}: ${outcome}`;
}
