/** The nodes' cgroups: whoever is in one is on, can be frozen at once and killed at once. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { waitFor } from "./command.ts";
import type { Place } from "./place.ts";

/** After SIGKILL to all, the kernel needs milliseconds; a machine under heavy load a second. */
const DEATH_TIMEOUT_MS = 10_000;

/** Path of a node's cgroup. */
export function cgroupOf(place: Place, node: string): string {
  return `${place.cgroup}/${node}`;
}

/** The words before a program that is to run in the cgroup of `node`; makes it. */
export function inCgroup(place: Place, node: string): readonly string[] {
  const path = cgroupOf(place, node);
  mkdirSync(path, { recursive: true });
  return ["sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', path];
}

/** True if any process is in the cgroup or below it. */
export function isPopulated(path: string): boolean {
  return readEvents(path).includes("populated 1");
}

/** True if the cgroup is being held still. */
export function isFrozen(path: string): boolean {
  return readEvents(path).includes("frozen 1");
}

/** Stops every process where it is; the kernel side of the node (ping, TCP) goes on answering. */
export async function setFrozen(path: string, frozen: boolean): Promise<void> {
  writeFileSync(`${path}/cgroup.freeze`, frozen ? "1" : "0");
  // An empty cgroup is frozen by definition, and thawed too.
  await waitFor(`${path} to be ${frozen ? "frozen" : "thawed"}`, DEATH_TIMEOUT_MS, () => isFrozen(path) === frozen, 1);
}

/** SIGKILL to all, frozen ones too, and waits until the last is gone. */
export async function killAll(path: string): Promise<void> {
  if (!existsSync(path)) return;
  writeFileSync(`${path}/cgroup.kill`, "1");
  await waitFor(`the processes in ${path} to die`, DEATH_TIMEOUT_MS, () => !isPopulated(path), 1);
  writeFileSync(`${path}/cgroup.freeze`, "0");
}

/** Removes an empty cgroup with those below it. */
export function removeCgroup(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(`${path}/${entry.name}`);
  }
  rmdirSync(path);
}

/** Process ids in the cgroup and below it. */
export function processesIn(path: string): readonly number[] {
  if (!existsSync(path)) return [];
  const own = readFileSync(`${path}/cgroup.procs`, "utf8").split("\n").filter(Boolean).map(Number);
  const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...own, ...below.flatMap((entry) => processesIn(`${path}/${entry.name}`))];
}

function readEvents(path: string): string {
  return existsSync(path) ? readFileSync(`${path}/cgroup.events`, "utf8") : "";
}
