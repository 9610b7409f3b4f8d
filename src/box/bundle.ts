import { createHash } from "node:crypto";
import { assert } from "../base/assert.ts";
import { CodedError } from "../base/error.ts";
import { contentBytes, type Release } from "./release.ts";
import { SIGNATURE_BYTES, type Verify } from "./signature.ts";
import { decodeFooter, encodeFooter, type Footer } from "./slot-footer.ts";

/** What a bundle's manifest says; signed as a whole, and the footer in it by itself, because a slot keeps only that. */
export interface Manifest {
  /** The footer's exact text. */
  readonly footer: string;
  /** Base64. */
  readonly footerSignature: string;
  /** Of the slot's content (image and tree), hexadecimal. */
  readonly sha256: string;
}

const MAGIC = new TextEncoder().encode("RFBNDL1\n");
const LENGTH_AT = MAGIC.length;
const MANIFEST_AT = LENGTH_AT + 4;
/** A footer's text, its signature and a hash, with room for what later builds add. */
const MANIFEST_BYTES_MAX = 16 * 1024;

/** The beginning of a bundle; the slot's content follows. `sign`: by the key whose public half is in the images. */
export function encodeBundleHeader(manifest: Manifest, sign: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const { footer, footerSignature, sha256 } = manifest;
  const text = new TextEncoder().encode(JSON.stringify({ footer, footerSignature, sha256 }));
  assert(text.length <= MANIFEST_BYTES_MAX, `a manifest has ${text.length} bytes`);
  const signature = sign(text);
  assert(signature.length === SIGNATURE_BYTES, `a signature has ${signature.length} bytes`);
  const header = new Uint8Array(MANIFEST_AT + text.length + SIGNATURE_BYTES);
  header.set(MAGIC);
  new DataView(header.buffer).setUint32(LENGTH_AT, text.length, true);
  header.set(text, MANIFEST_AT);
  header.set(signature, MANIFEST_AT + text.length);
  return header;
}

/** A bundle whose manifest and footer are signed; of its content nothing is known before {@link Bundle.content} has ended. */
export interface Bundle {
  readonly footer: Footer;
  /** As it is written at the end of a slot. */
  readonly footerBytes: Uint8Array;
  /** Image and tree, bytes. */
  readonly sizeBytes: number;
  readonly sha256: string;
  /**
   * Image and tree, once. Ends only when all of it came, nothing after it, and its sum is right; else throws
   * `bundle-truncated`, `bundle-damaged`.
   */
  content(): AsyncGenerator<Uint8Array, void>;
}

/** Reads a bundle from a stream. Throws `bundle-foreign`, `bundle-truncated`, `bundle-signature` before any content. */
export async function openBundle(chunks: AsyncIterable<Uint8Array>, verify: Verify): Promise<Bundle> {
  const source = new Source(chunks);
  const magic = await source.exactly(MANIFEST_AT);
  if (MAGIC.some((byte, index) => magic[index] !== byte))
    throw new CodedError("bundle-foreign", "This file is no update bundle of ringfence");
  const length = new DataView(magic.buffer, magic.byteOffset, magic.length).getUint32(LENGTH_AT, true);
  if (length > MANIFEST_BYTES_MAX)
    throw new CodedError("bundle-foreign", `The bundle cannot be read: its manifest has ${length} bytes`);
  const text = await source.exactly(length);
  if (!verify(text, await source.exactly(SIGNATURE_BYTES)))
    throw new CodedError("bundle-signature", "The bundle is not signed by the key of the image that runs here");
  const { footer, footerSignature, sha256 } = parseManifest(text);
  const footerBytes = encodeFooter(footer, footerSignature);
  const read = decodeFooter(footerBytes, verify);
  if (typeof read === "string") throw new CodedError("bundle-signature", `The bundle's footer is not valid: ${read}`);
  const sizeBytes = contentBytes(read.release);
  return { footer: read, footerBytes, sizeBytes, sha256, content: () => contentOf(source, sizeBytes, sha256) };
}

/** What a bundle says of itself, believed without its signature: for whoever only sends it on. Throws as {@link openBundle}. */
export async function describeBundle(chunks: AsyncIterable<Uint8Array>): Promise<Release> {
  return (await openBundle(chunks, () => true)).footer.release;
}

function parseManifest(text: Uint8Array): { footer: string; footerSignature: Uint8Array; sha256: string } {
  try {
    const { footer, footerSignature, sha256 } = JSON.parse(new TextDecoder().decode(text)) as Partial<Manifest>;
    const signature = new Uint8Array(Buffer.from(String(footerSignature), "base64"));
    assert(typeof footer === "string" && footer.length <= 3000, "the footer's text is none");
    assert(signature.length === SIGNATURE_BYTES, "the footer's signature is none");
    assert(/^[0-9a-f]{64}$/.test(String(sha256)), "the sum is none");
    return { footer, footerSignature: signature, sha256: String(sha256) };
  } catch (error) {
    throw new CodedError("bundle-foreign", "The bundle's manifest cannot be read", error);
  }
}

async function* contentOf(source: Source, sizeBytes: number, sha256: string): AsyncGenerator<Uint8Array, void> {
  const hash = createHash("sha256");
  for (let left = sizeBytes; left > 0; ) {
    const chunk = await source.atMost(left);
    if (chunk === undefined) throw truncated(sizeBytes - left, sizeBytes);
    hash.update(chunk);
    left -= chunk.length;
    yield chunk;
  }
  if ((await source.atMost(1)) !== undefined)
    throw new CodedError("bundle-damaged", `The bundle goes on after its ${sizeBytes} bytes of content`);
  if (hash.digest("hex") !== sha256)
    throw new CodedError("bundle-damaged", "The bundle's content is not what its manifest says (sha256)");
}

function truncated(got: number, of: number): CodedError {
  return new CodedError("bundle-truncated", `The bundle ends after ${got} of ${of} bytes`);
}

/** Chunks of any size as pieces of the wanted size. */
class Source {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  /** What comes next, at most `size` bytes and at least one; undefined at the end. */
  async atMost(size: number): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done === true) return undefined;
      this.#rest = next.value;
    }
    const piece = this.#rest.subarray(0, size);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  async exactly(size: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(size);
    for (let got = 0; got < size; ) {
      const piece = await this.atMost(size - got);
      if (piece === undefined) throw truncated(got, size);
      bytes.set(piece, got);
      got += piece.length;
    }
    return bytes;
  }
}
