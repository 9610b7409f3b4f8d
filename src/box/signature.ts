import { createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { CodedError } from "../base/error.ts";

/** Length of an ed25519 signature, bytes (RFC 8032 §5.1.6). */
export const SIGNATURE_BYTES = 64;

/** Whether the signature is one of exactly these bytes, by the key of the running image. */
export type Verify = (bytes: Uint8Array, signature: Uint8Array) => boolean;

/** `pem`: the public key (SPKI). Throws `update-key` when it is no ed25519 key. */
export function openVerifier(pem: string): Verify {
  let key: ReturnType<typeof createPublicKey>;
  try {
    key = createPublicKey(pem);
  } catch (error) {
    throw new CodedError("update-key", "Cannot read the public key of updates", error);
  }
  if (key.asymmetricKeyType !== "ed25519")
    throw new CodedError("update-key", `Cannot verify updates: the key is ${key.asymmetricKeyType}, not ed25519`);
  return (bytes, signature) => signature.length === SIGNATURE_BYTES && verify(null, bytes, key, signature);
}

/** `pem`: the private key (PKCS 8). For whoever builds images. */
export function signBytes(pem: string, bytes: Uint8Array): Uint8Array {
  return new Uint8Array(sign(null, bytes, createPrivateKey(pem)));
}
