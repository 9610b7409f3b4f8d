import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { errorChain } from "../base/error.ts";
import { createIdentity, loadIdentity, saveIdentity } from "../cluster/identity.ts";
import { soloMembership } from "../raft/membership.ts";
import { decodeMembership, encodeMembership } from "../raft/membership-codec.ts";
import type { Member } from "../raft/types.ts";
import { syncDirectory, writeFileDurably } from "../store/durable-file.ts";
import { openLog } from "../store/log/log.ts";
import { type BackupHeader, extractBackup } from "../store/snapshot/backup.ts";
import { verifySnapshot } from "../store/snapshot/inspect.ts";
import { openSqlitePackage } from "../store/state/sqlite-package.ts";
import { STATE_FILE } from "../store/state/state.ts";
import type { BegunGeneration } from "./generation.ts";
import { CLUSTER_FILES, FORMER } from "./stand-down.ts";

/** What `onedb restore` leaves in {@link restoreDirectory}, written last: which server this box is to be, if it must be said. */
interface RestoreRequest {
  readonly serverId?: number;
}

export interface RestoreOptions {
  readonly data: string;
  /** Of box.conf; −1 when it says none. */
  readonly serverId: number;
  /** Where this box listens for peers, `host:port`. */
  readonly peerAddress: string;
  /** Root's credentials go with the state: the password is in it. */
  writeCredentials(line: string): void;
  log(text: string): void;
  /** The log's own when absent. */
  readonly segmentSizeBytes?: number | undefined;
  /** For the test that breaks it off. */
  readonly step?: ((name: string) => void) | undefined;
}

export const restoreDirectory = (data: string): string => `${data}/restore`;
const requestPath = (data: string): string => `${restoreDirectory(data)}/request.json`;

/** Somebody has laid a backup down and wants it. */
export function isRestoreRequested(data: string): boolean {
  return existsSync(requestPath(data));
}

/**
 * Makes this box its cluster's first of a new generation with the state of a backup; at a start, before anything else is
 * looked at. Built aside and proven first; a backup that is no good is thrown away with a word, and the box goes on as it
 * is. Then file by file the new takes the place of the old, which is kept in former/. Each start goes on where the one
 * before was broken off, and nothing else begins until it is done.
 */
export async function completeRestore(options: RestoreOptions): Promise<boolean> {
  const { data, log } = options;
  const directory = restoreDirectory(data);
  const step = options.step ?? (() => undefined);
  if (!isRestoreRequested(data)) {
    // A copy that was broken off before it was asked for.
    rmSync(directory, { recursive: true, force: true });
    return false;
  }
  if (!existsSync(`${directory}/ready`)) {
    try {
      await build(options, `${directory}/new`);
    } catch (error) {
      log(`the backup is not restored: ${errorChain(error)}`);
      forget(directory, data);
      return false;
    }
    step("built");
    writeFileDurably(`${directory}/ready`, "");
  }
  step("ready");
  exchange(data, directory, step);
  const header = JSON.parse(readFileSync(`${directory}/header.json`, "utf8")) as BackupHeader;
  if (header.oneAuth !== undefined) options.writeCredentials(header.oneAuth);
  // Empty on a fresh box, and when the step was taken already: then what is kept stays.
  if (readdirSync(`${directory}/old`).length > 0) {
    rmSync(`${data}/${FORMER}`, { recursive: true, force: true });
    renameSync(`${directory}/old`, `${data}/${FORMER}`);
    syncDirectory(data);
  }
  step("kept");
  forget(directory, data);
  log(`the backup at entry ${header.manifest.index} is restored: this box is a new generation of its cluster, alone`);
  return true;
}

