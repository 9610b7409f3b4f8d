import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { CodedError } from "../src/base/error.ts";

/** What signs footers and bundles. */
export interface SigningKey {
  readonly kind: "test" | "release";
  readonly privateKey: KeyObject;
  /** PEM, as an image carries it. */
  readonly publicPem: string;
}

/**
 * The key of a release from its file (ed25519, PEM, PKCS #8), or the TEST key that anybody can read in this repository. An
 * image that is made with the latter says so on every screen.
 */
export function readSigningKey(repository: string, file: string | undefined): SigningKey {
  const path = file ?? `${repository}/appliance/keys/TEST-private.pem`;
  if (!existsSync(path)) throw new CodedError("key", `Cannot sign: there is no file "${path}"`);
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(readFileSync(path));
  } catch (error) {
    throw new CodedError("key", `Cannot sign with "${path}": it is no private key in PEM`, error);
  }
  if (privateKey.asymmetricKeyType !== "ed25519")
    throw new CodedError("key", `Cannot sign with "${path}": it is ${privateKey.asymmetricKeyType}, not ed25519`);
  const publicPem = String(createPublicKey(privateKey).export({ type: "spki", format: "pem" }));
  const testPem = createPublicKey(readFileSync(`${repository}/appliance/keys/TEST-private.pem`));
  const isTest = createPublicKey(privateKey).equals(testPem);
  return { kind: isTest ? "test" : "release", privateKey, publicPem };
}
