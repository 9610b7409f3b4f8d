import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { CodedError } from "../base/error.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PREFIX = "sealed:";

/** Keeps secrets out of the state's plain text: AES-256-GCM under cluster.key, which every member of the cluster has. */
export interface Seal {
  /** `sealed:` and base64; another text each time. */
  seal(text: string): string;
  /** Inverse of {@link Seal.seal}. Throws `unseal` for a text that another key, or nobody, sealed. */
  unseal(sealed: string): string;
}

/** `key` is 32 bytes. */
export function createSeal(key: Uint8Array): Seal {
  return {
    seal: (text) => {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv("aes-256-gcm", key, nonce);
      const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
      return PREFIX + Buffer.concat([nonce, body, cipher.getAuthTag()]).toString("base64");
    },
    unseal: (sealed) => {
      try {
        if (!sealed.startsWith(PREFIX)) throw new Error(`it does not start with "${PREFIX}"`);
        const bytes = Buffer.from(sealed.slice(PREFIX.length), "base64");
        const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, NONCE_BYTES));
        decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
        const body = bytes.subarray(NONCE_BYTES, bytes.length - TAG_BYTES);
        return decipher.update(body, undefined, "utf8") + decipher.final("utf8");
      } catch (error) {
        throw new CodedError("unseal", "Cannot read a sealed secret: it was sealed with another cluster.key", error);
      }
    },
  };
}
