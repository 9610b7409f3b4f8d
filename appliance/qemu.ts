import { copyFileSync, existsSync } from "node:fs";
import { CodedError } from "../src/base/error.ts";

/** How the emulated machine has its disk. */
export const DISK_KINDS = ["virtio", "ahci", "nvme", "usb"] as const;
export type DiskKind = (typeof DISK_KINDS)[number];

/** Which hardware watchdog it has: a PCI card with exact timing, or Intel's own, which resets at the second expiry. */
export const WATCHDOG_KINDS = ["i6300esb", "itco"] as const;
export type WatchdogKind = (typeof WATCHDOG_KINDS)[number];

/** One emulated box. */
export interface Machine {
  /** An image or an overlay over one. */
  readonly disk: { readonly file: string; readonly format: "raw" | "qcow2" };
  readonly diskKind: DiskKind;
  readonly isUefi: boolean;
  readonly memoryMib?: number;
  readonly watchdog?: WatchdogKind;
  /** Nothing is kept when it ends. */
  readonly isSnapshot?: boolean;
  /** Where UEFI may keep its variables; made when it is not there. */
  readonly variables?: string;
}

/** What the smallest box has. */
export const MEMORY_MIB = 256;
/**
 * UEFI firmware keeps some 60 MiB, GRUB a quarter of the rest, and the kernel unpacks itself into 64 MiB in one piece: *tried*,
 * 256 MiB do not do.
 */
export const MEMORY_MIB_UEFI = 384;
const FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const FIRMWARE_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd";

const DISKS: Readonly<Record<DiskKind, readonly string[]>> = {
  virtio: ["-device", "virtio-blk-pci,drive=disk"],
  ahci: ["-device", "ahci,id=ahci", "-device", "ide-hd,drive=disk,bus=ahci.0"],
  nvme: ["-device", "nvme,drive=disk,serial=ringfence"],
  usb: ["-device", "qemu-xhci", "-device", "usb-storage,drive=disk,removable=on"],
};

/**
 * QEMU's words for a box of the least kind: one processor that just suffices, little memory, a network card without a boot
 * program. The serial line, and what else it is to have, are the caller's.
 */
export function qemuWords(machine: Machine): readonly string[] {
  const { disk, diskKind, isUefi, watchdog } = machine;
  const memory = machine.memoryMib ?? (isUefi ? MEMORY_MIB_UEFI : MEMORY_MIB);
  const isQ35 = isUefi || watchdog === "itco";
  const snapshot = machine.isSnapshot === true ? ",snapshot=on" : "";
  return [
    ...["qemu-system-x86_64", "-accel", "tcg", "-cpu", "Nehalem", "-m", String(memory), "-smp", "1"],
    ...["-machine", isQ35 ? "q35" : "pc", "-nodefaults", "-display", "none"],
    ...["-drive", `if=none,id=disk,file=${disk.file},format=${disk.format},cache=unsafe${snapshot}`],
    ...DISKS[diskKind],
    ...(isUefi ? uefi(machine.variables) : []),
    ...(watchdog === "i6300esb" ? ["-device", "i6300esb", "-action", "watchdog=reset"] : []),
    ...(watchdog === "itco" ? ["-global", "ICH9-LPC.noreboot=false", "-action", "watchdog=reset"] : []),
  ];
}

/** A card on QEMU's own network, on which the box finds a DHCP server. */
export const USER_NETWORK: readonly string[] = [
  "-netdev",
  "user,id=net",
  "-device",
  "virtio-net-pci,netdev=net,romfile=",
];

function uefi(variables: string | undefined): readonly string[] {
  if (!existsSync(FIRMWARE)) throw new CodedError("uefi", `Cannot find ${FIRMWARE}: install ovmf`);
  if (variables !== undefined && !existsSync(variables)) copyFileSync(FIRMWARE_VARIABLES, variables);
  const file = variables ?? FIRMWARE_VARIABLES;
  return [
    ...["-drive", `if=pflash,format=raw,readonly=on,file=${FIRMWARE}`],
    ...["-drive", `if=pflash,format=raw,file=${file}${variables === undefined ? ",snapshot=on" : ""}`],
  ];
}
