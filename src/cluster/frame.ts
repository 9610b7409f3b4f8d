import { CodedError } from "../base/error.ts";

/**
 * What travels between boxes: `length u32 | crc32 u32 | type u8 | payload`, little-endian; length counts type and
 * payload, the CRC covers them. TLS already guards the wire; the CRC guards our own buffers.
 */
export const frameType = {
  hello: 1,
  accept: 2,
  refuse: 3,
  ping: 4,
  pong: 5,
  /** A message of Raft (raft/codec.ts). */
  raft: 6,
  /** Up to {@link SIDE_PAYLOAD_BYTES_MAX} bytes that ride with a heartbeat answer: the monitor's verdicts. */
  side: 7,
  /** `id u32 | body`: a call for another box; its answer comes back on that box's own connection. */
  request: 8,
  /** `id u32 | ok u8 | body`. */
  response: 9,
  /** The membership in force at the sender, and a question to those that know a newer one (address-book.ts). */
  members: 10,
  /** Of a snapshot on its way to a box that the log cannot serve (snapshot-frames.ts). */
  snapshot: 11,
} as const;
export type FrameType = (typeof frameType)[keyof typeof frameType];

/** Side payloads are bounded so that they never delay the heartbeats they ride with. */
export const SIDE_PAYLOAD_BYTES_MAX = 4096;
/** A raft append is at most a megabyte of entries and one entry at most a megabyte; a forwarded call 4 MiB. */
export const FRAME_BYTES_MAX = 6 * 1024 * 1024;
/** A hello, with what a joiner asks for. Strangers may fill no more memory than that. */
export const HELLO_BYTES_MAX = 16 * 1024;
const HEAD_BYTES = 8;

/** One frame, ready to be written. */
export function encodeFrame(type: FrameType, payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + 1 + payload.length);
  frame.writeUInt32LE(1 + payload.length, 0);
  frame[HEAD_BYTES] = type;
  frame.set(payload, HEAD_BYTES + 1);
  frame.writeUInt32LE(Bun.hash.crc32(frame.subarray(HEAD_BYTES)), 4);
  return frame;
}

/** Cuts a byte stream into frames. Payloads are views of the received chunk where possible: copy what is kept. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #length = 0;
  /** Bytes that must be there before it is worth looking: a large frame is put together once, not anew for each chunk. */
  #needed = HEAD_BYTES;
  #bytesMax: number;

  /** `bytesMax`: the longest frame that is taken, until {@link trust}. */
  constructor(bytesMax: number = FRAME_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** It is known who speaks: frames of any kind are taken. */
  trust(): void {
    this.#bytesMax = FRAME_BYTES_MAX;
  }

  /** Calls `onFrame` for each whole frame. Throws `frame-invalid`: the connection is of no further use. */
  push(chunk: Buffer, onFrame: (type: FrameType, payload: Buffer) => void): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length < this.#needed) return;
    let bytes = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    this.#needed = HEAD_BYTES;
    while (bytes.length >= HEAD_BYTES) {
      const length = bytes.readUInt32LE(0);
      if (length < 1 || length > this.#bytesMax)
        throw new CodedError("frame-invalid", `Cannot read frame: length ${length} is not in 1 … ${this.#bytesMax}`);
      if (bytes.length < HEAD_BYTES + length) {
        this.#needed = HEAD_BYTES + length;
        break;
      }
      const body = bytes.subarray(HEAD_BYTES, HEAD_BYTES + length);
      if (Bun.hash.crc32(body) !== bytes.readUInt32LE(4))
        throw new CodedError("frame-invalid", "Cannot read frame: CRC differs");
      onFrame(body[0] as FrameType, body.subarray(1));
      bytes = bytes.subarray(HEAD_BYTES + length);
    }
    // A copy: what is left must not keep a whole chunk in memory.
    this.#chunks = bytes.length === 0 ? [] : [Buffer.from(bytes)];
    this.#length = bytes.length;
  }
}
