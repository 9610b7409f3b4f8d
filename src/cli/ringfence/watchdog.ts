import { connect } from "node:net";
import type { Context } from "../command.ts";
import { CommandFailure } from "../failure.ts";
import { typed } from "./typed.ts";

const SOCKET = "/run/one/supervisor.sock";
/** The supervisor answers in some ms; one that hangs is what the hardware is for. */
const ANSWER_WITHIN_MS = 5000;
const ANSWER_BYTES_MAX = 16 * 1024;
const SNOOZE_SECONDS_MAX = 15 * 60;
const FREEZABLE = ["raft", "work", "apply", "disk"];

interface Status {
  readonly device: { readonly name: string; readonly timeoutMs: number; readonly pettedAgoMs: number | null } | null;
  readonly main: {
    readonly state: string;
    readonly pid: number | null;
    readonly sinceMs: number;
    readonly clients: readonly { readonly client: string; readonly ageMs: number | null; readonly limitMs: number }[];
  };
  readonly failures: number;
  readonly hangs: number;
  readonly snoozeMs: number;
  readonly doomMs: number | null;
  readonly rest: { readonly why: string; readonly leftMs: number | null } | null;
  readonly lastEnd: string;
}

export async function watchdogStatus({ terminal, options }: Context): Promise<void> {
  const status = (await ask({ ask: "status" })) as unknown as Status;
  if (options.has("json")) return terminal.out(`${JSON.stringify(status, null, 2)}\n`);
  terminal.out(statusText(status));
}

export function statusText({ device, main, failures, hangs, snoozeMs, doomMs, rest, lastEnd }: Status): string {
  const lines = [
    device === null
      ? "watchdog  none: nothing resets this box"
      : `watchdog  ${device.name}, resets after ${seconds(device.timeoutMs)}, petted ${seconds(device.pettedAgoMs)} ago`,
    `last end  ${lastEnd}`,
    `program   ${main.state}${main.pid === null ? "" : `, process ${main.pid}`}, for ${seconds(main.sinceMs)}`,
    ...main.clients.map(
      ({ client, ageMs, limitMs }) =>
        `  ${client.padEnd(8)}${ageMs === null ? "not expected" : `heard ${seconds(ageMs)} ago`} of ${seconds(limitMs)}`,
    ),
  ];
  if (failures > 0) lines.push(`failures  ${failures} in a row`);
  if (hangs > 0) lines.push(`hangs     ${hangs} lately`);
  if (snoozeMs > 0) lines.push(`snooze    hangs are borne for ${seconds(snoozeMs)} more`);
  if (rest !== null)
    lines.push(
      `recovery  ${rest.why}${rest.leftMs === null ? "" : `; the program is tried in ${seconds(rest.leftMs)}`}`,
    );
  if (doomMs !== null) lines.push(`RESET     petting ended ${seconds(doomMs)} ago: the hardware resets this box`);
  return lines.map((line) => `${line}\n`).join("");
}

export async function snooze({ terminal, words }: Context): Promise<void> {
  await order(terminal, { ask: "snooze", seconds: snoozeSeconds(words[0] ?? "15m") });
}

/** `90s`, `15m`; never longer than a quarter of an hour. Throws CommandFailure. */
export function snoozeSeconds(word: string): number {
  const [, number = "", unit = ""] = /^(\d{1,4})(s|m)$/.exec(word) ?? [];
  const value = Number(number) * (unit === "m" ? 60 : 1);
  if (number === "" || value === 0) throw new CommandFailure(`invalid argument: ${word} is no time such as 15m or 90s`);
  if (value > SNOOZE_SECONDS_MAX) throw new CommandFailure(`${word} is longer than 15m, and no snooze is`);
  return value;
}

export async function bite({ terminal, options }: Context): Promise<void> {
  const client = options.get("freeze");
  const stops = options.has("stop-petting");
  if (stops === (client !== undefined)) throw new CommandFailure("Say one of --stop-petting and --freeze <client>");
  if (client !== undefined && !FREEZABLE.includes(client))
    throw new CommandFailure(`invalid argument: --freeze ${client} is none of ${FREEZABLE.join(", ")}`);
  const what = stops
    ? "The hardware resets this machine, all that runs on it included."
    : "This box's program hangs in part, loses VIP and leadership, and is started again.";
  await typed({ terminal, options }, "yes", `${what} Type yes: `, "Nothing was done.");
  await order(terminal, stops ? { ask: "stop-petting" } : { ask: "freeze", client });
}

export async function resume({ terminal }: Context): Promise<void> {
  await order(terminal, { ask: "resume" });
}

async function order({ out }: Context["terminal"], request: object): Promise<void> {
  const { isDone, text } = await ask({ ...request, by: whoAsks() });
  if (isDone !== true) throw new CommandFailure(`Nothing was done: ${String(text)}`);
  out(`${String(text)}\n`);
}

/** The socket is root's, so who asks is root; by whose hand is worth a word. */
function whoAsks(): string {
  const hand = process.env["SUDO_USER"];
  return hand === undefined ? "root" : `root (${hand})`;
}

/** One question to the supervisor of this box. Throws CommandFailure. */
export function ask(request: object, path: string = SOCKET): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      socket.destroy();
      reject(new CommandFailure(`The supervisor of this box does not answer on ${path}: ${why}`));
    };
    const socket = connect(path, () => socket.write(`${JSON.stringify(request)}\n`));
    const timer = setTimeout(() => fail(`nothing came in ${ANSWER_WITHIN_MS / 1000} s`), ANSWER_WITHIN_MS);
    let text = "";
    socket.setEncoding("utf8");
    socket.on("error", (error) => fail(error.message));
    socket.on("close", () => clearTimeout(timer));
    socket.on("data", (part: string) => {
      text += part;
      if (text.length > ANSWER_BYTES_MAX) return fail("its answer has no end");
      if (!text.includes("\n")) return;
      socket.destroy();
      try {
        resolve(JSON.parse(text) as Record<string, unknown>);
      } catch {
        fail("what came is no answer");
      }
    });
  });
}

function seconds(ms: number | null): string {
  return ms === null ? "never" : `${(ms / 1000).toFixed(ms < 100_000 ? 1 : 0)} s`;
}
