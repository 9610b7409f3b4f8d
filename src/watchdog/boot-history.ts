/**
 * The loop breaker's memory: the last boots of this machine, a line each. A boot that was reset before it had lived for
 * ten minutes is one of a loop; three of them in a row, and main is left alone for a while: console, network and petting
 * go on. After that the other slot is the image's business.
 */
import type { ResetReason } from "./reset-reason.ts";

export interface Boot {
  readonly bootId: string;
  /** It lived long enough to be no part of a loop. */
  readonly isSettled: boolean;
  /** The hardware ended it, as far as the next boot could tell; undefined while it lives. */
  readonly wasReset: boolean | undefined;
}

/** Resets in a row, each of a boot that was not settled, that make a loop. */
export const LOOP_RESETS = 3;
const KEPT_BOOTS = 16;

/** Reads what {@link formatBoots} wrote; what is torn or foreign is left out. */
export function parseBoots(text: string): readonly Boot[] {
  return text.split("\n").flatMap((line) => {
    try {
      const { bootId, isSettled, wasReset } = JSON.parse(line) as Partial<Boot>;
      if (typeof bootId !== "string" || typeof isSettled !== "boolean") return [];
      return [{ bootId, isSettled, wasReset: typeof wasReset === "boolean" ? wasReset : undefined }];
    } catch {
      return [];
    }
  });
}

export function formatBoots(boots: readonly Boot[]): string {
  return boots.map((boot) => `${JSON.stringify(boot)}\n`).join("");
}

/**
 * What is known at the start of a supervisor: the boots with this one as the last. `isCardReset` is the device's word for
 * the end of the boot before, undefined when it cannot be relied on; then an end without a word counts as a reset, a power
 * cut too. Without a device nothing resets a box, so nothing is counted.
 */
export function enterBoot(
  boots: readonly Boot[],
  bootId: string,
  last: ResetReason | undefined,
  device: { readonly isCardReset: boolean | undefined } | undefined,
): readonly Boot[] {
  const before = boots.at(-1);
  if (before?.bootId === bootId) return boots;
  const ended = before === undefined ? [] : [{ ...before, wasReset: wasReset(before, last, device) }];
  return [...boots.slice(0, -1), ...ended, { bootId, isSettled: false, wasReset: undefined }].slice(-KEPT_BOOTS);
}

function wasReset(
  before: Boot,
  last: ResetReason | undefined,
  device: { readonly isCardReset: boolean | undefined } | undefined,
): boolean {
  if (device === undefined) return false;
  const isOfThatBoot = last?.bootId === before.bootId;
  if (isOfThatBoot && last.reason === "controlled-stop") return false;
  // Decided by the supervisor: the detail is written with the decision only.
  if (isOfThatBoot && last.detail !== "") return true;
  return device.isCardReset !== false;
}

/** This boot has lived for long enough. */
export function settle(boots: readonly Boot[], bootId: string): readonly Boot[] {
  return boots.map((boot) => (boot.bootId === bootId ? { ...boot, isSettled: true } : boot));
}

/** How many boots right before this one were reset before they were settled. */
export function resetsInARow(boots: readonly Boot[]): number {
  const former = boots.slice(0, -1);
  const end = former.findLastIndex((boot) => boot.wasReset !== true || boot.isSettled);
  return former.length - 1 - end;
}
