import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { SessionKeys } from "./keys.ts";

/** RMCP: version 6, reserved, sequence FF (no acknowledgement wanted), class IPMI (IPMI 2.0 §13.1.3). */
const RMCP_HEADER = Buffer.from([0x06, 0x00, 0xff, 0x07]);
const AUTH_TYPE_NONE = 0x00;
const AUTH_TYPE_RMCP_PLUS = 0x06;
const FLAG_ENCRYPTED = 0x80;
const FLAG_AUTHENTICATED = 0x40;
const NEXT_HEADER = 0x07;
/** RMCP header 4, auth type 1, payload type 1, session id 4, sequence 4, length 2. */
const V2_HEADER_BYTES = 16;
/** RMCP header 4, auth type 1, sequence 4, session id 4, length 1; auth type none has no code. */
const V15_HEADER_BYTES = 14;
const CIPHER_BLOCK_BYTES = 16;

/** Payload types (IPMI 2.0 table 13-16). */
export const payloadType = {
  ipmi: 0x00,
  openSessionRequest: 0x10,
  openSessionResponse: 0x11,
  rakp1: 0x12,
  rakp2: 0x13,
  rakp3: 0x14,
  rakp4: 0x15,
} as const;

/** An IPMI 1.5 datagram outside a session (auth type none): what comes before a session. */
export interface OutsidePacket {
  readonly kind: "outside";
  readonly payload: Buffer;
}

/** An RMCP+ datagram. `payload` is as it was on the wire: encrypted when `isEncrypted`. */
export interface PlusPacket {
  readonly kind: "plus";
  readonly type: number;
  readonly isEncrypted: boolean;
  readonly isAuthenticated: boolean;
  readonly sessionId: number;
  readonly sequence: number;
  readonly payload: Buffer;
  readonly datagram: Buffer;
}

export type Packet = OutsidePacket | PlusPacket;

/** A message in IPMI 1.5 framing with session id, sequence and auth type 0. */
export function encodeOutside(message: Buffer): Buffer {
  const header = Buffer.alloc(V15_HEADER_BYTES);
  RMCP_HEADER.copy(header);
  header[4] = AUTH_TYPE_NONE;
  header[13] = message.length;
  return Buffer.concat([header, message]);
}

/** An RMCP+ packet outside a session: neither encrypted nor authenticated, session id and sequence 0. */
export function encodePlain(type: number, payload: Buffer): Buffer {
  return Buffer.concat([plusHeader(type, 0, 0, payload.length), payload]);
}

/** An encrypted and authenticated RMCP+ packet (IPMI 2.0 §13.6, §13.28.4, §13.29). `iv` is for test vectors only. */
export function encodeSealed(
  keys: SessionKeys,
  type: number,
  sessionId: number,
  sequence: number,
  payload: Buffer,
  iv: Buffer = randomBytes(CIPHER_BLOCK_BYTES),
): Buffer {
  const body = encrypt(keys.cipherKey, payload, iv);
  const header = plusHeader(type | FLAG_ENCRYPTED | FLAG_AUTHENTICATED, sessionId, sequence, body.length);
  // The authenticated part, from auth type to next header, has a length that is a multiple of 4.
  const authenticatedBytes = V2_HEADER_BYTES - RMCP_HEADER.length + body.length + 2;
  const padBytes = (4 - (authenticatedBytes % 4)) % 4;
  const trailer = Buffer.alloc(padBytes + 2, 0xff);
  trailer[padBytes] = padBytes;
  trailer[padBytes + 1] = NEXT_HEADER;
  const packet = Buffer.concat([header, body, trailer]);
  return Buffer.concat([packet, authCode(keys, packet.subarray(RMCP_HEADER.length))]);
}

