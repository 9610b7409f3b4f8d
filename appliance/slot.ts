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
export type Description = Omit<Release, "imageBytes" | "treeBytes" | "rootHash" | "salt">;

/** A slot as it lies at the beginning of its partition, and the footer for the partition's end. */
export interface SlotContent {
  readonly release: Release;
  /** Image and tree. */
  readonly content: Buffer;
  readonly footer: Uint8Array;
  readonly bundleHeader: Uint8Array;
}

/** Squeezed harder, a block costs more memory and time each time that a page of it is read. */
const SQUASHFS_BLOCK = "256K";

/** The root as a squashfs in `file`: one owner, one time, sorted. GRUB 2.06 reads xz and neither zstd nor lz4. */
export async function packRoot(
  root: string,
  file: string,
  { xzFilter }: Architecture,
  timeSeconds: number,
): Promise<void> {
  await command([
    ...["mksquashfs", root, file, "-noappend", "-no-progress", "-quiet", "-no-xattrs", "-all-root"],
    ...["-comp", "xz", "-b", SQUASHFS_BLOCK, ...(xzFilter === undefined ? [] : ["-Xbcj", xzFilter])],
    ...["-mkfs-time", String(timeSeconds), "-all-time", String(timeSeconds)],
  ]);
}

/** Adds hash tree and footer to the squashfs in `file`. */
export function sealSlot(file: string, description: Description, key: SigningKey): SlotContent {
  const squashfs = readFileSync(file);
  const image = Buffer.concat([squashfs, Buffer.alloc((BLOCK_BYTES - (squashfs.length % BLOCK_BYTES)) % BLOCK_BYTES)]);
  const salt = derived(description.build, "salt");
  const { tree, rootHash } = verityTree(image, salt);
  const release: Release = {
    ...description,
    ...{ imageBytes: image.length, treeBytes: tree.length },
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
