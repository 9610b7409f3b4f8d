/** Update bundles for the tests, signed with the TEST key: made of an image, without building one more. */
import { closeSync, mkdirSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { architectureNamed } from "../../../appliance/architecture.ts";
import { command } from "../../../appliance/command.ts";
import { releaseOf } from "../../../appliance/disk.ts";
import { readSigningKey } from "../../../appliance/keys.ts";
import { partitionOffset } from "../../../appliance/partitions.ts";
import { type Description, packRoot, sealSlot, writeBundle } from "../../../appliance/slot.ts";
import type { Release } from "../../../src/box/release.ts";
import { openVerifier } from "../../../src/box/signature.ts";

const REPOSITORY = resolve(import.meta.dir, "../../..");

/** A directory with bundles, that ends with the test. */
export class Versions {
  readonly #directory = mkdtempSync(join(tmpdir(), "ringfence-versions-"));
  readonly #image: string;
  readonly release: Release;

  constructor(image: string) {
    this.#image = image;
    this.release = releaseOf(image, openVerifier(readSigningKey(REPOSITORY, undefined).publicPem));
  }

  /** The image's own content under another version. */
  same(change: Partial<Description>): string {
    const file = `${this.#directory}/slot.squashfs`;
    writeFileSync(file, this.#squashfs());
    return this.#bundle(file, change);
  }

  /** Kernel, initramfs and what that needs of its slot, and behind them nothing that could start: what a bad build may be. */
  async withoutUserland(change: Partial<Description>): Promise<string> {
    const [whole, root, file] = ["whole.squashfs", "root", "bad.squashfs"].map(
      (name) => `${this.#directory}/${name}`,
    ) as [string, string, string];
    writeFileSync(whole, this.#squashfs());
    const architecture = architectureNamed(this.release.architecture);
    const libraries = ["lib", "lib64", "usr/lib64", `usr/lib/${architecture.libraries}`];
    const kept = ["boot/vmlinuz", "boot/initrd", "sbin", "usr/sbin/e2fsck", ...libraries];
    await command(["unsquashfs", "-q", "-n", "-d", root, whole, ...kept]);
    // What the initramfs needs of it: places to mount.
    for (const name of ["proc", "sys", "dev", "run", "tmp", "var", "data", "etc/one", "root/.ssh"])
      mkdirSync(`${root}/${name}`, { recursive: true });
    await packRoot(root, file, architecture, this.release.builtAt);
    return this.#bundle(file, change);
  }

  /** Where a file may be put that ends with the bundles. */
  path(name: string): string {
    return `${this.#directory}/${name}`;
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #squashfs(): Uint8Array {
    return read(this.#image, partitionOffset("ringfence-a"), this.release.imageBytes);
  }

  #bundle(squashfs: string, change: Partial<Description>): string {
    const { version, build, builtAt, architecture, featureLevel, featureLevelMin, key } = this.release;
    const description = { version, build, builtAt, architecture, featureLevel, featureLevelMin, key, ...change };
    const file = `${this.#directory}/ringfence-${description.version}.rfb`;
    writeBundle(file, sealSlot(squashfs, description, readSigningKey(REPOSITORY, undefined)));
    return file;
  }
}

/** A stick with one FAT file system and these files and folders in its root. */
export async function makeStick(file: string, files: readonly string[], mebibytes: number): Promise<void> {
  await command(["truncate", "-s", `${mebibytes}M`, file]);
  await command(["mkfs.vfat", "-F", "32", file]);
  if (files.length > 0) await command(["mcopy", "-s", "-i", file, ...files, "::"]);
}

function read(file: string, at: number, length: number): Uint8Array {
  const handle = openSync(file, "r");
  try {
    const bytes = new Uint8Array(length);
    if (readSync(handle, bytes, 0, length, at) !== length) throw new Error(`"${file}" ends before ${at + length}`);
    return bytes;
  } finally {
    closeSync(handle);
  }
}
