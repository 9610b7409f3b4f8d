import { assert } from "../base/assert.ts";
import type { RaftId } from "../raft/types.ts";
import type { SnapshotManifest } from "../store/snapshot/manifest.ts";
import type { SnapshotMessage } from "./snapshot-frames.ts";

/** How a snapshot is sent; the simulator has a smaller and faster world. */
export interface SenderLimits {
  /** A chunk is encrypted and written in the core's thread in a fraction of a millisecond. */
  readonly chunkBytes: number;
  /** Sent and not yet asked beyond: covers a round trip and the receiver's write, and bounds what it holds in memory. */
  readonly windowBytes: number;
  readonly rateBytesPerMs: number;
  /** An offer without an answer is made again. */
  readonly offerEveryMs: number;
  /** Chunks without an answer: something was lost, it is offered again. */
  readonly silenceMs: number;
  /** Nothing heard of the receiver for so long: given up, raft asks again when it sees the box. */
  readonly giveUpMs: number;
  /** The same for one that never answered: it is probably off, and others wait for their turn. */
  readonly giveUpFirstMs: number;
  /** All is there and being proven and synced: reading a database of some GB on a small flash. */
  readonly verifyMs: number;
  /** A receiver that failed is not tried again sooner. */
  readonly retryMs: number;
}

export const CHUNK_BYTES = 128 * 1024;
export const WINDOW_BYTES = 8 * CHUNK_BYTES;
const LIMITS: SenderLimits = {
  chunkBytes: CHUNK_BYTES,
  windowBytes: WINDOW_BYTES,
  // A fifth of a gigabit link and a tenth of a core: heartbeats and writes do not feel it.
  rateBytesPerMs: 24 * 1024,
  offerEveryMs: 500,
  silenceMs: 2000,
  giveUpMs: 15_000,
  giveUpFirstMs: 3000,
  verifyMs: 300_000,
  retryMs: 2000,
};
/** What may be caught up with after a late tick, ms. */
const BURST_MS = 20;

/** Something to read a snapshot from; {@link SenderPorts.release} ends its use. */
export interface SnapshotSource {
  readonly manifest: SnapshotManifest;
}

export interface SenderPorts<Source extends SnapshotSource> {
  /** Monotonic, ms. */
  now(): number;
  /** False when the connection cannot take it now. */
  send(to: RaftId, message: SnapshotMessage): boolean;
  /** A snapshot from which the log here goes on; undefined when there is none to be had now. */
  prepare(isForced: boolean, done: (source: Source | undefined) => void): void;
  /** Undefined when the file cannot be read. */
  read(source: Source, offset: number, length: number, done: (bytes: Uint8Array | undefined) => void): void;
  release(source: Source): void;
  /** Raft may go on with this box: from behind the snapshot, or by asking anew. */
  report(to: RaftId, ok: boolean): void;
  log(text: string): void;
}

interface Wish {
  readonly to: RaftId;
  readonly isForced: boolean;
  readonly notBefore: number;
}

interface Transfer<Source> {
  readonly to: RaftId;
  readonly isForced: boolean;
  readonly number: number;
  source: Source | undefined;
  /** The receiver has everything before it. */
  wanted: number;
  sent: number;
  isReading: boolean;
  /** The receiver has answered the last offer: chunks go out. */
  isOpen: boolean;
  hasAnswered: boolean;
  offeredAt: number;
  heardAt: number;
  startedAt: number;
}

/** The leader's side: sends snapshots to boxes that the log cannot serve any more, one after the other. */
export class SnapshotSender<Source extends SnapshotSource> {
  readonly #ports: SenderPorts<Source>;
  readonly #limits: SenderLimits;
  #wishes: Wish[] = [];
  /** When a transfer to a box last failed. */
  readonly #failures = new Map<RaftId, number>();
  #current: Transfer<Source> | undefined;
  #nextNumber = 1;
  #budgetBytes = 0;
  #tickedAt: number;

  constructor(ports: SenderPorts<Source>, limits: SenderLimits = LIMITS) {
    this.#ports = ports;
    this.#limits = limits;
    this.#tickedAt = ports.now();
  }

  /** False when there is nothing to do, and {@link tick} need not be called. */
  get isBusy(): boolean {
    return this.#current !== undefined || this.#wishes.length > 0;
  }