/** The new data directory, all of it synced. */
async function build(options: RestoreOptions, directory: string): Promise<void> {
  const restore = restoreDirectory(options.data);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(`${directory}/state`, { recursive: true, mode: 0o700 });
  const header = await extractBackup(`${restore}/backup`, `${directory}/state/${STATE_FILE}`);
  const { manifest } = header;
  await verifySnapshot(openSqlitePackage, `${directory}/state/${STATE_FILE}`, manifest);
  const former = decodeMembership(Buffer.from(manifest.membership, "base64")).members;
  const known = loadIdentity(options.data);
  const request = JSON.parse(readFileSync(requestPath(options.data), "utf8")) as RestoreRequest;
  const place = placeOf(former, known?.raftId, request.serverId ?? options.serverId);
  const own = known?.cluster?.lineage === manifest.lineage ? known : undefined;
  const cluster = {
    lineage: manifest.lineage,
    generation: Math.max(manifest.generation, own?.cluster?.generation ?? 0) + 1,
  };
  // With its own identity a member is heard of by the others, which stand down for the generation. It has voted with it
  // in former ones only.
  const identity = own === undefined ? await createIdentity(cluster) : { ...own, cluster };
  const { generation } = cluster;
  const { raftId, certificateHash } = identity;
  const { serverId, name } = place;
  const value = soloMembership({ raftId, certificateHash, serverId, name, peerAddress: options.peerAddress });
  await writeLog(`${directory}/log`, options.segmentSizeBytes, manifest, encodeMembership(value));
  writeFileDurably(`${directory}/cluster.key`, Buffer.from(header.clusterKey, "base64"));
  const begun: BegunGeneration = {
    cluster,
    isInForce: true,
    fact: {
      ...{ generation, reason: "restore", by: "root", at: Date.now(), serverId, name },
      ...{ commit: manifest.index, lastIndex: manifest.index },
      former: former
        .filter((member) => member.raftId !== place.raftId)
        .map((member) => ({ serverId: member.serverId, name: member.name, peerAddress: member.peerAddress })),
    },
  };
  writeFileDurably(`${directory}/recovery.json`, `${JSON.stringify(begun, null, 2)}\n`);
  writeFileDurably(`${restore}/header.json`, JSON.stringify(header));
  saveIdentity(directory, identity);
  for (const path of [`${directory}/state`, `${directory}/log`, directory, restore]) syncDirectory(path);
}

/** A log that begins after the backup's last entry, with this box as its only voter. */
async function writeLog(
  directory: string,
  segmentSizeBytes: number | undefined,
  manifest: BackupHeader["manifest"],
  bytes: Uint8Array,
): Promise<void> {
  const { log } = await openLog(directory, { writer: "inline", segmentSizeBytes });
  const { index, term } = manifest;
  const hardState = { term, vote: "", promiseMs: 0, commit: index };
  await log.append({ entries: [], hardState, snapshot: { index, term, membership: { index, bytes } }, commit: index });
  await log.close();
}

/** Which of the backup's servers this box is: the one that it was, or was told to be, or the only one. */
function placeOf(members: readonly Member[], raftId: string | undefined, serverId: number): Member {
  const [only] = members.length === 1 ? members : [];
  const place =
    members.find((member) => member.raftId === raftId) ??
    members.find((member) => member.serverId === serverId && serverId >= 0) ??
    only;
  if (place !== undefined) return place;
  const list = members.map((member) => `${member.serverId} (${member.name})`).join(", ");
  throw new Error(`say which server this box is (--server): the backup has ${list}`);
}

/**
 * New for old. What still lies in new/ has not moved; what is of the old and has no successor moves once. Renames are
 * enough: each is whole or has not happened, and the last steps are not taken before all are durable.
 */
function exchange(data: string, directory: string, step: (name: string) => void): void {
  mkdirSync(`${directory}/old`, { recursive: true, mode: 0o700 });
  for (const name of [...CLUSTER_FILES, "stood-down.json"]) {
    const next = `${directory}/new/${name}`;
    const old = `${directory}/old/${name}`;
    const isNew = existsSync(next);
    // Without a successor, what is here of the names that have one is the successor: it moved in an earlier life.
    if (existsSync(`${data}/${name}`) && (isNew || !NEW_FILES.has(name))) renameSync(`${data}/${name}`, old);
    step(`old ${name}`);
    if (isNew) renameSync(next, `${data}/${name}`);
    step(`new ${name}`);
  }
  syncDirectory(data);
  syncDirectory(`${directory}/old`);
}

/** What {@link build} makes. */
const NEW_FILES: ReadonlySet<string> = new Set(["identity.json", "cluster.key", "log", "state", "recovery.json"]);

/** The request goes first: without it the rest is rubbish. */
function forget(directory: string, data: string): void {
  rmSync(requestPath(data), { force: true });
  syncDirectory(directory);
  rmSync(directory, { recursive: true, force: true });
  syncDirectory(data);
}
