/** Raw sockets for the watchers, which are programs of one loop each: send, wait in poll(2), receive, note the time. */
import { dlopen, ptr } from "bun:ffi";
import { CodedError } from "../../../../src/base/error.ts";

const libc = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  ppoll: { args: ["ptr", "u64", "ptr", "ptr"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  if_nametoindex: { args: ["ptr"], returns: "u32" },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
});

const AF_INET = 2;
const AF_PACKET = 17;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0o4000 | 0o2000000;
const IPPROTO_ICMP = 1;
const MSG_DONTWAIT = 0x40;
/** Time of arrival, as the kernel noted it, of the frame that was received last. */
const SIOCGSTAMPNS = 0x8907;
const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;

/** A socket for ICMP messages; packets are received with their IP header. */
export function icmpSocket(): number {
  return check(libc.symbols.socket(AF_INET, SOCK_RAW_NONBLOCK_CLOEXEC, IPPROTO_ICMP), "open an ICMP socket");
}

/** A socket for whole Ethernet frames of one type (0x0806 ARP, 0x0800 IPv4) on one interface. */
export function frameSocket(device: string, etherType: number): number {
  const swapped = ((etherType & 0xff) << 8) | (etherType >> 8);
  const socket = check(libc.symbols.socket(AF_PACKET, SOCK_RAW_NONBLOCK_CLOEXEC, swapped), "open a packet socket");
  const index = libc.symbols.if_nametoindex(ptr(Buffer.from(`${device}\0`)));
  if (index === 0) throw new CodedError("RACK_WATCH", `Cannot watch interface "${device}": it does not exist`);
  const address = new DataView(new ArrayBuffer(20));
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, etherType);
  address.setUint32(4, index, true);
  check(libc.symbols.bind(socket, ptr(address), address.byteLength), `bind to interface "${device}"`);
  return socket;
}

const SOL_PACKET = 263;
const PACKET_IGNORE_OUTGOING = 23;

/** Without it a socket for frames of all types receives what it sent itself. */
export function ignoreOutgoing(socket: number): void {
  const on = new Int32Array([1]);
  check(libc.symbols.setsockopt(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, ptr(on), 4), "ignore outgoing frames");
}

/** True while this namespace has an interface of this name. */
export function interfaceExists(device: string): boolean {
  return libc.symbols.if_nametoindex(ptr(Buffer.from(`${device}\0`))) !== 0;
}

/** The form in which {@link sendTo} wants an IPv4 address. */
export function inetAddress(address: string): Uint8Array {
  return Uint8Array.from([AF_INET, 0, 0, 0, ...address.split(".").map(Number), 0, 0, 0, 0, 0, 0, 0, 0]);
}

/** Sends at once or not at all; false if the kernel refused (no route, no neighbour, no buffer). */
export function sendTo(socket: number, bytes: Uint8Array, address?: Uint8Array): boolean {
  const to = address === undefined ? null : ptr(address);
  return Number(libc.symbols.sendto(socket, ptr(bytes), bytes.length, MSG_DONTWAIT, to, address?.length ?? 0)) >= 0;
}

/** A frame that was not cut to size yet is up to 64 KiB. */
const buffer = new Uint8Array(65_536 + 64);

/** The next packet that waits, valid until the next call; undefined when none does. */
export function receive(socket: number): Uint8Array | undefined {
  const size = Number(libc.symbols.recv(socket, ptr(buffer), buffer.length, MSG_DONTWAIT));
  return size < 0 ? undefined : buffer.subarray(0, size);
}

const timespec = new BigInt64Array(2);

/** When the last received packet arrived, in CLOCK_MONOTONIC ms: also right if this program had to wait for a processor. */
export function arrivalMs(socket: number): number {
  const monotonic = clockMs(CLOCK_MONOTONIC);
  if (libc.symbols.ioctl(socket, SIOCGSTAMPNS, ptr(timespec)) !== 0) return monotonic;
  const stamp = Number(timespec[0]) * 1000 + Number(timespec[1]) / 1e6;
  return monotonic - (clockMs(CLOCK_REALTIME) - stamp);
}

function clockMs(clock: number): number {
  libc.symbols.clock_gettime(clock, ptr(timespec));
  return Number(timespec[0]) * 1000 + Number(timespec[1]) / 1e6;
}

const POLLIN = 1;
const POLLHUP = 16;

/** Waits for a packet on any socket, at most `timeoutMs`. False when standard input ended: whoever started us is gone. */
export function waitForPacket(sockets: readonly number[], timeoutMs: number): boolean {
  const entries = waitForSockets([0, ...sockets], timeoutMs);
  return (entries.getInt16(6, true) & (POLLIN | POLLHUP)) === 0;
}

/** Waits until one of these files can be read, at most `timeoutMs`. Returns poll(2)'s entries. */
export function waitForSockets(files: readonly number[], timeoutMs: number): DataView {
  const entries = new DataView(new ArrayBuffer(8 * files.length));
  for (const [index, file] of files.entries()) {
    entries.setInt32(index * 8, file, true);
    entries.setInt16(index * 8 + 4, POLLIN, true);
  }
  const wait = BigInt(Math.max(0, Math.round(timeoutMs * 1e6)));
  timespec[0] = wait / 1_000_000_000n;
  timespec[1] = wait % 1_000_000_000n;
  libc.symbols.ppoll(ptr(entries), files.length, ptr(timespec), null);
  return entries;
}

/** RFC 1071. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An ICMP echo request of 16 bytes, checksum included. */
export function echoRequest(id: number, sequence: number): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set([8, 0, 0, 0, id >> 8, id & 0xff, (sequence >> 8) & 0xff, sequence & 0xff]);
  const sum = internetChecksum(bytes);
  bytes.set([sum >> 8, sum & 0xff], 2);
  return bytes;
}

function check(result: number, action: string): number {
  if (result < 0) throw new CodedError("RACK_WATCH", `Cannot ${action}: it needs root, in the right namespace`);
  return result;
}
