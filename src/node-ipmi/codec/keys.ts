import { createHmac } from "node:crypto";
import type { Suite } from "./suites.ts";

/** Passwords and K_g are at most 20 bytes and are padded with zeros to that length (IPMI 2.0 §13.31). */
export const SECRET_BYTES_MAX = 20;
/** User names are at most 16 bytes (IPMI 2.0 table 13-11). */
export const USER_BYTES_MAX = 16;
/** K1 and K2 are made from 20 bytes of 01 or 02, for SHA-256 too: that is what interoperates. */
const KEY_CONSTANT_BYTES = 20;
const CIPHER_KEY_BYTES = 16;

/** What both sides know of a session while it is being set up. `user` is as it was on the wire in RAKP 1. */
export interface Exchange {
  readonly consoleId: number;
  readonly bmcId: number;
  readonly consoleRandom: Buffer;
  readonly bmcRandom: Buffer;
  readonly guid: Buffer;
  /** The whole role byte of RAKP 1, with the name-only bit. */
  readonly role: number;
  readonly user: Buffer;
}

/** The keys of a session that is open. */
export interface SessionKeys {
  readonly suite: Suite;
  readonly integrityKey: Buffer;
  readonly cipherKey: Buffer;
}

/** A password or K_g as the MACs want it. */
export function padSecret(secret: Uint8Array): Buffer {
  const padded = Buffer.alloc(SECRET_BYTES_MAX);
  padded.set(secret.subarray(0, SECRET_BYTES_MAX));
  return padded;
}

/** The key exchange code of RAKP 2: the BMC's proof that it knows the password (IPMI 2.0 §13.31). */
export function rakp2Code(suite: Suite, userKey: Buffer, exchange: Exchange): Buffer {
  return mac(suite, userKey, [
    littleEndian(exchange.consoleId),
    littleEndian(exchange.bmcId),
    exchange.consoleRandom,
    exchange.bmcRandom,
    exchange.guid,
    roleAndUser(exchange),
  ]);
}

/** The key exchange code of RAKP 3: the console's proof that it knows the password. */
export function rakp3Code(suite: Suite, userKey: Buffer, exchange: Exchange): Buffer {
  return mac(suite, userKey, [exchange.bmcRandom, littleEndian(exchange.consoleId), roleAndUser(exchange)]);
}

/** The session integrity key. `bmcKey` is K_g, or the padded password where the BMC has none. */
export function sessionIntegrityKey(suite: Suite, bmcKey: Buffer, exchange: Exchange): Buffer {
  return mac(suite, bmcKey, [exchange.consoleRandom, exchange.bmcRandom, roleAndUser(exchange)]);
}

/** The integrity check value of RAKP 4, not yet truncated to `suite.checkValueBytes`. */
export function rakp4CheckValue(suite: Suite, integrityKey: Buffer, exchange: Exchange): Buffer {
  return mac(suite, integrityKey, [exchange.consoleRandom, littleEndian(exchange.bmcId), exchange.guid]);
}

/** K1 for the AuthCodes and the first 16 bytes of K2 for AES (IPMI 2.0 §13.32). */
export function sessionKeys(suite: Suite, sik: Buffer): SessionKeys {
  return {
    suite,
    integrityKey: mac(suite, sik, [Buffer.alloc(KEY_CONSTANT_BYTES, 0x01)]),
    cipherKey: mac(suite, sik, [Buffer.alloc(KEY_CONSTANT_BYTES, 0x02)]).subarray(0, CIPHER_KEY_BYTES),
  };
}

function mac(suite: Suite, key: Buffer, parts: readonly Buffer[]): Buffer {
  const hmac = createHmac(suite.hash, key);
  for (const part of parts) hmac.update(part);
  return hmac.digest();
}

function roleAndUser(exchange: Exchange): Buffer {
  return Buffer.concat([Buffer.from([exchange.role, exchange.user.length]), exchange.user]);
}

function littleEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
