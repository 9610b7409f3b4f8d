import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import type { ClusterId } from "../cluster/identity.ts";
import type { StandDownOrder } from "../cluster/refusal.ts";
import type { Member } from "../raft/types.ts";
import { syncDirectory, writeFileDurably } from "../store/durable-file.ts";

/**
 * Why this box does not run with what is in its data directory, until a person joins it again. `ringfence status` on the
 * box prints `text`.
 */
export interface StandDown {
  readonly kind: StandDownOrder["kind"] | "damaged" | "moved";
  /** For people: what happened and what to do. */
  readonly text: string;
  /** Wall time, for people. */
  readonly at: string;
  /** Of a damaged box: how often it has taken its own place since a person joined it. */
  readonly rejoins?: number;
}

/** Storage that is damaged again and again is a person's case: the box goes on rotting otherwise, one identity after the other. */
const REJOINS_MAX = 3;

/** What a cluster's member has in its data directory: set aside together, so that no half of it is ever used. */
export const CLUSTER_FILES = [
  "identity.json",
  "bootstrap.json",
  "cluster.key",
  "log",
  "state",
  "snapshots",
  "recovery.json",
  "contacts.json",
] as const;

const FILE = "stood-down.json";
/** The last membership's data; one only, so that a box that is joined again and again does not fill its disk. */
export const FORMER = "former";
const UNFINISHED = "former.new";

/** The order as it is kept and shown. */
export function standDownOf(
  order: StandDownOrder,
  self: { readonly cluster: ClusterId; readonly member: Member | undefined },
  at: string,
): StandDown {
  const { cluster, member } = self;
  const box =
    member === undefined || member.serverId < 0 ? "This box" : `This box (server ${member.serverId}, "${member.name}")`;
  const what =
    order.kind === "removed"
      ? `${box} was removed from its cluster ${cluster.lineage}`
      : `${box} stands down: its cluster ${cluster.lineage} goes on as generation ${order.cluster.generation}, and it is of generation ${cluster.generation}`;
  return {
    kind: order.kind,
    text: `${what}. It votes and serves no more and waits to be joined again: onezone server-add or ringfence join-token on a member, then ringfence join TOKEN here. Its data is kept until then, and once in ${FORMER}/ after`,
    at,
  };
}

/**
 * A box whose log or state is damaged must not go on as who it was: it forgot what it acknowledged or whom it voted for.
 * `why` says what is damaged.
 */
export function damagedStandDown(data: string, why: string, at: string): StandDown {
  const rejoins = (readStandDown(`${data}/${FORMER}`)?.rejoins ?? 0) + 1;
  const next =
    rejoins > REJOINS_MAX
      ? `It was damaged ${rejoins} times: look at its disk, then ringfence join-token on a member and ringfence join TOKEN here`
      : "It asks the others to take it in again, under a new identity, and takes over their state";
  return { kind: "damaged", text: `${why}. ${next}. Its data is kept once in ${FORMER}/`, at, rejoins };
}

/** May it ask for its own place without a token? */
export function mayRejoin(standDown: StandDown | undefined): boolean {
  return standDown?.kind === "damaged" && (standDown.rejoins ?? 0) <= REJOINS_MAX;
}

/** A person has joined this box: what was before does not count any more. */
export function forgetRejoins(data: string, standDown: StandDown): void {
  writeFileDurably(`${data}/${FILE}`, `${JSON.stringify({ ...standDown, rejoins: 0 }, null, 2)}\n`);
}

/** Durable before the process ends: the next start goes by it. The first reason stays. */
export function recordStandDown(data: string, standDown: StandDown): void {
  if (!existsSync(`${data}/${FILE}`)) writeFileDurably(`${data}/${FILE}`, `${JSON.stringify(standDown, null, 2)}\n`);
}

/** Undefined for a box that may run. */
export function readStandDown(data: string): StandDown | undefined {
  const path = `${data}/${FILE}`;
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as StandDown) : undefined;
}

/** A person has decided that the box may run with what it has. */
export function endStandDown(data: string): void {
  rmSync(`${data}/${FILE}`, { force: true });
  syncDirectory(data);
}

/**
 * Takes everything of the former membership out of the way, durably, and ends the standing down: what is joined next
 * starts from nothing. A crash at any step leaves a box that stands down still, or one whose data directory is empty;
 * calling it again, or {@link finishSetAside}, goes on. `rename` is handed in by the test that breaks it off.
 */
export function setAside(data: string, rename: (from: string, to: string) => void = renameSync): void {
  mkdirSync(`${data}/${UNFINISHED}`, { recursive: true, mode: 0o700 });
  for (const name of CLUSTER_FILES)
    if (existsSync(`${data}/${name}`)) rename(`${data}/${name}`, `${data}/${UNFINISHED}/${name}`);
  syncDirectory(`${data}/${UNFINISHED}`);
  syncDirectory(data);
  // Last: until here the box stands down, whatever is missing already.
  if (existsSync(`${data}/${FILE}`)) rename(`${data}/${FILE}`, `${data}/${UNFINISHED}/${FILE}`);
  syncDirectory(data);
  finishSetAside(data, rename);
}

/** At each start: what a crash left between the last two steps. */
export function finishSetAside(data: string, rename: (from: string, to: string) => void = renameSync): void {
  if (!existsSync(`${data}/${UNFINISHED}`) || existsSync(`${data}/${FILE}`)) return;
  rmSync(`${data}/${FORMER}`, { recursive: true, force: true });
  rename(`${data}/${UNFINISHED}`, `${data}/${FORMER}`);
  syncDirectory(data);
}
