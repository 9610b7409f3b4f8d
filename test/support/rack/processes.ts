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
  /** `main` for bun .../src/main.ts, `libvirtd` for /usr/sbin/libvirtd. */
  readonly name: string;
  readonly words: readonly string[];
}

/** All processes in a node, the init's own shells included. */
export function processesOf(place: Place, plan: NodePlan): readonly NodeProcess[] {
  return processesIn(cgroupOf(place, plan.name)).flatMap((pid) => {
    const words = readWords(pid);
    return words === undefined || words.length === 0 ? [] : [{ pid, name: nameOf(words), words }];
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

/** A script counts by its own name, not by its interpreter's. */
function nameOf(words: readonly string[]): string {
  const script = words.find((word, index) => index > 0 && index < 4 && /\.(ts|js|sh)$/.test(word));
  // sshd writes a title of its own over its words: "sshd: /usr/sbin/sshd -D [listener] ...".
  const program = script ?? words[0]?.split(/:? /)[0] ?? "";
  return basename(program).replace(/\.(ts|js|sh)$/, "");
}

function readWords(pid: number): readonly string[] | undefined {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
      .split("\0")
      .filter((word) => word !== "");
  } catch {
    return undefined; // It ended while we looked.
  }
}
