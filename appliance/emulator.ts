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
  /** Of the image: `x86_64`, `arm64`. */
  readonly architecture: string;
  readonly disk: Disk;
  /** Without: SeaBIOS, where there is one. */
  readonly isUefi: boolean;
  /** x86_64 with UEFI: it starts only what is signed by the key that {@link SECURE_BOOT} knows. */
  readonly hasSecureBoot?: boolean;
  /** Describes its devices by a device tree, as most boards of arm64 do; without: by ACPI. */
  readonly hasDeviceTree?: boolean | undefined;
  readonly watchdog?: Watchdog | undefined;
  /** What is promised to do, unless given. */
  readonly memoryMib?: number;
  /** One, unless given. */
  readonly processors?: number;
}

/** The smallest box. */
const MEMORY_MIB = 256;
/**
 * OVMF keeps some 60 MiB, GRUB a quarter of the rest, and the kernel unpacks itself into 64 MiB in one piece. *Tried*: 256
 * MiB do not do ("out of memory"), 320 do.
 */
const MEMORY_MIB_UEFI = 320;
/** Debian's ovmf and qemu-efi-aarch64: firmware that is only read; its variables are lost with the machine. */
const FIRMWARE: Readonly<Record<string, { readonly code: string; readonly variables: string }>> = {
  x86_64: { code: "/usr/share/OVMF/OVMF_CODE_4M.fd", variables: "/usr/share/OVMF/OVMF_VARS_4M.fd" },
  arm64: { code: "/usr/share/AAVMF/AAVMF_CODE.fd", variables: "/usr/share/AAVMF/AAVMF_VARS.fd" },
};

/** Debian's ovmf for tests of Secure Boot: its firmware trusts a key that is in the same package, with this passphrase. */
export const SECURE_BOOT = {
  code: "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
  variables: "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd",
  key: "/usr/share/ovmf/PkKek-1-snakeoil.key",
  passphrase: "snakeoil",
  certificate: "/usr/share/ovmf/PkKek-1-snakeoil.pem",
} as const;

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
 * What the emulator may keep of translated code; 2047 is the most that it takes. A box fills half of its default of 1024 within four
 * minutes; when it is full all is thrown away at once.
 */
const TRANSLATED_MIB_MAX = 2047;

/**
 * The words of QEMU for a box of the smallest kind that is promised to work: x86-64-v2, or a Cortex-A72 with UEFI; one
 * processor, software emulation only; a watchdog's bite is a reset. Serial line, network and monitor are the caller's.
 */
export function emulator(machine: EmulatedMachine): readonly string[] {
  const { image, format, architecture, disk, watchdog } = machine;
  const isUefi = machine.isUefi || architecture !== "x86_64";
  const memory = machine.memoryMib ?? (isUefi ? MEMORY_MIB_UEFI : MEMORY_MIB);
  return [
    ...(architecture === "arm64" ? arm64(machine) : x86(machine)),
    ...["-accel", `tcg,tb-size=${TRANSLATED_MIB_MAX}`, "-smp", String(machine.processors ?? 1), "-m", String(memory)],
    ...["-nodefaults", "-display", "none"],
    ...(isUefi ? firmware(machine.hasSecureBoot === true ? SECURE_BOOT : FIRMWARE[architecture]) : []),
    ...["-drive", `if=none,id=disk,format=${format},file=${image}`],
    ...controllers[disk],
    ...(watchdog === undefined ? [] : [...watchdogs[watchdog], "-action", "watchdog=reset"]),
  ];
}

function x86({ isUefi, watchdog, hasSecureBoot }: EmulatedMachine): readonly string[] {
  // Its variables are only for the firmware's own mode (SMM) to write.
  const secure = ["-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on"];
  if (hasSecureBoot === true) return ["qemu-system-x86_64", "-cpu", "Nehalem", ...secure];
  return ["qemu-system-x86_64", "-cpu", "Nehalem", "-machine", isUefi || watchdog === "itco" ? "q35" : "pc"];
}

function arm64({ watchdog, hasDeviceTree = false }: EmulatedMachine): readonly string[] {
  if (watchdog === "itco") throw new CodedError("emulator", "Cannot put Intel's watchdog into a machine of arm64");
  return ["qemu-system-aarch64", "-cpu", "cortex-a72", "-machine", hasDeviceTree ? "virt,acpi=off" : "virt"];
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

function firmware({ code, variables } = { code: "", variables: "" }): readonly string[] {
  if (!existsSync(code)) throw new CodedError("emulator", `Cannot start with UEFI: "${code}" is missing`);
  return [
    ...["-drive", `if=pflash,format=raw,readonly=on,file=${code}`],
    ...["-drive", `if=pflash,format=raw,snapshot=on,file=${variables}`],
  ];
}