  /** `isForced`: the box is to take it although it is not behind. */
  request(to: RaftId, isForced = false): void {
    if (this.#current?.to === to && (!isForced || this.#current.isForced)) return;
    if (this.#wishes.some((wish) => wish.to === to && (wish.isForced || !isForced))) return;
    const failedAt = this.#failures.get(to) ?? Number.NEGATIVE_INFINITY;
    this.#wishes.push({ to, isForced, notBefore: isForced ? 0 : failedAt + this.#limits.retryMs });
  }

  /** This box leads no more: whoever does will send what is needed. */
  abandon(): void {
    this.#wishes = [];
    this.#failures.clear();
    const transfer = this.#current;
    this.#current = undefined;
    if (transfer?.source !== undefined) this.#ports.release(transfer.source);
  }

  /** Every few ms while {@link isBusy}. */
  tick(): void {
    const now = this.#ports.now();
    const elapsedMs = Math.min(now - this.#tickedAt, BURST_MS);
    this.#tickedAt = now;
    const { rateBytesPerMs } = this.#limits;
    this.#budgetBytes = Math.min(this.#budgetBytes + elapsedMs * rateBytesPerMs, BURST_MS * rateBytesPerMs);
    if (this.#current === undefined) this.#begin(now);
    else this.#goOn(this.#current, now);
  }

  receive(from: RaftId, message: SnapshotMessage): void {
    const transfer = this.#current;
    if (transfer?.source === undefined || transfer.to !== from || transfer.number !== message.transfer) return;
    const { sizeBytes } = transfer.source.manifest;
    transfer.heardAt = this.#ports.now();
    transfer.hasAnswered = true;
    switch (message.kind) {
      case "want":
        if (message.offset > sizeBytes) return;
        // The first answer to an offer says where to begin; later ones only move on.
        if (!transfer.isOpen) transfer.sent = message.offset;
        transfer.isOpen = true;
        transfer.wanted = message.offset;
        this.#sendChunks(transfer);
        return;
      case "done": {
        const tookMs = transfer.heardAt - transfer.startedAt;
        this.#ports.log(
          `${from} has the snapshot up to ${transfer.source.manifest.index} (${sizeBytes} bytes, ${tookMs.toFixed(0)} ms)`,
        );
        this.#end(transfer, true);
        return;
      }
      case "refuse":
        this.#ports.log(`${from} does not take the snapshot: ${message.why}`);
        this.#end(transfer, false);
        return;
      default:
        return;
    }
  }

  #begin(now: number): void {
    const at = this.#wishes.findIndex((wish) => wish.notBefore <= now);
    const [wish] = at === -1 ? [] : this.#wishes.splice(at, 1);
    if (wish === undefined) return;
    const transfer: Transfer<Source> = {
      ...{ to: wish.to, isForced: wish.isForced, number: this.#nextNumber++, source: undefined, wanted: 0, sent: 0 },
      ...{
        isReading: false,
        isOpen: false,
        hasAnswered: false,
        offeredAt: Number.NEGATIVE_INFINITY,
        heardAt: now,
        startedAt: now,
      },
    };
    this.#current = transfer;
    this.#ports.prepare(wish.isForced, (source) => {
      if (this.#current !== transfer) {
        if (source !== undefined) this.#ports.release(source);
        return;
      }
      if (source === undefined) {
        this.#end(transfer, false);
        return;
      }
      transfer.source = source;
      transfer.heardAt = this.#ports.now();
      this.#ports.log(`sends ${transfer.to} the snapshot up to ${source.manifest.index}`);
      this.#goOn(transfer, transfer.heardAt);
    });
  }

  #goOn(transfer: Transfer<Source>, now: number): void {
    const { source } = transfer;
    if (source === undefined) return;
    const isWhole = transfer.wanted === source.manifest.sizeBytes;
    const silentMs = now - transfer.heardAt;
    const { verifyMs, giveUpMs, giveUpFirstMs, silenceMs, offerEveryMs } = this.#limits;
    const patienceMs = isWhole ? verifyMs : transfer.hasAnswered ? giveUpMs : giveUpFirstMs;
    if (silentMs > patienceMs) {
      this.#ports.log(`gives up sending a snapshot to ${transfer.to}: no answer`);
      this.#end(transfer, false);
      return;
    }
    // Something was lost, or the receiver has started again.
    if (silentMs > silenceMs) transfer.isOpen = false;
    if (transfer.isOpen) this.#sendChunks(transfer);
    else if (now - transfer.offeredAt >= offerEveryMs) this.#offer(transfer, source, now);
  }

  #offer(transfer: Transfer<Source>, { manifest }: Source, now: number): void {
    transfer.offeredAt = now;
    const { to, number, isForced } = transfer;
    this.#ports.send(to, { kind: "offer", transfer: number, manifest, isForced });
  }

  /** As much as window and rate allow; one read at a time. */
  #sendChunks(transfer: Transfer<Source>): void {
    const { source, sent, wanted } = transfer;
    assert(source !== undefined, "chunks without a snapshot");
    const { sizeBytes } = source.manifest;
    const { chunkBytes, windowBytes } = this.#limits;
    const length = Math.min(chunkBytes, sizeBytes - sent);
    if (length === 0 || transfer.isReading) return;
    if (sent + length - wanted > windowBytes || this.#budgetBytes < length) return;
    this.#budgetBytes -= length;
    transfer.isReading = true;
    this.#ports.read(source, sent, length, (bytes) => {
      transfer.isReading = false;
      if (this.#current !== transfer) return;
      if (bytes?.length !== length) {
        this.#ports.log("a snapshot on this box cannot be read any more");
        this.#end(transfer, false);
        return;
      }
      // Offered anew in between, from another place.
      if (!transfer.isOpen || transfer.sent !== sent) return;
      const isSent = this.#ports.send(transfer.to, { kind: "chunk", transfer: transfer.number, offset: sent, bytes });
      if (isSent) transfer.sent = sent + length;
      else transfer.isOpen = false;
      if (isSent) this.#sendChunks(transfer);
    });
  }

  #end(transfer: Transfer<Source>, ok: boolean): void {
    this.#current = undefined;
    if (transfer.source !== undefined) this.#ports.release(transfer.source);
    const { to } = transfer;
    // Raft asks again as soon as it hears of the box.
    if (ok) this.#failures.delete(to);
    else this.#failures.set(to, this.#ports.now());
    this.#ports.report(to, ok);
  }
}
