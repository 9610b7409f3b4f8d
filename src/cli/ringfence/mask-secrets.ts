/** What stands for a secret, as in `oneuser show` and in FENCE sections. */
const HIDDEN = "***";

/** Sealed texts (parts/seal), and hashes of passwords, tokens and join secrets: 160 bits in hex and more. */
const SEALED = /\bsealed:[A-Za-z0-9+/=]+/g;
const HASH = /\b[0-9a-f]{40,}\b/gi;
/** `PASSWORD="x"`, `"TOKEN": "x"`, `PASSWORD=x`: a template's and JSON's forms. */
const NAMED =
  /\b(\w*(?:PASSWORD|PASSWD|SECRET|TOKEN|PRIVATE)\w*["']?\s*[=:]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;\])"']+)/gi;
const ELEMENT = /(<(\w*(?:PASSWORD|PASSWD|SECRET|TOKEN|PRIVATE)\w*)>).*?(<\/\2>)/gis;

/** A value of a statement as a person may see it: what could be a secret, or be guessed back to one, reads `***`. */
export function maskSecrets<T>(value: T): T | string {
  if (typeof value !== "string") return value;
  return value
    .replace(SEALED, HIDDEN)
    .replace(HASH, HIDDEN)

    .replace(ELEMENT, (_, open: string, _name: string, close: string) => `${open}${HIDDEN}${close}`)
    .replace(NAMED, (_, head: string) => `${head}"${HIDDEN}"`);
}
