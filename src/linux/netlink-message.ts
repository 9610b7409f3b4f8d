/** The shared parts of netlink messages (linux/netlink.h): 16 bytes of header, a fixed part, attributes. Host byte order. */
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;
export const NLM_F_REQUEST = 0x1;
export const NLM_F_ACK = 0x4;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_DUMP = 0x300;
export const NLM_F_CREATE = 0x400;

const HEADER_SIZE_BYTES = 16;

/** One received message. `body` starts after the header. */
export interface NetlinkMessage {
  readonly type: number;
  readonly sequence: number;
  readonly body: Uint8Array;
}

/** A message to send: `fixed` is the family's own header, `attributes` are type and bytes each. */
export function encodeMessage(
  type: number,
  flags: number,
  sequence: number,
  fixed: Uint8Array,
  attributes: readonly (readonly [number, Uint8Array])[] = [],
): Uint8Array<ArrayBuffer> {
  let size = HEADER_SIZE_BYTES + align(fixed.length);
  for (const [, value] of attributes) size += align(4 + value.length);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size, true);
  view.setUint16(4, type, true);
  view.setUint16(6, flags | NLM_F_REQUEST, true);
  view.setUint32(8, sequence, true);
  bytes.set(fixed, HEADER_SIZE_BYTES);
  let at = HEADER_SIZE_BYTES + align(fixed.length);
  for (const [kind, value] of attributes) {
    view.setUint16(at, 4 + value.length, true);
    view.setUint16(at + 2, kind, true);
    bytes.set(value, at + 4);
    at += align(4 + value.length);
  }
  return bytes;
}

/** The messages of one received datagram. A length that does not fit ends the list: the kernel writes none. */
export function decodeMessages(datagram: Uint8Array): NetlinkMessage[] {
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at + HEADER_SIZE_BYTES <= datagram.length; ) {
    const size = view.getUint32(at, true);
    if (size < HEADER_SIZE_BYTES || at + size > datagram.length) break;
    const body = datagram.subarray(at + HEADER_SIZE_BYTES, at + size);
    messages.push({ type: view.getUint16(at + 4, true), sequence: view.getUint32(at + 8, true), body });
    at += align(size);
  }
  return messages;
}

/** The attributes after a message's fixed part of `fixedSizeBytes`; the last of a type wins. */
export function decodeAttributes(body: Uint8Array, fixedSizeBytes: number): Map<number, Uint8Array> {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const attributes = new Map<number, Uint8Array>();
  for (let at = align(fixedSizeBytes); at + 4 <= body.length; ) {
    const size = view.getUint16(at, true);
    if (size < 4 || at + size > body.length) break;
    // The two upper bits are flags (nested, byte order), not part of the type.
    attributes.set(view.getUint16(at + 2, true) & 0x3fff, body.subarray(at + 4, at + size));
    at += align(size);
  }
  return attributes;
}

/** A 32-bit number of the host's byte order, or 0 when `bytes` is shorter. */
export function hostUint32(bytes: Uint8Array, offset = 0): number {
  if (bytes.length < offset + 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(offset, true);
}

function align(size: number): number {
  return (size + 3) & ~3;
}
