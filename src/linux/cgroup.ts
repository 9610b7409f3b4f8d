import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { CodedError } from "../base/error.ts";

/** A control group (version 2): processes that cannot leave it by themselves, and that can be killed together. */
export interface ProcessGroup {
  readonly path: string;
  /** Moves a process with all its threads in; its later children start there. Throws `cgroup`. */
  add(pid: number): void;
  /** SIGKILL to all, those in groups below too. Returns at once; the kernel may take a moment. */
  kill(): void;
  isEmpty(): boolean;
}

/**
 * Makes the group `name` below the group of this process, or finds it with what an earlier process left in it.
 * Throws `cgroup` when there is no writable cgroup2 file system.
 */
export function openProcessGroup(name: string): ProcessGroup {
  const path = `${ownGroup()}/${name}`;
  tried(`make the cgroup "${path}"`, () => {
    if (!existsSync(path)) mkdirSync(path);
    writeFileSync(`${path}/cgroup.procs`, ""); // Writable at all? An empty text moves nobody.
  });
  return {
    path,
    add: (pid) =>
      tried(`move process ${pid} to the cgroup "${path}"`, () => writeFileSync(`${path}/cgroup.procs`, `${pid}`)),
    kill: () => tried(`kill the cgroup "${path}"`, () => killAll(path)),
    isEmpty: () =>
      tried(`read the cgroup "${path}"`, () => readFileSync(`${path}/cgroup.events`, "utf8").includes("populated 0")),
  };
}

/** The directory of this process's own group. */
function ownGroup(): string {
  const root = readFileSync("/proc/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    // The last one lies on top; one below another mount is listed and cannot be reached.
    .findLast((fields) => fields[2] === "cgroup2" && existsSync(`${fields[1]}/cgroup.procs`))?.[1];
  const own = readFileSync("/proc/self/cgroup", "utf8")
    .split("\n")
    .find((line) => line.startsWith("0::"))
    ?.slice("0::".length);
  if (root === undefined || own === undefined) throw new CodedError("cgroup", "Cannot find a cgroup2 file system");
  return `${root}${own}`.replace(/\/+$/, "");
}

function killAll(path: string): void {
  // Linux 5.14 and later kill all at once, before any of them can fork away.
  if (existsSync(`${path}/cgroup.kill`)) {
    writeFileSync(`${path}/cgroup.kill`, "1");
    return;
  }
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) killAll(`${path}/${entry.name}`);
  for (const pid of readFileSync(`${path}/cgroup.procs`, "utf8").split("\n").filter(Boolean)) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It ended by itself.
    }
  }
}

function tried<T>(action: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    throw new CodedError("cgroup", `Cannot ${action}`, error);
  }
}
