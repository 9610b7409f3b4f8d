/** A machine's disk as a file of its own: what an installer or a bad day would do to it, while it is off. */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { command } from "../../../appliance/command.ts";
import { type PartitionName, partitionOffset, partitionSize } from "../../../appliance/partitions.ts";
import type { SlotContent } from "../../../appliance/slot.ts";
import type { Slot } from "../../../src/box/grub-env.ts";

/** A box's disk is larger than an image; the data partition grows into the rest. */
const DISK_BYTES = 2 * 1024 ** 3;

/** Copies the image onto a disk of its own; what is empty stays a hole. */
export async function copyDisk(image: string, disk: string): Promise<void> {
  await command(["cp", "--sparse=always", "--reflink=auto", image, disk]);
  truncateSync(disk, DISK_BYTES);
}

/** Puts files onto the data partition, path (as `etc/box.conf`) → text or bytes, without mounting it. */
export async function putFiles(disk: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "ringfence-files-"));
  try {
    const commands = Object.entries(files).flatMap(([path, text], index) => {
      writeFileSync(`${directory}/${index}`, text);
      return [
        ...directoriesOf(path).map((one) => `mkdir ${one}`),
        `write ${directory}/${index} ${path}`,
        `set_inode_field ${path} mode 0100600`,
      ];
    });
    writeFileSync(`${directory}/commands`, `${commands.join("\n")}\n`);
    // A directory may be there already: debugfs says so and goes on.
    await command([
      "debugfs",
      "-w",
      "-f",
      `${directory}/commands`,
      `${disk}?offset=${partitionOffset("ringfence-data")}`,
    ]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** `a`, `a/b` of `a/b/c`. */
function directoriesOf(path: string): readonly string[] {
  const names = dirname(path).split("/");
  return names.map((_, index) => names.slice(0, index + 1).join("/"));
}

/** Overwrites `length` bytes of a slot from `from` on, as a failing disk would. */
export function damageSlot(disk: string, slot: Slot, from: number, length: number): void {
  overwrite(disk, partitionOffset(partitionOf(slot)) + from, length);
}

/** A slot as `image` has it: what could not be read can be read again. */
export function mendSlot(image: string, disk: string, slot: Slot): void {
  const name = partitionOf(slot);
  const [from, to] = [openSync(image, "r"), openSync(disk, "r+")];
  try {
    const bytes = Buffer.alloc(partitionSize(name));
    readSync(from, bytes, 0, bytes.length, partitionOffset(name));
    writeSync(to, bytes, 0, bytes.length, partitionOffset(name));
  } finally {
    closeSync(from);
    closeSync(to);
  }
}

/** Writes another image into a slot, as whoever has the disk can. */
export function replaceSlot(disk: string, slot: Slot, { content, footer }: SlotContent): void {
  const name = partitionOf(slot);
  const file = openSync(disk, "r+");
  try {
    writeSync(file, content, 0, content.length, partitionOffset(name));
    writeSync(file, footer, 0, footer.length, partitionOffset(name) + partitionSize(name) - footer.length);
  } finally {
    closeSync(file);
  }
}

/** Nothing of what a partition held is found again. */
export function wipe(disk: string, name: PartitionName): void {
  overwrite(disk, partitionOffset(name), partitionSize(name));
}

function overwrite(disk: string, at: number, length: number): void {
  const file = openSync(disk, "r+");
  try {
    writeSync(file, Buffer.alloc(length, 0x5a), 0, length, at);
  } finally {
    closeSync(file);
  }
}

function partitionOf(slot: Slot): PartitionName {
  return slot === "A" ? "ringfence-a" : "ringfence-b";
}
