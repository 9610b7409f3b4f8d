/**
 * A change of the network that takes itself back unless somebody who still sees the box says that it is good. The file
 * of before lies beside box.conf until then, so that a power cut in between is a change taken back, too.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { CodedError } from "../base/error.ts";
import { editNetwork, type NetworkAnswers } from "../box/network/edit.ts";
import { readConfig } from "../config/config.ts";
import { syncDirectory, writeFileDurably } from "../store/durable-file.ts";
import { type NetworkPlaces, setUpNetwork } from "./network.ts";

/** Long enough to walk to another machine and look; short enough to wait for when it was wrong. */
export const CONFIRM_WITHIN_MS = 120_000;

const unconfirmedPath = ({ boxConf }: NetworkPlaces): string => `${boxConf}.unconfirmed`;
/** What was in force before the last change that was kept. */
const beforePath = ({ boxConf }: NetworkPlaces): string => `${boxConf}.before`;

/** A change waits for its confirmation. */
export function isUnconfirmed(places: NetworkPlaces): boolean {
  return existsSync(unconfirmedPath(places));
}

/**
 * Checks the answers and writes them, with the file of before kept aside. Throws `network` with every mistake; then
 * nothing was changed.
 */
export function writeChange(places: NetworkPlaces, answers: NetworkAnswers): void {
  if (isUnconfirmed(places))
    throw new CodedError("network", "An earlier change waits to be kept or taken back: try again in two minutes");
  const before = existsSync(places.boxConf) ? readFileSync(places.boxConf, "utf8") : "";
  const after = editNetwork(before, answers);
  if (after === undefined)
    throw new CodedError("network", `Cannot change "${places.boxConf}": it cannot be read, see config`);
  const oned = existsSync(places.onedConf) ? readFileSync(places.onedConf, "utf8") : "";
  const result = readConfig({ name: places.onedConf, text: oned }, { name: "box.conf as it would be", text: after });
  if ("problems" in result)
    throw new CodedError(
      "network",
      `Nothing was changed:\n${result.problems.map((one) => `${one.file}:${one.line}: ${one.message}`).join("\n")}`,
    );
  writeFileDurably(unconfirmedPath(places), before);
  writeFileDurably(places.boxConf, after);
}

/** The change is good. False: none waits. */
export function keepChange(places: NetworkPlaces): boolean {
  if (!isUnconfirmed(places)) return false;
  renameSync(unconfirmedPath(places), beforePath(places));
  syncDirectory(dirname(places.boxConf));
  return true;
}

/** The file of before is in force again; at a boot, and when nobody confirmed. False: none waits. */
export function takeChangeBack(places: NetworkPlaces, log: (text: string) => void): boolean {
  if (!isUnconfirmed(places)) return false;
  const before = readFileSync(unconfirmedPath(places), "utf8");
  if (before === "") rmSync(places.boxConf, { force: true });
  else writeFileDurably(places.boxConf, before);
  rmSync(unconfirmedPath(places), { force: true });
  syncDirectory(dirname(places.boxConf));
  log("network: the change was not confirmed; what was before is in force again");
  return true;
}

/** Waits for the confirmation, for as long as it has; then takes the change back and sets up what was before. */
export async function watchChange(
  places: NetworkPlaces,
  log: (text: string) => void,
  withinMs: number = CONFIRM_WITHIN_MS,
): Promise<void> {
  leaveCgroup();
  for (const end = performance.now() + withinMs; performance.now() < end; await Bun.sleep(Math.min(500, withinMs / 4)))
    if (!isUnconfirmed(places)) return;
  if (takeChangeBack(places, log)) await setUpNetwork(places, log);
}

/** The console that started us may end, and what is left in its cgroup then is killed. */
function leaveCgroup(): void {
  try {
    writeFileSync("/sys/fs/cgroup/cgroup.procs", String(process.pid));
  } catch {
    // Without a writable cgroup2 nobody is killed by one.
  }
}
