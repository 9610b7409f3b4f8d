import { mkdirSync, rmSync } from "node:fs";
import { errorChain } from "../../base/error.ts";
import { openLog } from "../log/log.ts";
import type { Disk, LogOptions } from "../log/types.ts";
import { appliedOf } from "../state/applied-of.ts";
import { openSqlitePackage } from "../state/sqlite-package.ts";
import { STATE_FILE } from "../state/state.ts";
import type { OpenDatabase } from "../state/types.ts";
import { exists, moveDurably, removeDatabase, SIDE_FILES, syncDirectory } from "./files.ts";
import { INCOMING, type Received, readReceived } from "./incoming.ts";
import { obstacleToInstall } from "./policy.ts";

export interface InstallOptions {
  readonly logDirectory: string;
  readonly stateDirectory: string;
  readonly snapshotDirectory: string;
  /** The cluster that this box belongs to: another's state never gets in. */
  readonly cluster: { readonly lineage: string; readonly generation: number };
  readonly openDatabase?: OpenDatabase | undefined;
  /** For tests of a crash at each step. */
  readonly logOptions?: Pick<LogOptions, "segmentSizeBytes"> & { readonly disk?: Disk };
  readonly step?: ((name: string) => void) | undefined;
  log(text: string): void;
}

/**
 * The one place where a snapshot becomes this box's state: at a start, before log and state are opened, with the data
 * directory held. Each step is durable before the next, and doing them again does nothing:
 *
 * 1. `received.json`: is it still wanted? If not, it goes.
 * 2. The log gets the snapshot's mark, synced: it starts after the snapshot from now on.
 * 3. `received.json` becomes `installing.json`: from here there is no way back.
 * 4. The old database's side files go (SQLite would play them into the new one), then the new one takes its place.
 * 5. `installing.json` goes.
 *
 * Returns the index that the state is at, undefined when there was nothing to install.
 */
export async function completeInstall(options: InstallOptions): Promise<number | undefined> {
  const { snapshotDirectory: directory } = options;
  const step = options.step ?? (() => undefined);
  if (!exists(`${directory}/${INCOMING.installing}`)) {
    const received = readReceived(`${directory}/${INCOMING.received}`);
    if (received === undefined) return undefined;
    if (!(await markLog(options, received))) return undefined;
    step("marked");
    moveDurably(`${directory}/${INCOMING.received}`, `${directory}/${INCOMING.installing}`);
    step("decided");
  }
  const index = readReceived(`${directory}/${INCOMING.installing}`)?.manifest.index ?? 0;
  swapState(options, step);
  rmSync(`${directory}/${INCOMING.installing}`);
  syncDirectory(directory);
  options.log(`the snapshot up to ${index} is this box's state`);
  return index;
}

/** Step 1 and 2. False when the snapshot was discarded. */
async function markLog(options: InstallOptions, received: Received): Promise<boolean> {
  const { manifest, isForced } = received;
  const { log, recovered } = await openLog(options.logDirectory, { ...options.logOptions, writer: "inline" });
  try {
    // Such a log must not vote, whatever its state: the start that follows says so.
    if (recovered.damage.kind !== "none") return false;
    const obstacle =
      obstacleOfCluster(options, received) ??
      obstacleToInstall(manifest, { applied: await appliedHere(options), log, commit: recovered.commit }, isForced);
    if (obstacle !== undefined) {
      options.log(`a received snapshot is thrown away: ${obstacle}`);
      discard(options.snapshotDirectory);
      return false;
    }
    const membership = { index: manifest.membershipIndex, bytes: Buffer.from(manifest.membership, "base64") };
    const { index, term } = manifest;
    await log.append({ entries: [], snapshot: { index, term, membership }, commit: index });
    return true;
  } finally {
    await log.close();
  }
}

function obstacleOfCluster({ cluster, snapshotDirectory }: InstallOptions, { manifest }: Received): string | undefined {
  if (!exists(`${snapshotDirectory}/${INCOMING.database}`)) return "its database is missing";
  if (manifest.lineage !== cluster.lineage) return "it is another cluster's";
  if (manifest.generation !== cluster.generation)
    return `it is of generation ${manifest.generation}, ${cluster.generation} is in force here`;
  return undefined;
}

/** Where the state is; 0 when it is lost, which a snapshot mends. */
async function appliedHere({ stateDirectory, openDatabase, log }: InstallOptions): Promise<number> {
  const path = `${stateDirectory}/${STATE_FILE}`;
  if (!exists(path)) return 0;
  try {
    return (await appliedOf(openDatabase ?? openSqlitePackage, path)).index;
  } catch (error) {
    log(`the state cannot be read and is replaced: ${errorChain(error)}`);
    return 0;
  }
}

/** Step 4. */
function swapState({ stateDirectory, snapshotDirectory }: InstallOptions, step: (name: string) => void): void {
  const database = `${snapshotDirectory}/${INCOMING.database}`;
  if (!exists(database)) return;
  mkdirSync(stateDirectory, { recursive: true, mode: 0o700 });
  const path = `${stateDirectory}/${STATE_FILE}`;
  for (const side of SIDE_FILES) rmSync(`${path}${side}`, { force: true });
  syncDirectory(stateDirectory);
  step("cleared");
  moveDurably(database, path);
  syncDirectory(snapshotDirectory);
  step("swapped");
}

function discard(directory: string): void {
  rmSync(`${directory}/${INCOMING.received}`, { force: true });
  syncDirectory(directory);
  removeDatabase(`${directory}/${INCOMING.database}`);
}
