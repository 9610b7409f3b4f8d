import { CodedError } from "../base/error.ts";
import { parseManifest, type SnapshotManifest } from "../store/snapshot/manifest.ts";

/**
 * What two boxes say about one snapshot. The sender offers until the receiver names the offset that it wants next; each
 * chunk is answered by the next such offset, so the receiver paces the sender and a broken connection costs nothing.
 * `transfer` is the sender's number: answers to an earlier one are not taken for this one's.
 */
export type SnapshotMessage =
  | {
      readonly kind: "offer";
      readonly transfer: number;
      readonly manifest: SnapshotManifest;
      readonly isForced: boolean;
    }
  | { readonly kind: "chunk"; readonly transfer: number; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: "want"; readonly transfer: number; readonly offset: number }
  /** It is durable there, or what it brings is there already. */
  | { readonly kind: "done"; readonly transfer: number }
  | { readonly kind: "refuse"; readonly transfer: number; readonly why: string };

/** `kind u8 | transfer u32 | offset f64 | rest`, little-endian; the frame has the CRC. */
const HEAD_BYTES = 13;
const KINDS = ["offer", "chunk", "want", "done", "refuse"] as const;

export function encodeSnapshotMessage(message: SnapshotMessage): Uint8Array {
  const rest = restOf(message);
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + rest.length);
  bytes[0] = KINDS.indexOf(message.kind);
  bytes.writeUInt32LE(message.transfer, 1);
  bytes.writeDoubleLE("offset" in message ? message.offset : 0, 5);
  bytes.set(rest, HEAD_BYTES);
  return bytes;
}

/** A chunk's bytes are a view. Throws `snapshot-invalid`. */
export function decodeSnapshotMessage(payload: Uint8Array): SnapshotMessage {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
  const kind = KINDS[bytes[0] ?? KINDS.length];
  if (kind === undefined || bytes.length < HEAD_BYTES)
    throw new CodedError("snapshot-invalid", `Cannot read a snapshot's frame of ${bytes.length} bytes`);
  const transfer = bytes.readUInt32LE(1);
  const offset = bytes.readDoubleLE(5);
  const rest = bytes.subarray(HEAD_BYTES);
  switch (kind) {
    case "offer": {
      const isForced = rest[0] === 1;
      return { kind, transfer, manifest: parseManifest(rest.toString("utf8", 1)), isForced };
    }
    case "chunk":
      return { kind, transfer, offset, bytes: rest };
    case "want":
      return { kind, transfer, offset };
    case "done":
      return { kind, transfer };
    case "refuse":
      return { kind, transfer, why: rest.toString("utf8") };
  }
}

function restOf(message: SnapshotMessage): Uint8Array {
  switch (message.kind) {
    case "offer":
      return Buffer.concat([Buffer.of(message.isForced ? 1 : 0), Buffer.from(JSON.stringify(message.manifest))]);
    case "chunk":
      return message.bytes;
    case "refuse":
      return Buffer.from(message.why);
    default:
      return Buffer.alloc(0);
  }
}
