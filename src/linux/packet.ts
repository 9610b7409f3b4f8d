import { ptr } from "bun:ffi";
import { CodedError } from "../base/error.ts";
import { ETHER_TYPE_ARP, ipBytes } from "./arp.ts";
import { ERRNO, errnoText, lastErrno, libc } from "./libc.ts";

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const SOL_SOCKET = 1;
const SO_ATTACH_FILTER = 26;
/** Frames longer than this are cut; an ARP frame has 42 bytes, 60 with padding. */
const FRAME_SIZE_BYTES_MAX = 256;
/** More addresses than one filter program has short jumps for; a box has a handful. */
const FILTER_ADDRESSES_MAX = 32;

const FILTER_HEADER_SIZE_BYTES = 16;

/** `refused`: the kernel's packet lease dropped the frame (ENOBUFS), we are not the holder. */
export type SendResult = "sent" | "refused" | { readonly errno: number };

/** A raw socket that sends any frame on one interface and receives ARP frames there. */
export interface PacketSocket {
  /** For {@link Arrivals}: readable when a frame waits. */
  readonly descriptor: number;
  /** 12–16 µs. Passes the egress hook of nftables, as every frame of AF_PACKET without PACKET_QDISC_BYPASS does. */
  send(frame: Uint8Array): SendResult;
  /** The next frame waiting, in a buffer of its own; undefined when none is. Never waits. */
  receive(): Uint8Array<ArrayBuffer> | undefined;
  close(): void;
}

/**
 * Opens a raw socket on an interface. With `addresses` the kernel passes only ARP frames whose sender or target address
 * is one of them, so that a busy network costs nothing. It is bound to ARP alone: such a socket is served after the
 * ingress hook, so a box without a live token hears of the VIP only what the gate lets in: announcements, and the answers
 * to its own probes. Throws without CAP_NET_RAW or without the interface.
 */
export function openPacketSocket(interfaceIndex: number, addresses: readonly string[] = []): PacketSocket {
  // Protocol 0 until the filter is in place: nothing is received before bind names one.
  const socket = libc.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (socket < 0) throw new CodedError("packet", `Cannot open a raw socket: ${errnoText(lastErrno())}`);
  const fail = (action: string): never => {
    const errno = lastErrno();
    libc.close(socket);
    throw new CodedError("packet", `Cannot ${action} on interface ${interfaceIndex}: ${errnoText(errno)}`);
  };
  if (addresses.length > 0) {
    const filter = arpFilter(addresses);
    if (libc.setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, filter, FILTER_HEADER_SIZE_BYTES) !== 0)
      fail("filter frames");
  }
  const address = new DataView(new ArrayBuffer(20)); // struct sockaddr_ll
  address.setUint16(0, AF_PACKET, true);
  address.setUint16(2, ETHER_TYPE_ARP); // network byte order
  address.setInt32(4, interfaceIndex, true);
  if (libc.bind(socket, new Uint8Array(address.buffer), 20) !== 0) fail("receive frames");

  const buffer = new Uint8Array(FRAME_SIZE_BYTES_MAX);
  let isOpen = true;
  return {
    descriptor: socket,
    send: (frame) => {
      if (!isOpen) return { errno: ERRNO.ENODEV };
      if (libc.send(socket, frame, frame.length, MSG_DONTWAIT) >= 0) return "sent";
      const errno = lastErrno();
      return errno === ERRNO.ENOBUFS ? "refused" : { errno };
    },
    receive: () => {
      if (!isOpen) return undefined;
      const size = Number(libc.recv(socket, buffer, buffer.length, MSG_DONTWAIT));
      return size > 0 ? buffer.slice(0, size) : undefined;
    },
    close: () => {
      if (isOpen) libc.close(socket);
      isOpen = false;
    },
  };
}

/**
 * struct sock_fprog with its classic BPF program behind it, in one buffer as the first points into the second: pass when
 * the word at 28 (sender address) or 38 (target address) is one of `addresses`. 64-bit little-endian machines.
 */
function arpFilter(addresses: readonly string[]): Uint8Array<ArrayBuffer> {
  if (addresses.length > FILTER_ADDRESSES_MAX) {
    throw new CodedError("packet", `Cannot filter for ${addresses.length} addresses: over ${FILTER_ADDRESSES_MAX}`);
  }
  const LOAD_WORD = 0x20;
  const JUMP_EQUAL = 0x15;
  const RETURN = 0x06;
  const length = 2 * (1 + addresses.length) + 2;
  const filter = new Uint8Array(FILTER_HEADER_SIZE_BYTES + length * 8);
  const view = new DataView(filter.buffer);
  view.setUint16(0, length, true);
  view.setBigUint64(8, BigInt(ptr(filter) + FILTER_HEADER_SIZE_BYTES), true);
  let line = 0;
  const put = (code: number, jumpTrue: number, value: number): void => {
    const at = FILTER_HEADER_SIZE_BYTES + line * 8;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jumpTrue);
    view.setUint32(at + 4, value, true);
    line++;
  };
  for (const offset of [28, 38]) {
    put(LOAD_WORD, 0, offset);
    for (const address of addresses) {
      const word = new DataView(new Uint8Array(ipBytes(address)).buffer).getUint32(0);
      put(JUMP_EQUAL, length - 1 - (line + 1), word);
    }
  }
  put(RETURN, 0, 0);
  put(RETURN, 0, FRAME_SIZE_BYTES_MAX);
  return filter;
}
