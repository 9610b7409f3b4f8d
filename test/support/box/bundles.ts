import { createHash, generateKeyPairSync } from "node:crypto";
import { encodeBundleHeader } from "../../../src/box/bundle.ts";
import { contentBytes, formatRelease, type Release } from "../../../src/box/release.ts";
import { openVerifier, signBytes, type Verify } from "../../../src/box/signature.ts";
import { encodeFooter } from "../../../src/box/slot-footer.ts";

/** A key of updates: what signs, and what an image would verify by. */
export interface UpdateKey {
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  readonly verify: Verify;
  readonly publicPem: string;
}

export function updateKey(): UpdateKey {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519", {
    privateKeyEncoding: { type: "pkcs8", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  return { sign: (bytes) => signBytes(privateKey, bytes), verify: openVerifier(publicKey), publicPem: publicKey };
}

/** A release of some bytes; what matters to a test is given. */
export function release(given: Partial<Release> = {}): Release {
  return {
    ...{ version: "0.2.0", build: "0123abcd", builtAt: 1_790_000_000, architecture: "x86_64" },
    ...{ imageBytes: 5 * 4096, rootAt: 4096, treeBytes: 4096, rootHash: "ab".repeat(32), salt: "cd".repeat(32) },
    ...{ featureLevel: 1, featureLevelMin: 1, key: "test", ...given },
  };
}

/** Content of the release's size; another seed, other bytes. */
export function contentOf(of: Release, seed = 1): Uint8Array {
  const bytes = new Uint8Array(contentBytes(of));
  for (let at = 0, value = seed; at < bytes.length; at++) {
    value = (value * 1_103_515_245 + 12_345) & 0x7fff_ffff;
    bytes[at] = value >> 16;
  }
  return bytes;
}

export function bundleOf(key: UpdateKey, of: Release, content: Uint8Array): Uint8Array {
  const footer = formatRelease(of);
  const footerSignature = Buffer.from(key.sign(new TextEncoder().encode(footer))).toString("base64");
  const sha256 = createHash("sha256").update(content).digest("hex");
  return Buffer.concat([encodeBundleHeader({ footer, footerSignature, sha256 }, key.sign), content]);
}

export function footerOf(key: UpdateKey, of: Release): Uint8Array {
  const text = formatRelease(of);
  return encodeFooter(text, key.sign(new TextEncoder().encode(text)));
}

/** Bytes as a stream of chunks of odd sizes. */
export async function* chunksOf(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array, void> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}