/** Reads the outer frame of one datagram. Undefined for whatever is not IPMI over RMCP: ASF pings, noise, short packets. */
export function decodePacket(datagram: Buffer): Packet | undefined {
  if (datagram.length < V15_HEADER_BYTES || datagram[0] !== RMCP_HEADER[0] || datagram[3] !== RMCP_HEADER[3]) return;
  const authType = datagram[4];
  if (authType === AUTH_TYPE_NONE) {
    const end = V15_HEADER_BYTES + datagram.readUInt8(13);
    if (datagram.readUInt32LE(9) !== 0 || end > datagram.length) return;
    return { kind: "outside", payload: datagram.subarray(V15_HEADER_BYTES, end) };
  }
  if (authType !== AUTH_TYPE_RMCP_PLUS || datagram.length < V2_HEADER_BYTES) return;
  const flags = datagram.readUInt8(5);
  const end = V2_HEADER_BYTES + datagram.readUInt16LE(14);
  if (end > datagram.length) return;
  return {
    kind: "plus",
    type: flags & 0x3f,
    isEncrypted: (flags & FLAG_ENCRYPTED) !== 0,
    isAuthenticated: (flags & FLAG_AUTHENTICATED) !== 0,
    sessionId: datagram.readUInt32LE(6),
    sequence: datagram.readUInt32LE(10),
    payload: datagram.subarray(V2_HEADER_BYTES, end),
    datagram,
  };
}

/**
 * Verifies the AuthCode, then decrypts. Undefined when the packet is not both authenticated and encrypted, or when
 * anything about it does not verify: such a packet is noise or an attack and is dropped without an answer.
 */
export function unseal(keys: SessionKeys, packet: PlusPacket): Buffer | undefined {
  if (!packet.isAuthenticated || !packet.isEncrypted) return;
  const { datagram } = packet;
  const codeAt = datagram.length - keys.suite.authCodeBytes;
  if (codeAt < V2_HEADER_BYTES + packet.payload.length + 2) return;
  const expected = authCode(keys, datagram.subarray(RMCP_HEADER.length, codeAt));
  if (!timingSafeEqual(expected, datagram.subarray(codeAt))) return;
  return decrypt(keys.cipherKey, packet.payload);
}

function plusHeader(typeAndFlags: number, sessionId: number, sequence: number, payloadBytes: number): Buffer {
  const header = Buffer.alloc(V2_HEADER_BYTES);
  RMCP_HEADER.copy(header);
  header[4] = AUTH_TYPE_RMCP_PLUS;
  header[5] = typeAndFlags;
  header.writeUInt32LE(sessionId, 6);
  header.writeUInt32LE(sequence, 10);
  header.writeUInt16LE(payloadBytes, 14);
  return header;
}

function authCode(keys: SessionKeys, authenticated: Buffer): Buffer {
  const mac = createHmac(keys.suite.hash, keys.integrityKey).update(authenticated).digest();
  return mac.subarray(0, keys.suite.authCodeBytes);
}

function encrypt(key: Buffer, payload: Buffer, iv: Buffer): Buffer {
  // Confidentiality pad 01 02 03 ... and its length byte fill the last block (IPMI 2.0 table 13-20).
  const padBytes = (CIPHER_BLOCK_BYTES - ((payload.length + 1) % CIPHER_BLOCK_BYTES)) % CIPHER_BLOCK_BYTES;
  const trailer = Buffer.alloc(padBytes + 1);
  for (let index = 0; index < padBytes; index++) trailer[index] = index + 1;
  trailer[padBytes] = padBytes;
  const cipher = createCipheriv("aes-128-cbc", key, iv).setAutoPadding(false);
  return Buffer.concat([iv, cipher.update(payload), cipher.update(trailer), cipher.final()]);
}

function decrypt(key: Buffer, body: Buffer): Buffer | undefined {
  if (body.length < 2 * CIPHER_BLOCK_BYTES || body.length % CIPHER_BLOCK_BYTES !== 0) return;
  const decipher = createDecipheriv("aes-128-cbc", key, body.subarray(0, CIPHER_BLOCK_BYTES)).setAutoPadding(false);
  const plain = Buffer.concat([decipher.update(body.subarray(CIPHER_BLOCK_BYTES)), decipher.final()]);
  const padBytes = plain.readUInt8(plain.length - 1);
  // The pad's content is not checked: the AuthCode has verified the packet, and some firmware fills it with zeros.
  if (padBytes + 1 > plain.length) return;
  return plain.subarray(0, plain.length - 1 - padBytes);
}
