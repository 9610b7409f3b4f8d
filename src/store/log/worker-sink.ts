import { Worker } from "node:worker_threads";
import { program } from "../../base/program.ts";
import { GROUP_BYTES_MAX, type GroupSink, type SinkDone } from "./group-sink.ts";
import { COMMAND, CONTROL, CONTROL_WORDS, type WriterAnswer, type WriterData } from "./writer-protocol.ts";

/** Starting a thread takes some 30 ms; this long means that it will not come. */
const START_TIMEOUT_MS = 10_000;

/**
 * Writes in a Worker of its own, because Bun's thread pool is shared with SQLite: two long SELECTs held an asynchronous
 * fdatasync for 450 ms (consensus.md section 3). The group lies in shared memory and the Worker sleeps on a shared word:
 * a group costs one wake-up there and one message back (measured: 57 µs for both, with the fsync 126 µs where the bare one takes 100).
 */
export async function createWorkerSink(path: string, segmentSizeBytes: number): Promise<GroupSink> {
  const control = new Int32Array(new SharedArrayBuffer(CONTROL_WORDS * 4));
  const buffer = new Uint8Array(new SharedArrayBuffer(Math.min(GROUP_BYTES_MAX, segmentSizeBytes)));
  const workerData: WriterData = { path, segmentSizeBytes, control: control.buffer, buffer: buffer.buffer };
  const worker = new Worker(new URL(program("./writer-worker.ts", import.meta.url), import.meta.url), { workerData });
  let waiting: SinkDone | undefined;
  let failed: Error | undefined;
  let sequence = 0;
  let lateSegments = 0;
  let ended = false;

  const finish = (error?: Error): void => {
    const done = waiting;
    waiting = undefined;
    failed ??= error;
    done?.(error);
  };
  const command = (code: number, done: SinkDone): void => {
    if (failed !== undefined) {
      const error = failed;
      queueMicrotask(() => done(error));
      return;
    }
    waiting = done;
    control[CONTROL.command] = code;
    sequence++;
    Atomics.store(control, CONTROL.sequence, sequence);
    Atomics.notify(control, CONTROL.sequence);
  };
  worker.on("error", (error) => finish(error instanceof Error ? error : new Error(String(error))));
  worker.on("exit", () => {
    ended = true;
    finish(new Error("the log's writer thread has ended"));
  });

  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("the log's writer thread did not start")), START_TIMEOUT_MS);
    waiting = (error) => {
      clearTimeout(timer);
      if (error === undefined) resolve();
      else reject(error);
    };
    worker.on("message", (answer: WriterAnswer) => {
      lateSegments = answer.lateSegments;
      finish(answer.error === undefined ? undefined : new Error(answer.error));
    });
  });

  return {
    buffer,
    write(segment, offset, length, done) {
      control[CONTROL.segment] = segment;
      control[CONTROL.offset] = offset;
      control[CONTROL.length] = length;
      command(COMMAND.write, done);
    },
    recycle(segment, done) {
      control[CONTROL.segment] = segment;
      command(COMMAND.recycle, done);
    },
    lateSegments: () => lateSegments,
    close: () =>
      new Promise<void>((resolve) => {
        if (ended) {
          resolve();
          return;
        }
        worker.once("exit", () => resolve());
        command(COMMAND.close, () => undefined);
        if (failed !== undefined) void worker.terminate();
      }),
  };
}
