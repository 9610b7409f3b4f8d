import { NO_ROOM_RETRY_MS, SegmentFiles } from "./segment-files.ts";
import type { Disk } from "./types.ts";

/** One group at a time goes from `buffer` to the disk. */
export interface GroupSink {
  /** Where the caller lays out the next group; not to be touched while one is under way. */
  readonly buffer: Uint8Array;
  /** Writes the first `length` bytes of `buffer` and syncs; `offset` 0 begins the segment. Then calls `done`, never before it returns. */
  write(segment: number, offset: number, length: number, done: SinkDone): void;
  /** Hands a purged segment back; the oldest must come first. Only while no group is under way. */
  recycle(segment: number, done: SinkDone): void;
  lateSegments(): number;
  close(): Promise<void>;
}

/** Called with the error when the disk failed: then nothing more may be written. */
export type SinkDone = (error?: Error) => void;

/** One entry of the largest size and a group of small ones fit; larger appends are split over several groups. */
export const GROUP_BYTES_MAX = 4 * 1024 * 1024;

/**
 * Writes on the caller's thread: for the simulator and the tests. `defer` says when: each write or recycling happens whole,
 * and is reported, in the turn that it is given. `after` says when one that had no room for its segment is tried again.
 */
export function createInlineSink(
  disk: Disk,
  segmentSizeBytes: number,
  defer: (work: () => void) => void = queueMicrotask,
  after: (delayMs: number, callback: () => void) => unknown = (delayMs, callback) => setTimeout(callback, delayMs),
): GroupSink {
  const files = new SegmentFiles(disk, segmentSizeBytes);
  const buffer = new Uint8Array(Math.min(GROUP_BYTES_MAX, segmentSizeBytes));
  /** `work` gives false when there was no room for it to begin: it is tried again later. */
  const attempt = (work: () => boolean, done: SinkDone): void => {
    defer(() => {
      let failure: Error | undefined;
      try {
        if (!work()) {
          after(NO_ROOM_RETRY_MS, () => attempt(work, done));
          return;
        }
      } catch (error) {
        failure = error instanceof Error ? error : new Error(String(error));
      }
      done(failure);
    });
  };
  const prepareSpare = (): void => {
    try {
      if (files.wantsSpare) files.prepareSpare();
    } catch {
      // No room for the next segment is no fault of this one: the rotation tries again and reports it.
    }
  };
  return {
    buffer,
    write(segment, offset, length, done) {
      attempt(() => {
        if (offset > 0) prepareSpare();
        if (!files.hasFileFor(offset)) return false;
        files.write(segment, offset, buffer.subarray(0, length));
        return true;
      }, done);
    },
    recycle(segment, done) {
      attempt(() => {
        files.recycle(segment);
        return true;
      }, done);
    },
    lateSegments: () => files.lateSegments,
    close() {
      files.close();
      return Promise.resolve();
    },
  };
}
