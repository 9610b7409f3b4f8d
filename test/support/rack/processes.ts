/** The programs that run in a node, by the names that people call them. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { CodedError } from "../../../src/base/error.ts";
import { cgroupOf, processesIn } from "./cgroup.ts";
import type { Place } from "./place.ts";
import type { NodePlan } from "./plan.ts";

export interface NodeProcess {
  /** On this machine. */
  readonly pid: number;
  /** `main` for bun .../src/main.ts, `libvirtd` for /usr/sbin/libvirtd, `guest0` for the QEMU of domain guest0. */
  readonly name: string;
  readonly words: readonly string[];
  /** When it was started, in CLOCK_MONOTONIC ms, to 10 ms: a guest's boot counts from its QEMU's start. */
  readonly startedAtMs: number;
}

/** All processes in a node, the init's own shells included. */
export function processesOf(place: Place, plan: NodePlan): readonly NodeProcess[] {
  return processesIn(cgroupOf(place, plan.name)).flatMap((pid) => {
    const words = readWords(pid);
    const startedAtMs = readStart(pid);
    if (words === undefined || words.length === 0 || startedAtMs === undefined) return [];
    return [{ pid, name: nameOf(words), words, startedAtMs }];
  });
}

/** Signals all processes of this name in a node; their ids. Throws RACK_PROCESS with the names that run there. */
export function killProcess(
  place: Place,
  plan: NodePlan,
  name: string,
  signal: NodeJS.Signals = "SIGKILL",
): readonly number[] {
  const processes = processesOf(place, plan);
  const victims = processes.filter((process) => process.name === name).map((process) => process.pid);
  if (victims.length === 0) {
    const names = [...new Set(processes.map((process) => process.name))].join(", ") || "nothing";
    throw new CodedError("RACK_PROCESS", `Cannot find process "${name}" in ${plan.name}: it runs ${names}`);
  }
  for (const pid of victims) process.kill(pid, signal);
  return victims;
}

/** A script counts by its own name, not by its interpreter's; a QEMU by its guest's. */
function nameOf(words: readonly string[]): string {
  const guest = words.find((word) => word.startsWith("guest="));
  if (guest !== undefined && basename(words[0] ?? "").startsWith("qemu-"))
    return guest.slice("guest=".length).split(",")[0] ?? guest;
  const script = words.find((word, index) => index > 0 && index < 4 && /\.(ts|js|sh)$/.test(word));
  // sshd writes a title of its own over its words: "sshd: /usr/sbin/sshd -D [listener] ...".
  const program = script ?? words[0]?.split(/:? /)[0] ?? "";
  return basename(program).replace(/\.(ts|js|sh)$/, "");
}

function readWords(pid: number): readonly string[] | undefined {
  const text = readProc(pid, "cmdline");
  return text?.split("\0").filter((word) => word !== "");
}

/** Linux counts starts in hundredths of a second since boot; this machine does not sleep, so that is CLOCK_MONOTONIC. */
const TICK_MS = 10;
/** Position of the start among the fields that follow the program's name in parentheses. */
const START_FIELD = 19;

function readStart(pid: number): number | undefined {
  const fields = readProc(pid, "stat")?.split(") ").at(-1)?.split(" ");
  const ticks = fields?.[START_FIELD];
  return ticks === undefined ? undefined : Number(ticks) * TICK_MS;
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return undefined; // It ended while we looked.
  }
}
