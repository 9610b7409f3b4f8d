import { readFileSync, rmSync } from "node:fs";
import { CLOCK_RATE_ERROR } from "../cluster/lease.ts";
import type { Clock } from "../linux/clock.ts";
import { writeFileDurably } from "../store/durable-file.ts";

/** Where and when a process lives. */
export interface Life {
  /** Another one after every start of the machine. */
  readonly bootId: string;
  /** The machine; "" when it does not say. A disk that was moved has kept running elsewhere until a moment ago. */
  readonly machine: string;
}

/**
 * Notes that a process of this boot begins, and says for how long it votes for nobody, ms. Called before it promises
 * anything.
 */
export function beginLife(dataDirectory: string, promiseMs: number, clock: Pick<Clock, "bootId" | "bootTime">): number {
  const present = { bootId: clock.bootId(), machine: machineId() };
  const former = noteLife(`${dataDirectory}/boot.json`, present);
  return startupPromiseMs(promiseMs, former, present, upMs(clock.bootTime(), readFileSync("/proc/1/stat", "utf8")));
}

/** Of /proc/1/stat, 1/100 s: what is read may be that much too old. */
const START_TIME_TICK_MS = 10;

/**
 * For how long a box that starts votes for nobody, ms: the largest promise that it ever gave, less the time for which its
 * machine has certainly been up since all of them. Only a reboot of the same machine gives credit: in the same boot, and
 * on another machine, a promise may have been given a moment ago.
 */
export function startupPromiseMs(promiseMs: number, former: Life | undefined, present: Life, upMs: number): number {
  const isReboot =
    former !== undefined &&
    present.machine !== "" &&
    former.machine === present.machine &&
    former.bootId !== present.bootId;
  if (!isReboot) return promiseMs;
  const certainMs = Math.max(0, upMs - START_TIME_TICK_MS) * (1 - CLOCK_RATE_ERROR);
  return Math.max(0, promiseMs - certainMs);
}

/**
 * Notes this life in `path`, durably, before it promises anything; returns the one that was noted before. A note that
 * cannot be read counts as none; where none can be written (the disk is full), an older one goes, or the next start in
 * this boot would take it for that of another boot.
 */
export function noteLife(path: string, present: Life): Life | undefined {
  const former = readLife(path);
  if (former?.bootId !== present.bootId || former.machine !== present.machine)
    try {
      writeFileDurably(path, `${JSON.stringify(present)}\n`);
    } catch {
      rmSync(path, { force: true });
    }
  return former;
}

function readLife(path: string): Life | undefined {
  try {
    const { bootId, machine } = JSON.parse(readFileSync(path, "utf8")) as Partial<Life>;
    return typeof bootId === "string" && typeof machine === "string" ? { bootId, machine } : undefined;
  } catch {
    // None yet, or not ours: then no time is credited.
    return undefined;
  }
}

/** This machine's identity by its firmware; "" where there is none. */
export function machineId(path = "/sys/class/dmi/id/product_uuid"): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}

/** How old process 1 is, ms: the machine is no younger, nor is a container's. `bootTimeMs`: CLOCK_BOOTTIME. */
export function upMs(bootTimeMs: number, stat: string): number {
  // The name in parentheses may hold anything; the start time is field 22 of all, the 20th after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const startedMs = Number(fields[19]) * START_TIME_TICK_MS;
  return Number.isFinite(startedMs) ? Math.max(0, bootTimeMs - startedMs) : 0;
}
