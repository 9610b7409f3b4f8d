import type { FrameType } from "./frame.ts";
import { frameType } from "./frame.ts";
import type { WorkPort } from "./ports.ts";

/** A call to another box: its number among the sender's calls, then its body. */
export function encodeRequest(id: number, body: Uint8Array): Uint8Array {
  const payload = Buffer.allocUnsafe(4 + body.length);
  payload.writeUInt32LE(id, 0);
  payload.set(body, 4);
  return payload;
}

export function encodeResponse(id: number, ok: boolean, body: Uint8Array): Uint8Array {
  const payload = Buffer.allocUnsafe(5 + body.length);
  payload.writeUInt32LE(id, 0);
  payload[4] = ok ? 1 : 0;
  payload.set(body, 5);
  return payload;
}

/** Hands what only the work thread understands to it; false for a frame that is the pump's own. */
export function receiveForWork(work: WorkPort, from: string, type: FrameType, payload: Buffer): boolean {
  switch (type) {
    case frameType.side:
      work.side(from, copyOf(payload));
      return true;
    case frameType.request:
      work.request(from, payload.readUInt32LE(0), copyOf(payload.subarray(4)));
      return true;
    case frameType.response:
      work.response(from, payload.readUInt32LE(0), payload[4] === 1, copyOf(payload.subarray(5)));
      return true;
    case frameType.snapshot:
      work.snapshot(from, copyOf(payload));
      return true;
    default:
      return false;
  }
}

/** `Uint8Array.from` walks through the bytes one by one: 166 ms for a call of 4 MiB, where a lease lasts 123 ms (measured). */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
