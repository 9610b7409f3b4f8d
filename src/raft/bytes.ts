import { assert } from "../base/assert.ts";
import type { RaftId } from "./types.ts";

/** Why bytes could not be read. The sender is broken or of another version; the connection is closed. */
export class MalformedError extends Error {
  override readonly name = "MalformedError";
  readonly code = "MALFORMED";
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Writes little-endian values into a buffer that grows as needed. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  constructor(sizeBytes: number) {
    this.#bytes = new Uint8Array(sizeBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  u8(value: number): void {
    this.#reserve(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  /** A safe integer ≥ 0, in eight bytes. */
  integer(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, `not a safe integer: ${value}`);
    this.#reserve(8);
    this.#view.setUint32(this.#length, value % 2 ** 32, true);
    this.#view.setUint32(this.#length + 4, Math.floor(value / 2 ** 32), true);
    this.#length += 8;
  }

  raftId(id: RaftId): void {
    this.#reserve(8);
    this.#view.setUint32(this.#length, Number.parseInt(id.slice(8), 16), true);
    this.#view.setUint32(this.#length + 4, Number.parseInt(id.slice(0, 8), 16), true);
    this.#length += 8;
  }

  /** Four bytes of length, then the bytes. */
  bytes(value: Uint8Array): void {
    this.u32(value.length);
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  text(value: string): void {
    this.bytes(encoder.encode(value));
  }

  /** What was written; the writer must not be used afterwards. */
  done(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  #reserve(sizeBytes: number): void {
    const needed = this.#length + sizeBytes;
    if (needed <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Reads what {@link ByteWriter} wrote. Every read throws {@link MalformedError} instead of leaving the bytes. */
export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u8(): number {
    const at = this.#take(1);
    return this.#view.getUint8(at);
  }

  u32(): number {
    const at = this.#take(4);
    return this.#view.getUint32(at, true);
  }

  integer(): number {
    const at = this.#take(8);
    const high = this.#view.getUint32(at + 4, true);
    if (high >= 2 ** 21) throw new MalformedError(`Cannot read integer at byte ${at}: it is over 2^53`);
    return high * 2 ** 32 + this.#view.getUint32(at, true);
  }

  raftId(): RaftId {
    const at = this.#take(8);
    return hex8(this.#view.getUint32(at + 4, true)) + hex8(this.#view.getUint32(at, true));
  }

  /** A copy: an entry that is kept must not keep the whole chunk that it came in. */
  bytes(sizeBytesMax: number): Uint8Array {
    const size = this.u32();
    if (size > sizeBytesMax) throw new MalformedError(`Cannot read ${size} bytes: the limit is ${sizeBytesMax}`);
    const at = this.#take(size);
    const copy = new Uint8Array(size);
    copy.set(this.#bytes.subarray(at, at + size));
    return copy;
  }

  text(sizeBytesMax: number): string {
    const bytes = this.bytes(sizeBytesMax);
    try {
      return decoder.decode(bytes);
    } catch {
      throw new MalformedError(`Cannot read text of ${bytes.length} bytes: it is not UTF-8`);
    }
  }

  flag(): boolean {
    const value = this.u8();
    if (value > 1) throw new MalformedError(`Cannot read flag: ${value} is neither 0 nor 1`);
    return value === 1;
  }

  /** Asserts that nothing is left over. */
  end(): void {
    const left = this.#bytes.length - this.#at;
    if (left !== 0) throw new MalformedError(`Cannot read message: ${left} bytes are left over`);
  }

  #take(sizeBytes: number): number {
    const at = this.#at;
    if (at + sizeBytes > this.#bytes.length) {
      throw new MalformedError(`Cannot read ${sizeBytes} bytes at byte ${at}: only ${this.#bytes.length} are there`);
    }
    this.#at = at + sizeBytes;
    return at;
  }
}

function hex8(value: number): string {
  return value.toString(16).padStart(8, "0");
}
