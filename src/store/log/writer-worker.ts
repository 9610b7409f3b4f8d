import { parentPort, workerData } from "node:worker_threads";
import { openRealDisk } from "./real-disk.ts";
import { NO_ROOM_RETRY_MS, SegmentFiles } from "./segment-files.ts";
import { COMMAND, CONTROL, type WriterAnswer, type WriterData } from "./writer-protocol.ts";

/** A pause this long, in ms, is a chance to zero a piece of the next segment. */
const PAUSE_MS = 2;
/** With this part of a segment used, the spare is made between groups even when there are no pauses. */
const SPARE_URGENT_FRACTION = 0.75;

/** The log's writer thread: sleeps on a shared word, never runs an event loop turn between command and answer. */
function run(data: WriterData, answer: (value: WriterAnswer) => void): void {
  const control = new Int32Array(data.control);
  const buffer = new Uint8Array(data.buffer);
  const files = new SegmentFiles(openRealDisk(data.path), data.segmentSizeBytes);
  let seen = 0;
  let spareFailed = false;
  const prepareSpare = (): void => {
    try {
      files.prepareSpare();
    } catch {
      // No room for the next segment is no fault of this one: the rotation tries again and reports it.
      spareFailed = true;
    }
  };
  const attempt = (work: () => void): void => {
    let error: string | undefined;
    try {
      work();
    } catch (caught) {
      error = caught instanceof Error ? caught.message : String(caught);
    }
    answer({ error, lateSegments: files.lateSegments });
  };

  answer({ error: undefined, lateSegments: 0 });
  for (;;) {
    while (Atomics.load(control, CONTROL.sequence) === seen) {
      const wants = files.wantsSpare && !spareFailed;
      if (Atomics.wait(control, CONTROL.sequence, seen, wants ? PAUSE_MS : Number.POSITIVE_INFINITY) === "timed-out") {
        prepareSpare();
      }
    }
    seen = Atomics.load(control, CONTROL.sequence);
    const segment = control[CONTROL.segment] ?? 0;
    const offset = control[CONTROL.offset] ?? 0;
    switch (control[CONTROL.command]) {
      case COMMAND.write: {
        const length = control[CONTROL.length] ?? 0;
        if (offset === 0) spareFailed = false;
        attempt(() => {
          // The core hears nothing until there is room, so nothing is acknowledged and nothing skipped.
          while (!files.hasFileFor(offset)) Bun.sleepSync(NO_ROOM_RETRY_MS);
          files.write(segment, offset, buffer.subarray(0, length));
        });
        if (offset > data.segmentSizeBytes * SPARE_URGENT_FRACTION && files.wantsSpare && !spareFailed) prepareSpare();
        break;
      }
      case COMMAND.recycle:
        attempt(() => files.recycle(segment));
        break;
      default:
        attempt(() => files.close());
        return;
    }
  }
}

if (parentPort !== null) {
  const port = parentPort;
  run(workerData as WriterData, (value) => port.postMessage(value));
}
