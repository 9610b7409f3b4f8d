/** An Ethernet frame with an ARP packet: 14 bytes of header and 28 bytes of body (RFC 826), IPv4 over Ethernet. */
export const ARP_FRAME_SIZE_BYTES = 42;

/** The EtherType of ARP. */
export const ETHER_TYPE_ARP = 0x0806;

/** What an ARP frame says. MACs as `02:00:00:00:00:01`, addresses as `10.3.3.2`. */
export interface ArpPacket {
  readonly operation: "request" | "reply";
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetMac: string;
  readonly targetIp: string;
}

const BROADCAST = "ff:ff:ff:ff:ff:ff";
const NO_MAC = "00:00:00:00:00:00";

/** "This address is here": request form, sender and target the same (RFC 5944 §4.6). Every Linux client takes it. */
export function arpAnnouncement(mac: string, ip: string): Uint8Array<ArrayBuffer> {
  return encodeArp(BROADCAST, { operation: "request", senderMac: mac, senderIp: ip, targetMac: NO_MAC, targetIp: ip });
}

/**
 * The same as a reply to all. The target hardware address is the sender's own: with a broadcast one a Linux client
 * takes it for an ordinary reply and ignores it for a second after its last update.
 */
export function arpReplyAnnouncement(mac: string, ip: string): Uint8Array<ArrayBuffer> {
  return encodeArp(BROADCAST, { operation: "reply", senderMac: mac, senderIp: ip, targetMac: mac, targetIp: ip });
}

/** "Has anyone this address?", naming no sender address, so that no cache changes (RFC 5227 §2.1.1). */
export function arpProbe(mac: string, ip: string): Uint8Array<ArrayBuffer> {
  const packet = { senderMac: mac, senderIp: "0.0.0.0", targetMac: NO_MAC, targetIp: ip };
  return encodeArp(BROADCAST, { operation: "request", ...packet });
}

/** Any ARP frame, to any destination MAC. */
export function encodeArp(destinationMac: string, packet: ArpPacket): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(ARP_FRAME_SIZE_BYTES);
  frame.set(macBytes(destinationMac), 0);
  frame.set(macBytes(packet.senderMac), 6);
  // EtherType ARP; hardware 1 (Ethernet), protocol 0x0800 (IPv4), address lengths 6 and 4.
  frame.set([0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4, 0x00, packet.operation === "request" ? 1 : 2], 12);
  frame.set(macBytes(packet.senderMac), 22);
  frame.set(ipBytes(packet.senderIp), 28);
  frame.set(macBytes(packet.targetMac), 32);
  frame.set(ipBytes(packet.targetIp), 38);
  return frame;
}

/** What a received frame says; undefined when it is short, tagged, or not an ARP request or reply for IPv4 on Ethernet. */
export function decodeArp(frame: Uint8Array): ArpPacket | undefined {
  if (frame.length < ARP_FRAME_SIZE_BYTES) return undefined;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint16(12) !== ETHER_TYPE_ARP || view.getUint16(14) !== 1 || view.getUint16(16) !== 0x0800)
    return undefined;
  if (view.getUint16(18) !== 0x0604) return undefined;
  const operation = view.getUint16(20);
  if (operation !== 1 && operation !== 2) return undefined;
  return {
    operation: operation === 1 ? "request" : "reply",
    senderMac: macText(frame, 22),
    senderIp: ipText(frame, 28),
    targetMac: macText(frame, 32),
    targetIp: ipText(frame, 38),
  };
}

/** `02:00:00:00:00:01` to 6 bytes. Throws on anything else. */
export function macBytes(mac: string): number[] {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(mac)) throw new Error(`Cannot parse MAC "${mac}"`);
  return mac.split(":").map((byte) => Number.parseInt(byte, 16));
}

/** `10.3.3.2` to 4 bytes. Throws on anything else. */
export function ipBytes(ip: string): number[] {
  const bytes = ip.split(".").map((part) => (/^\d{1,3}$/.test(part) ? Number(part) : 256));
  if (bytes.length !== 4 || bytes.some((byte) => byte > 255)) throw new Error(`Cannot parse IPv4 address "${ip}"`);
  return bytes;
}

/** 6 bytes at `offset` as `02:00:00:00:00:01`. */
export function macText(bytes: Uint8Array, offset: number): string {
  return Array.from(bytes.subarray(offset, offset + 6), (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** 4 bytes at `offset` as `10.3.3.2`. */
export function ipText(bytes: Uint8Array, offset: number): string {
  return bytes.subarray(offset, offset + 4).join(".");
}
