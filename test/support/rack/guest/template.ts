/** An OpenNebula template of a rack guest, for `onetemplate create`. */
import type { Place } from "../place.ts";
import { guestAddress, guestMac } from "../plan.ts";
import type { Tier } from "../state.ts";
import { guestDisk } from "./disk.ts";
import { linuxCommandLine, linuxGuest } from "./linux.ts";

export interface Guest {
  readonly name: string;
  readonly tier: Tier;
  readonly address: string;
  readonly mac: string;
  readonly memoryMiB: number;
  /** The disk on this machine, for the watchers. */
  readonly diskPath: string;
  /** The disk as hosts see it. */
  readonly diskSource: string;
  readonly kernel?: { readonly image: string; readonly initrd: string; readonly commandLine: string };
}

/** Memory that each tier was found to need; the linux one never starts in 64 MiB. */
const memoryMiB: Readonly<Record<Tier, number>> = { fast: 16, linux: 128 };

/** Makes guest `number` (0 … 127) of a tier: its disk and, for linux, its kernel are in the datastore afterwards. */
export async function makeGuest(place: Place, tier: Tier, number: number, name = `guest${number}`): Promise<Guest> {
  const disk = guestDisk(place, name);
  const address = guestAddress(number);
  const base = {
    ...{ name, tier, address, mac: guestMac(number), memoryMiB: memoryMiB[tier] },
    ...{ diskPath: disk.path, diskSource: disk.source },
  };
  if (tier === "fast") return base;
  return { ...base, kernel: { ...(await linuxGuest(place)), commandLine: linuxCommandLine(address) } };
}

/** The template's text; `extra` lines are added as they are. */
export function guestTemplate(guest: Guest, extra = ""): string {
  const { kernel } = guest;
  const os =
    kernel === undefined
      ? 'OS = [ ARCH = "x86_64", BOOT = "disk0" ]'
      : `OS = [ ARCH = "x86_64", KERNEL = "${kernel.image}", INITRD = "${kernel.initrd}", KERNEL_CMD = "${kernel.commandLine}" ]`;
  return `NAME = "${guest.name}"
CPU = "0.1"
VCPU = "1"
MEMORY = "${guest.memoryMiB}"
${os}
DISK = [ SOURCE = "${guest.diskSource}", TARGET = "vda", DRIVER = "raw", SHAREABLE = "YES" ]
NIC = [ BRIDGE = "br0", MAC = "${guest.mac}", IP = "${guest.address}", MODEL = "virtio" ]
${extra}`;
}
