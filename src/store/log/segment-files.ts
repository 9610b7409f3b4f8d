import { SPARE_NAME, SPARE_UNFINISHED_NAME, segmentName } from "./segment.ts";
import type { Disk, DiskFile } from "./types.ts";

/** Zeros written in one step of making a spare: under a millisecond on the slowest disk we accept, so that a group never waits long. */
const SPARE_STEP_BYTES = 256 * 1024;
/** The same where a group waits for the whole file: each step is a sync, and for the first file of a log there are 4 instead of 64. */
const URGENT_STEP_BYTES = 4 * 1024 * 1024;

/** How long the writer waits for room before it asks again, ms: nobody is answered meanwhile, and freeing takes a person. */
export const NO_ROOM_RETRY_MS = 100;

/** The file system, or this user's share of it, is full. */
function isNoRoom(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT");
}

/**
 * The writer's half of the log: writes groups where it is told and keeps one zeroed file ready for the next rotation.
 * Synchronous; runs in the writer's Worker, or inline in the simulator. It knows nothing of records.
 */
export class SegmentFiles {
  readonly #disk: Disk;
  readonly #segmentSizeBytes: number;
  #current: { segment: number; file: DiskFile } | undefined;
  #spare: "ready" | "absent" | { file: DiskFile; zeroedBytes: number };
  /** Rotations that found no spare. */
  lateSegments = 0;

  constructor(disk: Disk, segmentSizeBytes: number) {
    this.#disk = disk;
    this.#segmentSizeBytes = segmentSizeBytes;
    const names = disk.list();
    if (names.includes(SPARE_UNFINISHED_NAME)) disk.unlink(SPARE_UNFINISHED_NAME);
    this.#spare = names.includes(SPARE_NAME) ? "ready" : "absent";
  }

  /**
   * What a group at offset 0 needs first: a file for its segment. False without room for one; nothing of the log was
   * touched then, so unlike any other failed write it may be tried again.
   */
  hasFileFor(offset: number): boolean {
    if (offset > 0 || this.#spare === "ready") return true;
    try {
      while (this.wantsSpare) this.prepareSpare(URGENT_STEP_BYTES);
      this.lateSegments++;
      return true;
    } catch (error) {
      // Whoever opens a log waits for its first group: better an error at once than an opening that never ends.
      if (isNoRoom(error) && this.#current !== undefined) return false;
      throw error;
    }
  }

  /** Writes and syncs. A segment that is not the current one is begun by this group: created from the spare, directory synced. */
  write(segment: number, offset: number, bytes: Uint8Array): void {
    if (this.#current?.segment !== segment) this.#moveTo(segment, offset === 0);
    const current = this.#current;
    if (current === undefined) throw new Error(`Cannot write segment ${segment}: it is not open`);
    current.file.pwrite(offset, bytes);
    current.file.fdatasync();
  }

  /** True while {@link prepareSpare} has work. */
  get wantsSpare(): boolean {
    return this.#spare !== "ready";
  }

  /** One bounded step towards a spare. After an error what there was of it is gone: it must not take the last room. */
  prepareSpare(stepBytes = SPARE_STEP_BYTES): void {
    try {
      this.#prepareSpare(stepBytes);
    } catch (error) {
      this.#dropSpare();
      throw error;
    }
  }

  #prepareSpare(stepBytesMax: number): void {
    if (this.#spare === "ready") return;
    if (this.#spare === "absent") {
      if (this.#disk.list().includes(SPARE_UNFINISHED_NAME)) this.#disk.unlink(SPARE_UNFINISHED_NAME);
      this.#spare = { file: this.#disk.open(SPARE_UNFINISHED_NAME, "create"), zeroedBytes: 0 };
    }
    const spare = this.#spare;
    const stepBytes = Math.min(stepBytesMax, this.#segmentSizeBytes - spare.zeroedBytes);
    spare.file.pwrite(spare.zeroedBytes, new Uint8Array(stepBytes));
    spare.file.fdatasync();
    spare.zeroedBytes += stepBytes;
    if (spare.zeroedBytes < this.#segmentSizeBytes) return;
    // From here on an error leaves a whole file behind, under one name or the other; the next try replaces it.
    this.#spare = "absent";
    spare.file.close();
    this.#disk.rename(SPARE_UNFINISHED_NAME, SPARE_NAME);
    this.#disk.fsyncDirectory();
    this.#spare = "ready";
  }

  /** A purged segment becomes the spare, or goes when there is one. The oldest must go first. */
  recycle(segment: number): void {
    if (this.#spare === "absent") {
      this.#disk.rename(segmentName(segment), SPARE_NAME);
      this.#spare = "ready";
    } else {
      this.#disk.unlink(segmentName(segment));
    }
    // Without this a crash could bring back an older segment while a newer one is gone: a hole.
    this.#disk.fsyncDirectory();
  }

  close(): void {
    this.#current?.file.close();
    this.#current = undefined;
    if (typeof this.#spare === "object") this.#spare.file.close();
    this.#spare = "absent";
  }

  #dropSpare(): void {
    if (typeof this.#spare !== "object") return;
    const { file } = this.#spare;
    this.#spare = "absent";
    file.close();
    this.#disk.unlink(SPARE_UNFINISHED_NAME);
  }

  #moveTo(segment: number, begin: boolean): void {
    this.#current?.file.close();
    this.#current = undefined;
    if (begin) {
      if (this.#spare !== "ready") throw new Error(`Cannot begin segment ${segment}: there is no file for it`);
      this.#disk.rename(SPARE_NAME, segmentName(segment));
      this.#spare = "absent";
      this.#disk.fsyncDirectory();
    }
    this.#current = { segment, file: this.#disk.open(segmentName(segment), "write") };
  }
}
