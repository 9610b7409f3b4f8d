import { createHash } from "node:crypto";
import type { Fitness } from "../cluster/fitness/policy.ts";
import { SIDE_PAYLOAD_BYTES_MAX } from "../cluster/frame.ts";
import type { ToldCheck } from "../cluster/state-check/policy.ts";
import type { StateCheck } from "../store/state/types.ts";

/** One BMC's life as a box knows it. */
export interface BmcLine {
  readonly hostId: number;
  readonly answeringForMs: number;
  readonly wasSilent: boolean;
}

/** What rides with a heartbeat answer: this box's disk, the monitor's verdicts, and for how long the BMCs have answered it. */
export interface SideReport {
  readonly fitness: Fitness;
  /** The newest checks of this box's state, at most {@link CHECKS_MAX}. */
  readonly checks: readonly ToldCheck[];
  readonly verdicts: Uint8Array;
  readonly bmcs: readonly BmcLine[];
}

/** verdict bytes u16, lines u16, room u8, checks u8, durable delay in ms u16, free MiB u32. */
const HEADER_BYTES = 12;
/** Two: a box that is up to a check behind can be compared with one that is not. */
export const CHECKS_MAX = 2;
/** index f64, comparable 8, running 16, content 16 bytes; content 0 for none. */
const CHECK_BYTES = 48;
const ROOMS: readonly Fitness["room"][] = ["enough", "low", "full"];
/** In the room's byte. */
const STATE_LOST = 0x80;
const MIB = 1024 * 1024;
/** host id 4, seconds 2. */
const LINE_BYTES = 6;
/** Longer is as good as this: four hours and a half. The top bit says that a silence was seen. */
const SECONDS_MAX = 0x3fff;
const WAS_SILENT = 0x8000;

/** `header | checks | verdicts | lines`. Lines that do not fit are left out: they only make a proof sooner. */
export function encodeSideReport({ fitness, checks, verdicts, bmcs }: SideReport): Uint8Array {
  const kept = checks.slice(-CHECKS_MAX);
  const verdictsAt = HEADER_BYTES + kept.length * CHECK_BYTES;
  const room = Math.floor((SIDE_PAYLOAD_BYTES_MAX - verdictsAt - verdicts.length) / LINE_BYTES);
  const lines = bmcs.slice(0, Math.max(0, room));
  const bytes = new Uint8Array(verdictsAt + verdicts.length + lines.length * LINE_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, verdicts.length);
  view.setUint16(2, lines.length);
  view.setUint8(4, ROOMS.indexOf(fitness.room) | (fitness.hasState ? 0 : STATE_LOST));
  view.setUint16(6, Math.min(0xffff, Math.ceil(fitness.durableMs)));
  view.setUint32(8, Math.min(0xffffffff, Math.floor(fitness.freeBytes / MIB)));
  view.setUint8(5, kept.length);
  for (const [n, check] of kept.entries()) {
    const at = HEADER_BYTES + n * CHECK_BYTES;
    view.setFloat64(at, check.index);
    bytes.set(Buffer.from(check.comparable + check.running + check.content, "hex"), at + 8);
  }
  bytes.set(verdicts, verdictsAt);
  for (const [index, { hostId, answeringForMs, wasSilent }] of lines.entries()) {
    const at = verdictsAt + verdicts.length + index * LINE_BYTES;
    view.setUint32(at, hostId);
    view.setUint16(at + 4, Math.min(SECONDS_MAX, Math.floor(answeringForMs / 1000)) | (wasSilent ? WAS_SILENT : 0));
  }
  return bytes;
}

/** Inverse of {@link encodeSideReport}, seconds and MiB rounded down, ms up; undefined for anything else: a peer of another version. */
export function decodeSideReport(bytes: Uint8Array): SideReport | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const verdictBytes = bytes.length < HEADER_BYTES ? 0 : view.getUint16(0);
  const lines = bytes.length < HEADER_BYTES ? -1 : view.getUint16(2);
  const checks = lines < 0 ? 0 : view.getUint8(5);
  const verdictsAt = HEADER_BYTES + checks * CHECK_BYTES;
  const linesAt = verdictsAt + verdictBytes;
  if (lines < 0 || bytes.length !== linesAt + lines * LINE_BYTES) return undefined;
  const room = ROOMS[view.getUint8(4) & ~STATE_LOST];
  if (room === undefined) return undefined;
  return {
    fitness: {
      hasState: (view.getUint8(4) & STATE_LOST) === 0,
      room,
      durableMs: view.getUint16(6),
      freeBytes: view.getUint32(8) * MIB,
    },
    checks: Array.from({ length: checks }, (_, n) => checkAt(bytes, view, HEADER_BYTES + n * CHECK_BYTES)),
    verdicts: bytes.subarray(verdictsAt, linesAt),
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

function checkAt(bytes: Uint8Array, view: DataView, at: number): ToldCheck {
  const hex = Buffer.from(bytes.subarray(at + 8, at + CHECK_BYTES)).toString("hex");
  const content = hex.slice(48);
  return {
    index: view.getFloat64(at),
    comparable: hex.slice(0, 16),
    running: hex.slice(16, 48),
    content: /^0+$/.test(content) ? "" : content,
  };
}

/** A check as it is told, and compared: hashes by their first half, the comparable text by its own hash. */
export function toldCheck({ index, comparable, running, content }: StateCheck): ToldCheck {
  return {
    index,
    comparable: createHash("sha256").update(comparable).digest("hex").slice(0, 16),
    running: running.slice(0, 32),
    content: content.slice(0, 32),
  };
}
