import { SIDE_PAYLOAD_BYTES_MAX } from "../cluster/frame.ts";

/** One BMC's life as a box knows it. */
export interface BmcLine {
  readonly hostId: number;
  readonly answeringForMs: number;
  readonly wasSilent: boolean;
}

/** What rides with a heartbeat answer: the monitor's verdicts, and for how long the BMCs have answered this box. */
export interface SideReport {
  readonly verdicts: Uint8Array;
  readonly bmcs: readonly BmcLine[];
}

const HEADER_BYTES = 4;
/** host id 4, seconds 2. */
const LINE_BYTES = 6;
/** Longer is as good as this: four hours and a half. The top bit says that a silence was seen. */
const SECONDS_MAX = 0x3fff;
const WAS_SILENT = 0x8000;

/** `verdict bytes u16 | lines u16 | verdicts | lines`. Lines that do not fit are left out: they only make a proof sooner. */
export function encodeSideReport({ verdicts, bmcs }: SideReport): Uint8Array {
  const room = Math.floor((SIDE_PAYLOAD_BYTES_MAX - HEADER_BYTES - verdicts.length) / LINE_BYTES);
  const lines = bmcs.slice(0, Math.max(0, room));
  const bytes = new Uint8Array(HEADER_BYTES + verdicts.length + lines.length * LINE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, verdicts.length);
  view.setUint16(2, lines.length);
  bytes.set(verdicts, HEADER_BYTES);
  for (const [index, { hostId, answeringForMs, wasSilent }] of lines.entries()) {
    const at = HEADER_BYTES + verdicts.length + index * LINE_BYTES;
    view.setUint32(at, hostId);
    view.setUint16(at + 4, Math.min(SECONDS_MAX, Math.floor(answeringForMs / 1000)) | (wasSilent ? WAS_SILENT : 0));
  }
  return bytes;
}

/** Inverse of {@link encodeSideReport}, seconds rounded down; undefined for anything else: a peer of another version. */
export function decodeSideReport(bytes: Uint8Array): SideReport | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const verdictBytes = bytes.length < HEADER_BYTES ? 0 : view.getUint16(0);
  const lines = bytes.length < HEADER_BYTES ? -1 : view.getUint16(2);
  const linesAt = HEADER_BYTES + verdictBytes;
  if (lines < 0 || bytes.length !== linesAt + lines * LINE_BYTES) return undefined;
  return {
    verdicts: bytes.subarray(HEADER_BYTES, linesAt),
    bmcs: Array.from({ length: lines }, (_, index) => {
      const word = view.getUint16(linesAt + index * LINE_BYTES + 4);
      return {
        hostId: view.getUint32(linesAt + index * LINE_BYTES),
        answeringForMs: (word & SECONDS_MAX) * 1000,
        wasSilent: (word & WAS_SILENT) !== 0,
      };
    }),
  };
}
