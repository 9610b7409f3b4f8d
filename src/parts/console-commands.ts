import { createReadStream, existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { errorChain } from "../base/error.ts";
import { program } from "../base/program.ts";
import { withMode } from "../box/grub-env.ts";
import type { Program } from "../cli/command.ts";
import { slotText } from "../cli/ringfence/slot.ts";
import { run } from "../cli/run.ts";
import type { Terminal } from "../cli/terminal.ts";
import type { Action } from "../console/actions.ts";
import type { ConsoleRecord } from "../console/ports.ts";
import { COLUMNS } from "../console/screens.ts";
import type { ActionResult, Facts } from "../console/types.ts";
import { tailOf } from "./console-facts.ts";
import { changeNetwork, keepNetwork } from "./console-network.ts";
import type { ConsolePassword } from "./console-password.ts";
import type { ConsoleRecords } from "./console-records.ts";
import { installUpdate, switchSlot } from "./install-update.ts";
import { ownRpc, ownStatus } from "./own-status.ts";
import { paths } from "./paths.ts";
import { openSlots, rebootMachine, slotStatus } from "./slots.ts";
import { listSticks, type Sticks, withSticks } from "./usb-sticks.ts";

/** Four screens of ten lines a second at 9600 baud; the rest is in the file. */
const LOG_LINES = 100;
/** What a command may print before the rest is left out: a quarter of an hour at 9600 baud is enough. */
const OUTPUT_CHARACTERS_MAX = 256 * 1024;

/** A line that says so, and its record, are out by then. */
const REBOOT_MS = 1000;

export interface CommandsOptions {
  readonly endpoint: string;
  readonly version: string;
  readonly password: ConsolePassword;
  readonly records: ConsoleRecords;
  /** Runs a shell on the line; undefined where there is none to run it on. */
  readonly shell: (() => Promise<ActionResult>) | undefined;
}

/** Does what an action says: the commands' own code, against this box's own front-end. */
export class ConsoleCommands {
  readonly #options: CommandsOptions;

  constructor(options: CommandsOptions) {
    this.#options = options;
  }

  async run(action: Action, answers: readonly string[], facts: Facts): Promise<ActionResult> {
    const [first = "", second = ""] = answers;
    switch (action.name) {
      case "boxes":
        return this.#command(["status"]);
      case "evidence":
        return this.#command(["fence", "status"]);
      case "verify":
        return this.#command(["log", "verify"]);
      case "config":
        return this.#command(["config", "check"]);
      case "join":
        return this.#command(["join", first]);
      case "confirm":
        return this.#command(["fence", "confirm", first], [second]);
      case "arm":
        return this.#command(["fence", "arm"]);
      case "disarm":
        return this.#command(["fence", "disarm", first]);
      case "release":
        return this.#command(["leader", "move"]);
      case "transfer":
        return this.#command(["leader", "move", first]);
      case "force":
        return this.#command(["force-recover", "--yes", facts.box]);
      case "accept":
        return this.#command(["identity", "accept", "--yes"]);
      case "network":
        return changeNetwork(answers);
      case "keep":
        return keepNetwork();
      case "sticks":
        return withSticks((sticks) => listSticks(sticks));
      case "backup":
        return withSticks((sticks) => this.#backup(sticks, first === "-" ? undefined : first));
      case "restore":
        return withSticks((sticks) => this.#restore(sticks, first, second === "-" ? undefined : second));
      case "slots":
        return tellSlots();
      case "slot":
        return this.#slot();
      case "update":
        return withSticks((sticks) => sticks.find(first, (file) => this.#update(file)));
      case "reset":
        return resetBox();
      case "snooze":
        return this.#command(["watchdog", "snooze", "15m"]);
      case "leave":
        return this.#leave(facts);
      case "logs":
        return logLines(first);
      case "record":
        return this.#record();
      case "password":
        await this.#options.password.set(first);
        return { isDone: true, text: "The console password of this box is set." };
      case "restart":
        // A box that rests after too many resets has no program to end.
        return existsSync(`${paths.run}/recovery`) ? this.#command(["watchdog", "resume"]) : restartMain();
      case "reboot":
        rebootMachine();
        return { isDone: true, text: "The machine restarts; VIP and leadership are given up first." };
      case "shell":
        return this.#options.shell?.() ?? { isDone: false, text: "There is no terminal here to run a shell on." };
      default:
        return { isDone: false, text: `"${action.name}" cannot be done here.` };
    }
  }

  async #command(words: readonly string[], answers: readonly string[] = []): Promise<ActionResult> {
    return this.#program((await import("../cli/ringfence/program.ts")).RINGFENCE_PROGRAM, words, answers);
  }

  async #backup(sticks: Sticks, name: string | undefined): Promise<ActionResult> {
    const { DATABASE_PROGRAM } = await import("../cli/nouns/database.ts");
    return sticks.write(async (directory) => {
      const file = `${directory}/${name ?? `onedb-${new Date().toISOString().slice(0, 19).replace(/:/g, "-")}.backup`}`;
      return this.#program(DATABASE_PROGRAM, ["backup", file], []);
    });
  }

  async #restore(sticks: Sticks, name: string, server: string | undefined): Promise<ActionResult> {
    const { DATABASE_PROGRAM } = await import("../cli/nouns/database.ts");
    const which = server === undefined ? [] : ["--server", server];
    return sticks.find(name, async (file) => this.#program(DATABASE_PROGRAM, ["restore", "-f", ...which, file], []));
  }

  /** Without main, too: that may be what is wrong with the image that runs. */
  async #update(file: string): Promise<ActionResult> {
    const { slot, release } = await installUpdate(openSlots(), createReadStream(file), {
      status: await ownStatus(this.#options.endpoint),
      allowsDowngrade: false,
      log: () => undefined,
    });
    setTimeout(rebootMachine, REBOOT_MS);
    return { isDone: true, text: `Version ${release.version} is in slot ${slot}; the machine restarts with it. ` };
  }

  #slot(): Promise<ActionResult> {
    return orWhyNot(async () => {
      const { slot, release } = await switchSlot(openSlots(), await ownStatus(this.#options.endpoint));
      setTimeout(rebootMachine, REBOOT_MS);
      return `The machine restarts with version ${release.version} of slot ${slot}.`;
    });
  }

  async #leave(facts: Facts): Promise<ActionResult> {
    const serverId = facts.cluster?.serverId ?? -1;
    if (serverId < 0) return { isDone: false, text: "This box's number is not known: its program does not answer." };
    const { ZONE_PROGRAM } = await import("../cli/nouns/zone.ts");
    return this.#program(ZONE_PROGRAM, ["server-del", "0", String(serverId)], []);
  }

  async #program(program: Program, words: readonly string[], answers: readonly string[]): Promise<ActionResult> {
    let text = "";
    const left = [...answers];
    const take = (part: string): void => {
      text = (text + part).slice(0, OUTPUT_CHARACTERS_MAX);
    };
    const terminal: Terminal = {
      ...{ out: take, err: take, isTty: false, columns: COLUMNS },
      // As root's commands on a box: its own credentials, and nobody's home.
      env: { HOME: "/nonexistent", ONE_XMLRPC: this.#options.endpoint },
      readInput: () => "",
      ask: () => left.shift() ?? "",
      now: () => Date.now(),
    };
    const code = await run(program, words, terminal, `ringfence ${this.#options.version}`);
    return { isDone: code === 0, text };
  }

  async #record(): Promise<ActionResult> {
    const { readConsoleRecord } = await import("../cli/ringfence/console.ts");
    const waiting = this.#options.records.waiting();
    let told = "";
    let isDone = true;
    try {
      const rpc = ownRpc(this.#options.endpoint);
      if (rpc === undefined) throw new Error("this box's program has not run since the boot");
      told = await readConsoleRecord(rpc);
    } catch (error) {
      isDone = false;
      told = `The cluster's record cannot be read: ${error instanceof Error ? error.message : String(error)}\n`;
    }
    const own = waiting.length === 0 ? "" : `Not on the cluster's record yet:\n${waiting.map(recordText).join("\n")}\n`;
    return { isDone, text: `${own}${told}` };
  }
}

/** What was done, in words, or why it was not. */
async function orWhyNot(work: () => Promise<string>): Promise<ActionResult> {
  try {
    return { isDone: true, text: await work() };
  } catch (error) {
    return { isDone: false, text: errorChain(error) };
  }
}

/** From the slots themselves: main may be dead. */
function tellSlots(): Promise<ActionResult> {
  return orWhyNot(async () => slotText(await slotStatus(openSlots(), [])));
}

/** The next boot empties the data partition before anything uses it. */
export function resetBox(): Promise<ActionResult> {
  return orWhyNot(async () => {
    await openSlots().env.change((env) => withMode(env, "reset"));
    setTimeout(rebootMachine, REBOOT_MS);
    return "The machine restarts, and is a new box then.";
  });
}

function recordText(record: ConsoleRecord): string {
  return `${new Date(record.at).toISOString()} ${record.box} ${record.line}: ${record.action} ${record.detail}: ${record.outcome}`;
}

function logLines(name: string): ActionResult {
  const path = `${paths.log}/${name}.log`;
  const lines = tailOf(path).slice(-LOG_LINES);
  if (lines.length === 0) return { isDone: false, text: `${path} is empty or cannot be read.` };
  return { isDone: true, text: lines.join("\n") };
}

/** Main's end by SIGTERM is in order: VIP and leadership first. The supervisor starts it again. */
function restartMain(): ActionResult {
  const ids = mainProcesses();
  for (const id of ids) process.kill(id, "SIGTERM");
  return ids.length === 0
    ? { isDone: false, text: "This box's program does not run; the supervisor tries to start it: logs supervisor." }
    : { isDone: true, text: `Process ${ids.join(", ")} was told to end; the supervisor starts it again.` };
}

/** Main processes that a supervisor started in this process's own PID and mount namespaces. */
function mainProcesses(): readonly number[] {
  const main = fileURLToPath(new URL(program("../main.ts", import.meta.url), import.meta.url));
  const namespace = readlinkSync("/proc/self/ns/mnt");
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
        return words.includes(main) && readlinkSync(`/proc/${name}/ns/mnt`) === namespace;
      } catch {
        return false; // It ended meanwhile.
      }
    })
    .map(Number);
}
