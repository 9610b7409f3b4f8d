/**
 * Carries frames between two interfaces, each a while later: `relay-main.ts OUTER INNER DELAY_MS JITTER_MS`.
 * Ends by itself when an interface is gone.
 */
import { monotonicMs } from "./command.ts";
import { frameSocket, ignoreOutgoing, interfaceExists, receive, sendTo, waitForSockets } from "./watch/raw-socket.ts";

const [outer = "", inner = "", delay = "0", jitter = "0"] = process.argv.slice(2);
const [delayMs, jitterMs] = [Number(delay), Number(jitter)];
const ALL_TYPES = 0x0003;
/** A gigabit cable that is 100 ms long holds 8,000 full frames; what does not fit is lost, as in a switch. */
const QUEUE_FRAMES_MAX = 8_000;
/** Frames of one side taken at a time, so that the other side gets its turn. */
const BURST_FRAMES = 64;
const LOOK_MS = 500;

interface Direction {
  readonly from: number;
  readonly to: number;
  readonly queue: { readonly dueAt: number; readonly frame: Uint8Array }[];
  /** Frames keep their order: none is due before the one ahead of it. */
  lastDueAt: number;
}

const [outerSocket, innerSocket] = [outer, inner].map((device) => {
  const socket = frameSocket(device, ALL_TYPES);
  ignoreOutgoing(socket);
  return socket;
}) as [number, number];
const directions: readonly Direction[] = [
  { from: outerSocket, to: innerSocket, queue: [], lastDueAt: 0 },
  { from: innerSocket, to: outerSocket, queue: [], lastDueAt: 0 },
];
console.log(`relaying ${outer} ${inner} after ${delayMs} ms and up to ${jitterMs} ms more`);

while (interfaceExists(outer) && interfaceExists(inner)) {
  const lookAt = monotonicMs() + LOOK_MS;
  for (let now = monotonicMs(); now < lookAt; now = monotonicMs()) {
    for (const direction of directions) carry(direction, now);
    const dueAt = Math.min(lookAt, ...directions.map((direction) => direction.queue[0]?.dueAt ?? lookAt));
    waitForSockets([outerSocket, innerSocket], dueAt - monotonicMs());
  }
}

function carry(direction: Direction, now: number): void {
  for (let count = 0; count < BURST_FRAMES; count++) {
    const frame = receive(direction.from);
    if (frame === undefined) break;
    if (direction.queue.length >= QUEUE_FRAMES_MAX) continue;
    direction.lastDueAt = Math.max(direction.lastDueAt, now + delayMs + Math.random() * jitterMs);
    direction.queue.push({ dueAt: direction.lastDueAt, frame: frame.slice() });
  }
  let due = 0;
  for (const { dueAt, frame } of direction.queue) {
    if (dueAt > now) break;
    sendTo(direction.to, frame);
    due++;
  }
  if (due > 0) direction.queue.splice(0, due);
}
