/**
 * Asks all boxes at once, every 5 ms, who has the VIP, and writes down who answers.
 *
 * It stands in the switch: it sends from the management bridge itself, so that a partition between nodes does not
 * hide one of them, while a box without cable or power is not asked (nobody on the switch could reach it either).
 * The question is a unicast ARP request to each box's MAC, in turn with an ICMP echo to the VIP sent to each box's
 * MAC; a broadcast now and then finds strangers. Kernels answer within microseconds, in their interrupt, without
 * running a process: two answers to one round are two holders at one instant.
 *
 * `holder-main.ts FILE VIP BOX_MAC ...`; ends with its standard input.
 */
import { monotonicMs } from "../command.ts";
import { EventFile } from "./event-file.ts";
import { arrivalMs, echoRequest, frameSocket, internetChecksum, receive, sendTo, waitForPacket } from "./raw-socket.ts";

const [path = "", vip = "", ...boxMacs] = process.argv.slice(2);
const ROUND_MS = 5;
const LATE_MS = 10;
const FLUSH_MS = 50;
/** Guests take a broadcast as an interrupt under emulation, so strangers are asked for five times a second only. */
const BROADCAST_EVERY_ROUNDS = 40;
const ICMP_EVERY_ROUNDS = 4;
/** The bridge's own MAC: answers end in the bridge and are not flooded. */
const ownMac = parseMac("02:52:46:00:00:01");
/** An address of the management network that nobody has. */
const ownAddress = [10, 77, 0, 254];
const vipBytes = vip.split(".").map(Number);
const BROADCAST = [255, 255, 255, 255, 255, 255];
const boxes = boxMacs.map(parseMac);

const events = new EventFile(path);
const arp = frameSocket("mgmt", 0x0806);
const ip = frameSocket("mgmt", 0x0800);
let round = 0;
let askedAtMs = 0;
let dueAt = monotonicMs();
let flushAt = dueAt;
events.add({ kind: "ready", atMs: dueAt });

for (;;) {
  let now = monotonicMs();
  if (now >= dueAt) {
    if (now - dueAt > LATE_MS) events.add({ kind: "late", atMs: now, byMs: now - dueAt });
    ask(now);
    dueAt = now - dueAt > ROUND_MS ? now + ROUND_MS : dueAt + ROUND_MS;
  }
  for (let frame = receive(arp); frame !== undefined; frame = receive(arp)) onArp(frame);
  for (let frame = receive(ip); frame !== undefined; frame = receive(ip)) onIp(frame);
  now = monotonicMs();
  if (now >= flushAt) {
    events.flush();
    flushAt = now + FLUSH_MS;
  }
  if (!waitForPacket([arp, ip], Math.min(dueAt, flushAt) - monotonicMs())) break;
}
events.close();

function ask(now: number): void {
  round++;
  askedAtMs = now;
  // Another one is first each time: none is asked systematically later than the others.
  const order = boxes.map((_, index) => boxes[(index + round) % boxes.length] ?? []);
  for (const mac of order) {
    if (round % ICMP_EVERY_ROUNDS === 0) sendTo(ip, echoFrame(mac));
    else
      sendTo(
        arp,
        arpFrame(
          mac,
          1,
          BROADCAST.map(() => 0),
          vipBytes,
        ),
      );
  }
  if (round % BROADCAST_EVERY_ROUNDS === 1)
    sendTo(
      arp,
      arpFrame(
        BROADCAST,
        1,
        BROADCAST.map(() => 0),
        vipBytes,
      ),
    );
}

function onArp(frame: Uint8Array): void {
  const operation = frame[21];
  const sender = [...frame.subarray(28, 32)];
  const target = [...frame.subarray(38, 42)];
  const mac = frame.subarray(6, 12);
  // Both a reply to us and an announcement claim the address.
  if (same(sender, vipBytes)) note(mac, "arp", arp);
  // A box that wants to answer our echo asks who we are.
  if (operation === 1 && same(target, ownAddress))
    sendTo(arp, arpFrame([...mac], 2, [...frame.subarray(22, 28)], sender));
}

function onIp(frame: Uint8Array): void {
  const isEchoReply = frame[23] === 1 && frame[34] === 0;
  if (isEchoReply && same([...frame.subarray(26, 30)], vipBytes)) note(frame.subarray(6, 12), "icmp", ip);
}

function note(mac: Uint8Array, by: "arp" | "icmp", socket: number): void {
  const name = [...mac].map((byte) => byte.toString(16).padStart(2, "0")).join(":");
  events.add({ kind: "holder", atMs: arrivalMs(socket), mac: name, by, round, askedAtMs });
}

function arpFrame(
  to: readonly number[],
  operation: number,
  targetMac: readonly number[],
  target: readonly number[],
): Uint8Array {
  const header = [...to, ...ownMac, 0x08, 0x06];
  return Uint8Array.from([
    ...header,
    0,
    1,
    8,
    0,
    6,
    4,
    0,
    operation,
    ...ownMac,
    ...ownAddress,
    ...targetMac,
    ...target,
  ]);
}

function echoFrame(to: readonly number[]): Uint8Array {
  const icmp = echoRequest(0x5246, round & 0xffff);
  const header = Uint8Array.from([
    0x45,
    0,
    0,
    20 + icmp.length,
    0,
    0,
    0x40,
    0,
    64,
    1,
    0,
    0,
    ...ownAddress,
    ...vipBytes,
  ]);
  const sum = internetChecksum(header);
  header.set([sum >> 8, sum & 0xff], 10);
  return Uint8Array.from([...to, ...ownMac, 0x08, 0x00, ...header, ...icmp]);
}

function parseMac(text: string): readonly number[] {
  return text.split(":").map((part) => Number.parseInt(part, 16));
}

function same(a: readonly number[], b: readonly number[]): boolean {
  return a.every((byte, index) => byte === b[index]);
}
