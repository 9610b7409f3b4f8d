import { CodedError } from "../base/error.ts";
import type { HostVerdict } from "./machine.ts";

/** What rides in one heartbeat answer: at most 4 KiB, so that it never splits a heartbeat into many segments. */
export const PAYLOAD_SIZE_BYTES_MAX = 3968;
/** version, flags, count. */
const HEADER_SIZE_BYTES = 4;
/** host id 4, word 1, answer 2, libvirtd 2, disk 2, storage 2. */
const VERDICT_SIZE_BYTES = 13;
/** 304: what fits. More hosts than that need a second report, and the leader is told that some are missing. */
export const VERDICTS_MAX = Math.floor((PAYLOAD_SIZE_BYTES_MAX - HEADER_SIZE_BYTES) / VERDICT_SIZE_BYTES);

const VERSION = 1;
const TRUNCATED = 1;
const NEVER = 0xffff;
/** Answer and storage ages in 10 ms (to 655 s), the others in 100 ms (to 109 min); longer ages are given as the longest. */
const FINE_MS = 10;
const COARSE_MS = 100;

const KINDS = ["answering", "degraded", "suspect", "unheard"] as const;
const POWERS = ["unknown", "on", "off"] as const;
const BEATS = ["unknown", "beating", "stopped"] as const;

/** One box's verdicts, as they travel. `isTruncated`: there are hosts that did not fit. */
export interface VerdictReport {
  readonly verdicts: readonly HostVerdict[];
  readonly isTruncated: boolean;
}

/** Ages are rounded down, so that an answer never looks older and a silence never looks longer than it was. */
export function encodeVerdicts(verdicts: readonly HostVerdict[]): Uint8Array<ArrayBuffer> {
  const kept = verdicts.slice(0, VERDICTS_MAX);
  const bytes = new Uint8Array(HEADER_SIZE_BYTES + kept.length * VERDICT_SIZE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, VERSION);
  view.setUint8(1, kept.length < verdicts.length ? TRUNCATED : 0);
  view.setUint16(2, kept.length);
  kept.forEach((verdict, i) => {
    const at = HEADER_SIZE_BYTES + i * VERDICT_SIZE_BYTES;
    view.setUint32(at, verdict.hostId);
    const kind = KINDS.indexOf(verdict.kind);
    const bmc = POWERS.indexOf(verdict.bmc);
    const storage = BEATS.indexOf(verdict.storage.kind);
    view.setUint8(at + 4, kind | (bmc << 2) | (storage << 4) | (verdict.counts ? 0x40 : 0));
    view.setUint16(at + 5, encodeAge(verdict.answerAgeMs, FINE_MS));
    view.setUint16(at + 7, encodeAge(verdict.libvirtAgeMs, COARSE_MS));
    view.setUint16(at + 9, encodeAge(verdict.diskAgeMs, COARSE_MS));
    view.setUint16(at + 11, encodeAge(verdict.storage.ageMs, FINE_MS));
  });
  return bytes;
}

/** Inverse of {@link encodeVerdicts}. Throws `monitor.payload` on anything else: a peer of another version. */
export function decodeVerdicts(bytes: Uint8Array): VerdictReport {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const refuse = (why: string): CodedError => new CodedError("monitor.payload", `Cannot read verdicts: ${why}`);
  if (bytes.byteLength < HEADER_SIZE_BYTES) throw refuse(`${bytes.byteLength} bytes`);
  if (view.getUint8(0) !== VERSION) throw refuse(`version ${view.getUint8(0)} is not ${VERSION}`);
  const count = view.getUint16(2);
  if (bytes.byteLength !== HEADER_SIZE_BYTES + count * VERDICT_SIZE_BYTES) {
    throw refuse(`${bytes.byteLength} bytes for ${count} verdicts`);
  }
  const verdicts = Array.from({ length: count }, (_, i): HostVerdict => {
    const at = HEADER_SIZE_BYTES + i * VERDICT_SIZE_BYTES;
    const word = view.getUint8(at + 4);
    const bmc = POWERS[(word >> 2) & 3];
    const storage = BEATS[(word >> 4) & 3];
    const kind = KINDS[word & 3];
    if (bmc === undefined || storage === undefined || kind === undefined) throw refuse(`word ${word}`);
    return {
      hostId: view.getUint32(at),
      kind,
      counts: (word & 0x40) !== 0,
      bmc,
      answerAgeMs: decodeAge(view.getUint16(at + 5), FINE_MS),
      libvirtAgeMs: decodeAge(view.getUint16(at + 7), COARSE_MS),
      diskAgeMs: decodeAge(view.getUint16(at + 9), COARSE_MS),
      storage: { kind: storage, ageMs: decodeAge(view.getUint16(at + 11), FINE_MS) ?? 0 },
    };
  });
  return { verdicts, isTruncated: (view.getUint8(1) & TRUNCATED) !== 0 };
}

function encodeAge(ageMs: number | null, unitMs: number): number {
  return ageMs === null ? NEVER : Math.min(NEVER - 1, Math.floor(Math.max(0, ageMs) / unitMs));
}

function decodeAge(value: number, unitMs: number): number | null {
  return value === NEVER ? null : value * unitMs;
}
