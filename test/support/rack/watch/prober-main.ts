/**
 * Sends an ICMP echo to each target every interval and writes down each answer's time of arrival.
 * `prober-main.ts FILE INTERVAL_MS NAME=ADDRESS ...`, in the namespace of the rack's client; ends with its standard input.
 */
import { monotonicMs } from "../command.ts";
import { EventFile } from "./event-file.ts";
import { arrivalMs, echoRequest, icmpSocket, inetAddress, receive, sendTo, waitForPacket } from "./raw-socket.ts";

const [path = "", interval = "5", ...words] = process.argv.slice(2);
const intervalMs = Number(interval);
/** Identifiers start anywhere: two probers in one namespace hear each other's answers. */
const idFirst = process.pid & 0xff00;
const targets = words.map((word, index) => {
  const [name = "", address = ""] = word.split("=");
  // A socket each: echoes that wait for a dead target's ARP answer fill its buffer, and would hold up the others' too.
  return { name, address: inetAddress(address), id: (idFirst + index) & 0xffff, output: icmpSocket() };
});
/** Longer than a scheduler's slice: the loop was held up and says so. */
const LATE_MS = 10;
const FLUSH_MS = 50;

const events = new EventFile(path);
const socket = icmpSocket();
let sequence = 0;
let dueAt = monotonicMs();
let flushAt = dueAt;
events.add({ kind: "ready", atMs: dueAt });

for (;;) {
  let now = monotonicMs();
  if (now >= dueAt) {
    if (now - dueAt > LATE_MS) events.add({ kind: "late", atMs: now, byMs: now - dueAt });
    sequence = (sequence + 1) & 0xffff;
    for (const target of targets) sendTo(target.output, echoRequest(target.id, sequence), target.address);
    // Missed turns are not made up for: a burst would measure nothing.
    dueAt = now - dueAt > intervalMs ? now + intervalMs : dueAt + intervalMs;
  }
  for (let packet = receive(socket); packet !== undefined; packet = receive(socket)) noteAnswer(packet);
  now = monotonicMs();
  if (now >= flushAt) {
    events.flush();
    flushAt = now + FLUSH_MS;
  }
  if (!waitForPacket([socket], Math.min(dueAt, flushAt) - monotonicMs())) break;
}
events.close();

function noteAnswer(packet: Uint8Array): void {
  const icmp = packet.subarray(((packet[0] ?? 0) & 0x0f) * 4);
  if (icmp[0] !== 0) return;
  const id = ((icmp[4] ?? 0) << 8) | (icmp[5] ?? 0);
  const target = targets.find((candidate) => candidate.id === id);
  if (target === undefined) return;
  const answered = ((icmp[6] ?? 0) << 8) | (icmp[7] ?? 0);
  events.add({ kind: "answer", atMs: arrivalMs(socket), target: target.name, sequence: answered });
}
