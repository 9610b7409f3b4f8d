import { parentPort, workerData } from "node:worker_threads";
import { epoll } from "./epoll-calls.ts";

/** Descriptors reported by one call; more of them wait for the next one. */
const EVENTS_MAX = 64;
/** struct epoll_event is packed on amd64 and padded elsewhere (epoll_ctl(2)). */
const { eventBytes, idOffset } = epoll.layout;
/** One event: what happened (EPOLLIN …), and the number that it was armed with. */
export type EpollReport = readonly (readonly [events: number, id: number])[];

/** Blocks in epoll_wait for the life of the process: no timer, no turn of an event loop, no cost while nothing happens. */
function run(descriptor: number): void {
  const buffer = new Uint8Array(EVENTS_MAX * eventBytes);
  const view = new DataView(buffer.buffer);
  for (;;) {
    const count = epoll.wait(descriptor, buffer, EVENTS_MAX, -1);
    // A signal, or an error that another call would only repeat: an endless loop would be worse than silence.
    if (count < 0 && !epoll.wasInterrupted()) return;
    const report: (readonly [number, number])[] = [];
    for (let index = 0; index < count; index++)
      report.push([view.getUint32(index * eventBytes, true), view.getUint32(index * eventBytes + idOffset, true)]);
    if (report.length > 0) parentPort?.postMessage(report);
  }
}

run(workerData as number);
