import { existsSync } from "node:fs";
import { CodedError } from "../src/base/error.ts";

/** How the machine finds its disk. */
export const DISKS = ["virtio", "ahci", "nvme", "usb"] as const;
export type Disk = (typeof DISKS)[number];

/** Which hardware watchdog it has: a PCI card with exact timing, or Intel's own, which resets at its second expiry. */
export const WATCHDOGS = ["i6300esb", "itco"] as const;
export type Watchdog = (typeof WATCHDOGS)[number];

export interface EmulatedMachine {
  /** A raw image, or a qcow2 over one. */
  readonly image: string;
  readonly format: "raw" | "qcow2";
  readonly disk: Disk;
  /** Without: SeaBIOS. */
  readonly isUefi: boolean;
  readonly watchdog?: Watchdog | undefined;
  /** What is promised to do, unless given. */
  readonly memoryMib?: number;
}

/** The smallest box. */
const MEMORY_MIB = 256;
/**
 * OVMF keeps some 60 MiB, GRUB a quarter of the rest, and the kernel unpacks itself into 64 MiB in one piece. *Tried*: 256
 * MiB do not do ("out of memory"), 320 do.
 */
const MEMORY_MIB_UEFI = 320;
/** Debian's ovmf: firmware that is only read; its variables are lost with the machine. */
const OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/** A card on QEMU's own network, where a DHCP server answers; with `apiPort` the box's front-end is there on localhost. */
export function userNetwork(apiPort?: number): readonly string[] {
  const forward = apiPort === undefined ? "" : `,hostfwd=tcp:127.0.0.1:${apiPort}-:2633`;
  return ["-netdev", `user,id=net${forward}`, "-device", "virtio-net-pci,netdev=net,romfile="];
}

/** A stick on a USB port of its own. */
export function usbStick(file: string): readonly string[] {
  const drive = ["-drive", `if=none,id=stick,format=raw,file=${file}`];
  return [
    "-device",
    "qemu-xhci,id=stick-bus",
    ...drive,
    "-device",
    "usb-storage,bus=stick-bus.0,drive=stick,removable=on",
  ];
}

/**
 * The words of QEMU for a box of the smallest kind that is promised to work: x86-64-v2, one processor, software emulation
 * only; a watchdog's bite is a reset. Serial line, network and monitor are the caller's.
 */
export function emulator(machine: EmulatedMachine): readonly string[] {
  const { image, format, disk, isUefi, watchdog } = machine;
  const memory = machine.memoryMib ?? (isUefi ? MEMORY_MIB_UEFI : MEMORY_MIB);
  return [
    ...["qemu-system-x86_64", "-accel", "tcg", "-cpu", "Nehalem", "-smp", "1", "-m", String(memory)],
    ...["-machine", isUefi || watchdog === "itco" ? "q35" : "pc", "-nodefaults", "-display", "none"],
    ...(isUefi ? firmware() : []),
    ...["-drive", `if=none,id=disk,format=${format},file=${image}`],
    ...controllers[disk],
    ...(watchdog === undefined ? [] : [...watchdogs[watchdog], "-action", "watchdog=reset"]),
  ];
}

const controllers: Readonly<Record<Disk, readonly string[]>> = {
  virtio: ["-device", "virtio-blk-pci,drive=disk"],
  ahci: ["-device", "ahci,id=ahci", "-device", "ide-hd,drive=disk,bus=ahci.0"],
  nvme: ["-device", "nvme,drive=disk,serial=ringfence"],
  usb: ["-device", "qemu-xhci", "-device", "usb-storage,drive=disk,removable=on"],
};

const watchdogs: Readonly<Record<Watchdog, readonly string[]>> = {
  i6300esb: ["-device", "i6300esb"],
  itco: ["-global", "ICH9-LPC.noreboot=false"],
};

function firmware(): readonly string[] {
  if (!existsSync(OVMF)) throw new CodedError("emulator", `Cannot start with UEFI: "${OVMF}" is missing`);
  return [
    ...["-drive", `if=pflash,format=raw,readonly=on,file=${OVMF}`],
    ...["-drive", `if=pflash,format=raw,snapshot=on,file=${OVMF_VARIABLES}`],
  ];
}
