import { existsSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { type Identity, type Machine, saveIdentity } from "../cluster/identity.ts";
import { endStandDown, readStandDown, type StandDown } from "./stand-down.ts";

/** Where the kernel tells of board and disks; tests hand in directories of their own. */
export interface MachineFiles {
  readonly sys: string;
  readonly mounts: string;
}

const KERNEL: MachineFiles = { sys: "/sys", mounts: "/proc/self/mountinfo" };
/** What boards say that nobody has given a number: one repeated digit, and the example of a widespread firmware. */
const PLACEHOLDER = /^(.)\1*$|^03000200040005000006000700080009$/;

/** The board's number and the serial of the disk that holds `data`; null for what this machine does not tell. */
export function readMachine(data: string, files: MachineFiles = KERNEL): Machine {
  return { board: boardOf(files.sys), disk: diskOf(data, files) };
}

/** SMBIOS's UUID, or the serial number that a device tree has. */
function boardOf(sys: string): string | null {
  const text =
    readWord(`${sys}/class/dmi/id/product_uuid`) ?? readWord(`${sys}/firmware/devicetree/base/serial-number`);
  return text === null || PLACEHOLDER.test(text.replaceAll("-", "")) ? null : text;
}

function diskOf(data: string, { sys, mounts }: MachineFiles): string | null {
  const device = deviceOf(data, mounts);
  const link = `${sys}/dev/block/${device}`;
  if (device === undefined || !existsSync(link)) return null;
  const block = realpathSync(link);
  const disk = existsSync(`${block}/partition`) ? dirname(block) : block;
  return readWord(`${disk}/serial`) ?? readWord(`${disk}/device/serial`) ?? readWord(`${disk}/device/cid`);
}

/** `major:minor` of the mount that holds a path (proc(5), mountinfo: fields 3 and 5). */
function deviceOf(path: string, mounts: string): string | undefined {
  const real = realpathSync(path);
  const holding = readFileSync(mounts, "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, , , , point = "-"]) => point === "/" || real === point || real.startsWith(`${point}/`))
    .sort((a, b) => (a[4]?.length ?? 0) - (b[4]?.length ?? 0));
  // Of several mounts on one point the last one covers the others; sort keeps their order.
  return holding.at(-1)?.[2];
}

function readWord(path: string): string | null {
  try {
    const text = readFileSync(path, "utf8").replaceAll("\0", "").trim().toLowerCase();
    return text === "" ? null : text;
  } catch {
    // A machine that does not tell, or not to us, is a machine without this number.
    return null;
  }
}

/**
 * Why this data must not run here, or undefined. The board decides where both are known: a disk is replaced in place,
 * and its copy is the same box; a board that differs means that somewhere there may be the original.
 */
export function machineObstacle(bound: Machine | undefined, found: Machine): string | undefined {
  if (bound === undefined) return undefined;
  if (bound.board !== null && found.board !== null)
    return bound.board === found.board ? undefined : `board ${bound.board} before, ${found.board} now`;
  if (bound.disk === null || found.disk === null || bound.disk === found.disk) return undefined;
  return `disk ${bound.disk} before, ${found.disk} now`;
}

/** What a box says that finds itself on another machine. */
export function movedStandDown(why: string, at: string): StandDown {
  return {
    kind: "moved",
    text: `This box's data was made on another machine (${why}): was its disk moved or cloned? Two boxes of one identity would break the cluster's promises. If this is the only one and the other never runs again: ringfence identity accept. Else it joins as a new box: ringfence join-token on a member, then ringfence join TOKEN here`,
    at,
  };
}

const ACCEPTED = "machine-accepted";

/** A person has said that this is the only box of its identity (`ringfence identity accept`). */
export function isAccepted(data: string): boolean {
  return existsSync(`${data}/${ACCEPTED}`);
}

/** Binds the identity to the machine that it is on, and lets the box run again. */
export function acceptMachine(data: string, identity: Identity, found: Machine): Identity {
  const bound = bindMachine(data, identity, found);
  if (readStandDown(data)?.kind === "moved") endStandDown(data);
  rmSync(`${data}/${ACCEPTED}`, { force: true });
  return bound;
}

/** Keeps what is known of the machine with the identity; what it does not tell now is not forgotten. */
export function bindMachine(data: string, identity: Identity, found: Machine): Identity {
  const { board = null, disk = null } = identity.machine ?? {};
  const machine = { board: found.board ?? board, disk: found.disk ?? disk };
  if (identity.machine !== undefined && machine.board === board && machine.disk === disk) return identity;
  const bound = { ...identity, machine };
  saveIdentity(data, bound);
  return bound;
}
