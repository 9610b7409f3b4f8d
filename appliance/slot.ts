import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { CodedError } from "../src/base/error.ts";
import { encodeBundleHeader } from "../src/box/bundle.ts";
import { formatRelease, type Release } from "../src/box/release.ts";
import { encodeFooter } from "../src/box/slot-footer.ts";
import type { Architecture } from "./architecture.ts";
import { command } from "./command.ts";
import { derived } from "./digest.ts";
import type { SigningKey } from "./keys.ts";
import { BLOCK_BYTES, verityTree } from "./verity.ts";

/** What a build is from, and says of itself before its content is known. */
export type Description = Omit<Release, "imageBytes" | "rootAt" | "treeBytes" | "rootHash" | "salt">;

/** A slot as it lies at the beginning of its partition, and the footer for the partition's end. */
export interface SlotContent {
  readonly release: Release;
  /** Image and tree. */
  readonly content: Buffer;
  readonly footer: Uint8Array;
  readonly bundleHeader: Uint8Array;
}

/** What GRUB 2.06 reads: it knows neither zstd nor lz4. */
const BOOT_SQUEEZED = ["-comp", "xz"];
/** Where a squashfs says how many bytes it has (u64 LE): fs/squashfs/squashfs_fs.h, `bytes_used`. */
const SQUASHFS_BYTES_AT = 40;

/**
 * Packs `root` into `file`: a squashfs of its `boot` for the boot loader, and behind that, at the next whole block, one of all
 * else. Each has one owner, one time, and is sorted; mksquashfs pads it to whole blocks of 4096 bytes.
 */
export async function packRoot(
  root: string,
  file: string,
  { rootSqueezed }: Architecture,
  timeSeconds: number,
): Promise<void> {
  const squeeze = async (source: string, how: readonly string[]): Promise<Buffer> => {
    await command([
      ...["mksquashfs", source, file, "-noappend", "-no-progress", "-quiet", "-no-xattrs", "-all-root"],
      // What is left out comes last: all words behind -e are names.
      ...["-mkfs-time", String(timeSeconds), "-all-time", String(timeSeconds), ...how],
    ]);
    return readFileSync(file);
  };
  const boot = await squeeze(`${root}/boot`, ["-keep-as-directory", ...BOOT_SQUEEZED]);
  const rest = await squeeze(root, [...rootSqueezed, "-e", "boot"]);
  writeFileSync(file, Buffer.concat([boot, rest]));
}

/** Adds hash tree and footer to what {@link packRoot} has made. */
export function sealSlot(file: string, description: Description, key: SigningKey): SlotContent {
  const image = readFileSync(file);
  const salt = derived(description.build, "salt");
  const { tree, rootHash } = verityTree(image, salt);
  const release: Release = {
    ...description,
    ...{ imageBytes: image.length, rootAt: rootAt(image), treeBytes: tree.length },
    ...{ rootHash: rootHash.toString("hex"), salt: salt.toString("hex") },
  };
  const text = formatRelease(release);
  const footerSignature = key.sign(new TextEncoder().encode(text));
  const content = Buffer.concat([image, tree]);
  const manifest = {
    footer: text,
    footerSignature: Buffer.from(footerSignature).toString("base64"),
    sha256: createHash("sha256").update(content).digest("hex"),
  };
  return {
    ...{ release, content },
    footer: encodeFooter(text, footerSignature),
    bundleHeader: encodeBundleHeader(manifest, key.sign),
  };
}

/** Where the second squashfs of these two begins. */
function rootAt(image: Buffer): number {
  return Math.ceil(Number(image.readBigUInt64LE(SQUASHFS_BYTES_AT)) / BLOCK_BYTES) * BLOCK_BYTES;
}

/** Writes the update bundle. */
export function writeBundle(file: string, { bundleHeader, content }: SlotContent): void {
  writeFileSync(file, Buffer.concat([bundleHeader, content]));
}

/** Throws `budget` when the slot is larger than people were promised. */
export function checkBudget(what: string, bytes: number, megabytesMax: number): void {
  if (bytes > megabytesMax * 1e6)
    throw new CodedError(
      "budget",
      `The ${what} is too large: ${(bytes / 1e6).toFixed(1)} MB of at most ${megabytesMax} MB`,
    );
}
