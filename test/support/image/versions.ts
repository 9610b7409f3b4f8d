/** Update bundles for the tests, signed with the TEST key: made of an image, without building one more. */
import { generateKeyPairSync } from "node:crypto";
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import * as assert from "uvu/assert";
import { architectureNamed } from "../../../appliance/architecture.ts";
import { command } from "../../../appliance/command.ts";
import { releaseOf } from "../../../appliance/disk.ts";
import { readSigningKey, type SigningKey } from "../../../appliance/keys.ts";
import { partitionOffset } from "../../../appliance/partitions.ts";
import { type Description, packRoot, type SlotContent, sealSlot, writeBundle } from "../../../appliance/slot.ts";
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

  /** The image's own content, but that it knows one feature level more, which makes a table. */
  async ofNextLevel(change: Partial<Description>): Promise<string> {
    const file = await this.#repacked([], (root) => {
      const program = `${root}/usr/lib/ringfence/main.js`;
      const text = readFileSync(program, "utf8");
      const level = '{text:"next",migration:[{sql:"CREATE TABLE next_level (id INTEGER)",values:[]}]}';
      const changed = text.replace(/(LEVELS=\[\{text:"[^\]]*migration:\[\]\})\]/, `$1,${level}]`);
      assert.not.equal(changed, text, "main.js has no list of levels");
      writeFileSync(program, changed);
    });
    return this.#bundle(file, { ...change, featureLevel: this.release.featureLevel + 1 });
  }

  /** Kernel, initramfs and what that needs of its slot, and behind them nothing that could start: what a bad build may be. */
  async withoutUserland(change: Partial<Description>): Promise<string> {
    const architecture = architectureNamed(this.release.architecture);
    const libraries = ["lib", "lib64", "usr/lib64", `usr/lib/${architecture.libraries}`];
    const kept = ["boot/vmlinuz", "boot/initrd", "sbin", "usr/sbin/e2fsck", ...libraries];
    const file = await this.#repacked(kept, (root) => {
      // What the initramfs needs of it: places to mount.
      for (const name of ["proc", "sys", "dev", "run", "tmp", "var", "data", "etc/one", "root/.ssh"])
        mkdirSync(`${root}/${name}`, { recursive: true });
    });
    return this.#bundle(file, change);
  }

  /** A slot as whoever has the disk and no secret key could make it: its footer is signed, but by a key of his own. */
  ofAnotherKey(): SlotContent {
    const [file, pem] = [this.path("slot.squashfs"), this.path("another.pem")];
    writeFileSync(file, this.#squashfs());
    writeFileSync(pem, generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" }));
    return this.#seal(file, {}, readSigningKey(REPOSITORY, pem));
  }

  /** A slot whose initramfs is another one than its OpenPGP signature is for; its footer is right. */
  async withAnotherInitramfs(): Promise<SlotContent> {
    const file = await this.#repacked(["boot"], (root) => appendFileSync(`${root}/boot/initrd`, "not signed"));
    return this.#seal(file, {}, readSigningKey(REPOSITORY, undefined));
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

  /** A squashfs of these parts of the image's root (none named: all of it) after `change`. */
  async #repacked(parts: readonly string[], change: (root: string) => void): Promise<string> {
    const [whole, root, file] = [this.path("whole.squashfs"), this.path("root"), this.path("changed.squashfs")];
    writeFileSync(whole, this.#squashfs());
    for (const at of [0, this.release.rootAt])
      await command(["unsquashfs", "-q", "-n", "-f", "-o", String(at), "-d", root, whole, ...parts]);
    change(root);
    await packRoot(root, file, architectureNamed(this.release.architecture), this.release.builtAt);
    rmSync(root, { recursive: true });
    return file;
  }

  #bundle(squashfs: string, change: Partial<Description>): string {
    const file = `${this.#directory}/ringfence-${change.version ?? this.release.version}.rfb`;
    writeBundle(file, this.#seal(squashfs, change, readSigningKey(REPOSITORY, undefined)));
    return file;
  }

  #seal(squashfs: string, change: Partial<Description>, key: SigningKey): SlotContent {
    const { imageBytes, rootAt, treeBytes, rootHash, salt, ...description } = this.release;
    return sealSlot(squashfs, { ...description, ...change }, key);
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
