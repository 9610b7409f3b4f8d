import type { BootMode, Slot } from "./grub-env.ts";
import { isBootKey, parseRelease, type Release } from "./release.ts";

/** Where the initramfs leaves its report. */
export const BOOT_REPORT_PATH = "/run/one/boot.json";

/** What the initramfs found and did. */
export interface BootReport {
  readonly slot: Slot;
  /** Which try of this slot it is since it was marked good, from 1 on; 0 when that is not known. */
  readonly try: number;
  readonly mode: BootMode;
  readonly disk: string;
  readonly esp: string;
  readonly slots: Readonly<Record<Slot, string>>;
  /** Undefined when there is none that can be used. */
  readonly data: string | undefined;
  /** Why there is none; "" when there is one. */
  readonly dataWhy: string;
  /** Of the slot that runs. */
  readonly release: Release;
  /** Whether dm-verity watches the root file system. */
  readonly isVerified: boolean;
  /** Fingerprint of the OpenPGP key whose signatures this box's boot loader demands; undefined: it demands none. */
  readonly bootKey: string | undefined;
}

/** Reads the initramfs's report. A string says why it is none. */
export function parseBootReport(text: string): BootReport | string {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text) as Record<string, unknown>;
  } catch {
    return "it is no JSON";
  }
  if (typeof value !== "object" || value === null) return "it is no object";
  const isDevice = (path: unknown): path is string => typeof path === "string" && path.startsWith("/");
  const { slot, mode, disk, esp, data, dataWhy, verity, bootKey } = value;
  const slots = (value["slots"] ?? {}) as Record<string, unknown>;
  if (slot !== "A" && slot !== "B") return `slot "${String(slot)}" is none`;
  if (mode !== "normal" && mode !== "recovery" && mode !== "reset") return `mode "${String(mode)}" is none`;
  const [A, B] = [slots["A"], slots["B"]];
  if (!isDevice(disk) || !isDevice(esp) || !isDevice(A) || !isDevice(B)) return "a device is missing";
  const release = parseRelease(JSON.stringify(value["footer"] ?? null));
  if (typeof release === "string") return `its footer: ${release}`;
  const tries = Number(value["try"]);
  return {
    ...{ slot, mode, disk, esp, slots: { A, B }, release },
    try: Number.isSafeInteger(tries) && tries >= 0 ? tries : 0,
    data: isDevice(data) ? data : undefined,
    dataWhy: typeof dataWhy === "string" ? dataWhy : "",
    isVerified: verity === true,
    bootKey: isBootKey(bootKey) ? bootKey : undefined,
  };
}
