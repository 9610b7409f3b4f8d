import { existsSync } from "node:fs";
import { CodedError } from "../src/base/error.ts";

/** How the machine finds its disk. */
export const DISKS = ["virtio", "ahci", "nvme", "usb"] as const;
export type Disk = (typeof DISKS)[number];

export interface EmulatedMachine {
  /** A raw image, or a qcow2 over one. */
  readonly image: string;
  readonly format: "raw" | "qcow2";
  readonly disk: Disk;
  /** Without: SeaBIOS. */
  readonly isUefi: boolean;
  readonly memoryMb: number;
}

/** Debian's ovmf: firmware that is only read; its variables are lost with the machine. */
const OVMF = "/usr/share/OVMF/OVMF_CODE.fd";

/**
 * The words of QEMU for a box of the smallest kind that is promised to work: x86-64-v2, one processor, software emulation
 * only, Intel's i6300esb as its watchdog, whose bite is a reset. Serial line, display and monitor are the caller's.
 */
export function emulator(machine: EmulatedMachine): readonly string[] {
  const { image, format, disk, isUefi, memoryMb } = machine;
  if (isUefi && !existsSync(OVMF)) throw new CodedError("emulator", `Cannot start with UEFI: "${OVMF}" is missing`);
  return [
    ...["qemu-system-x86_64", "-accel", "tcg", "-cpu", "Nehalem", "-smp", "1", "-m", String(memoryMb)],
    ...(isUefi ? ["-drive", `if=pflash,format=raw,readonly=on,file=${OVMF}`] : []),
    ...["-drive", `if=none,id=disk,format=${format},file=${image}`],
    ...controllers[disk],
    ...["-nic", "none", "-device", "i6300esb", "-action", "watchdog=reset"],
  ];
}

const controllers: Readonly<Record<Disk, readonly string[]>> = {
  virtio: ["-device", "virtio-blk-pci,drive=disk"],
  ahci: ["-device", "ahci,id=ahci", "-device", "ide-hd,drive=disk,bus=ahci.0"],
  nvme: ["-device", "nvme,drive=disk,serial=ringfence"],
  usb: ["-device", "qemu-xhci", "-device", "usb-storage,drive=disk"],
};
