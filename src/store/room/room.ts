import { randomFillSync } from "node:crypto";
import * as fs from "node:fs/promises";
import { CodedError, errorChain } from "../../base/error.ts";
import { RESERVE_BYTES, ROOM_AT_START, type RoomEvent, type RoomLevel, step } from "./policy.ts";

/** The reserve's name in the data directory. */
export const RESERVE_FILE = "reserve";
/** One statfs; a disk that is filled at 100 MB/s crosses the last threshold in a few of these. */
const MEASURE_EVERY_MS = 250;
/** With this much a batch that found no room is worth trying again. */
const WORTH_TRYING_BYTES = 1024 * 1024;
/** The reserve is written in pieces with a sync each, so that the log's own syncs never wait for all of it. */
const PIECE_BYTES = 1024 * 1024;

export interface RoomPorts {
  /** On the file system that log and state are on. */
  readonly directory: string;
  /** Room for this process, bytes. Default: statfs of the directory. */
  readonly freeBytes?: () => Promise<number>;
  readonly changed: (level: RoomLevel, freeBytes: number) => void;
  readonly log: (text: string) => void;
}

/** Watches the room on the box's disk, keeps the reserve, and tells a state that found none when to try again. */
export class Room {
  readonly #ports: RoomPorts;
  #state = ROOM_AT_START;
  #freeBytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isStopped = false;
  #isMaking = false;
  /** The last giving back; never rejects. */
  #released: Promise<void> | undefined;
  #waiting: { readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];
  #complaint = "";

  constructor(ports: RoomPorts) {
    this.#ports = ports;
  }

  get level(): RoomLevel {
    return this.#state.level;
  }

  /** As measured last. */
  get freeBytes(): number {
    return this.#freeBytes;
  }

  /** Knows the level when it resolves; goes on by itself. */
  async start(): Promise<void> {
    const stat = await fs.stat(this.#path).catch(() => undefined);
    if (stat?.size === RESERVE_BYTES) this.#step({ kind: "reserve-made" });
    await this.#measure();
  }

  /** For {@link StateOptions.whenFull}: the reserve is given back at once; after that every measurement with some room counts. */
  whenFull(): Promise<void> {
    if (this.#isStopped) return Promise.reject(stopped());
    const hadReserve = this.#state.hasReserve;
    this.#step({ kind: "write-refused" });
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      if (hadReserve) void this.#released?.then(() => this.#wake());
    });
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    for (const { reject } of this.#waiting.splice(0)) reject(stopped());
  }

  get #path(): string {
    return `${this.#ports.directory}/${RESERVE_FILE}`;
  }

  async #measure(): Promise<void> {
    try {
      const freeBytes = await (this.#ports.freeBytes?.() ?? freeBytesOf(this.#ports.directory));
      if (this.#isStopped) return;
      this.#freeBytes = freeBytes;
      this.#step({ kind: "measured", freeBytes });
      if (freeBytes >= WORTH_TRYING_BYTES) this.#wake();
    } catch (error) {
      this.#complain(`the room on the disk cannot be measured: ${errorChain(error)}`);
    }
    if (!this.#isStopped) this.#timer = setTimeout(() => void this.#measure(), MEASURE_EVERY_MS);
  }

  #step(event: RoomEvent): void {
    const before = this.#state.level;
    const { state, effects } = step(this.#state, event);
    this.#state = state;
    for (const effect of effects) {
      if (effect === "release-reserve") this.#released = this.#release();
      else void this.#make();
    }
    if (state.level !== before) this.#ports.changed(state.level, this.#freeBytes);
  }

  /** The room may go, and the box may stop, while the reserve is made. */
  get #isWanted(): boolean {
    return !this.#isStopped && this.#state.level === "enough";
  }

  #wake(): void {
    for (const { resolve } of this.#waiting.splice(0)) resolve();
  }

  async #release(): Promise<void> {
    try {
      await fs.rm(this.#path, { force: true });
    } catch (error) {
      this.#complain(`the reserve cannot be given back: ${errorChain(error)}`);
    }
  }

  async #make(): Promise<void> {
    if (this.#isMaking) return;
    this.#isMaking = true;
    try {
      await this.#released;
      // Bytes that no file system can compress away: the room is to be there when it is needed.
      const piece = randomFillSync(new Uint8Array(PIECE_BYTES));
      const file = await fs.open(this.#path, "w", 0o600);
      let written = 0;
      try {
        for (; written < RESERVE_BYTES && this.#isWanted; written += PIECE_BYTES) {
          await file.write(piece, 0, PIECE_BYTES, written);
          await file.datasync();
        }
      } finally {
        await file.close();
      }
      // A whole one outlives a stop: it is found again at the next start.
      if (written === RESERVE_BYTES && this.#state.level === "enough") this.#step({ kind: "reserve-made" });
      else {
        await this.#release();
        this.#wake();
      }
    } catch (error) {
      await this.#release();
      this.#complain(`the reserve cannot be made: ${errorChain(error)}`);
    } finally {
      this.#isMaking = false;
    }
  }

  /** The same complaint is made once. */
  #complain(text: string): void {
    if (text !== this.#complaint) this.#ports.log(`ALERT ${text}`);
    this.#complaint = text;
  }
}

async function freeBytesOf(directory: string): Promise<number> {
  const { bavail, bsize } = await fs.statfs(directory);
  return bavail * bsize;
}

function stopped(): CodedError {
  return new CodedError("state-failed", "Cannot wait for room on the disk: this box stops");
}
