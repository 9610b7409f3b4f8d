import { assert } from "../base/assert.ts";
import { parseRelease, type Release } from "./release.ts";
import { SIGNATURE_BYTES, type Verify } from "./signature.ts";

/** The last bytes of a slot's partition, written last: a slot without them is empty. */
export const FOOTER_BYTES = 4096;
/** Longer texts do not fit beside what a later format may add. */
const TEXT_BYTES_MAX = 3000;
const MAGIC = new TextEncoder().encode("RFSLOT1\n");
const LENGTH_AT = MAGIC.length;
const TEXT_AT = LENGTH_AT + 4;

export interface Footer {
  readonly release: Release;
  /** The exact signed text. */
  readonly text: string;
  readonly signature: Uint8Array;
}

/** Magic, length (u32 LE), text, signature, zeros: {@link FOOTER_BYTES} bytes. */
export function encodeFooter(text: string, signature: Uint8Array): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  assert(bytes.length <= TEXT_BYTES_MAX, `a footer's text has ${bytes.length} bytes`);
  assert(signature.length === SIGNATURE_BYTES, `a signature has ${signature.length} bytes`);
  const footer = new Uint8Array(FOOTER_BYTES);
  footer.set(MAGIC);
  new DataView(footer.buffer).setUint32(LENGTH_AT, bytes.length, true);
  footer.set(bytes, TEXT_AT);
  footer.set(signature, TEXT_AT + bytes.length);
  return footer;
}

/** Inverse of {@link encodeFooter}. A string says why this is no footer of an image that may run here. */
export function decodeFooter(bytes: Uint8Array, verify: Verify): Footer | string {
  if (bytes.length !== FOOTER_BYTES) return `it has ${bytes.length} bytes`;
  if (MAGIC.some((byte, index) => bytes[index] !== byte)) return "there is none";
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(LENGTH_AT, true);
  if (length > TEXT_BYTES_MAX) return `its text has ${length} bytes`;
  const signed = bytes.subarray(TEXT_AT, TEXT_AT + length);
  const signature = bytes.slice(TEXT_AT + length, TEXT_AT + length + SIGNATURE_BYTES);
  if (!verify(signed, signature)) return "its signature is not of this image's key";
  const text = new TextDecoder().decode(signed);
  const release = parseRelease(text);
  return typeof release === "string" ? release : { release, text, signature };
}
