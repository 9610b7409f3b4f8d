import { createPrivateKey, createPublicKey } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { CodedError } from "../src/base/error.ts";
import { signBytes } from "../src/box/signature.ts";

/** What signs footers and bundles. */
export interface SigningKey {
  readonly kind: "test" | "release";
  readonly sign: (bytes: Uint8Array) => Uint8Array;
  /** PEM, as an image carries it. */
  readonly publicPem: string;
  /** The same as signify reads it (signify(1) of OpenBSD), with which a secure image's initramfs checks its footer. */
  readonly publicSignify: string;
}

/** Where the TEST key is, which anybody can read: an image that is signed with it says so on every screen. */
const TEST_KEY = "appliance/keys/TEST-private.pem";

/** One key needs no telling apart; boot/init puts it before the footer's signature. */
const SIGNIFY_NUMBER = "rfslot01";

/** The key of a release from its file (ed25519, PEM, PKCS #8); without one, the TEST key. */
export function readSigningKey(repository: string, file: string | undefined): SigningKey {
  const testPem = readFileSync(`${repository}/${TEST_KEY}`, "utf8");
  if (file !== undefined && !existsSync(file)) throw new CodedError("key", `Cannot sign: there is no file "${file}"`);
  const pem = file === undefined ? testPem : readFileSync(file, "utf8");
  const publicPem = publicPemOf(pem, file ?? TEST_KEY);
  return {
    // Under another name it is no less public.
    kind: publicPem === publicPemOf(testPem, TEST_KEY) ? "test" : "release",
    sign: (bytes) => signBytes(pem, bytes),
    publicPem,
    publicSignify: signifyOf(publicPem),
  };
}

/** A line for people; then in base64 the algorithm, the number that keys and signatures are told apart by, and the key. */
function signifyOf(publicPem: string): string {
  const { x = "" } = createPublicKey(publicPem).export({ format: "jwk" });
  const key = Buffer.concat([Buffer.from(`Ed${SIGNIFY_NUMBER}`), Buffer.from(x, "base64url")]);
  return `untrusted comment: ringfence\n${key.toString("base64")}\n`;
}

function publicPemOf(pem: string, name: string): string {
  try {
    const key = createPrivateKey(pem);
    if (key.asymmetricKeyType !== "ed25519")
      throw new CodedError("key", `it is of the type ${key.asymmetricKeyType}, not ed25519`);
    return String(createPublicKey(key).export({ type: "spki", format: "pem" }));
  } catch (error) {
    throw new CodedError("key", `Cannot sign with "${name}"`, error);
  }
}
