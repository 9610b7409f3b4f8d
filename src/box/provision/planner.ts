/**
 * What to take over from a USB stick or the ESP: pure. Everything is looked at before anything is replaced: a mistake in
 * one file refuses all of them, with file and line, and the box stays as it is.
 */
import { readConfig } from "../../config/config.ts";

/** The files of the folder `ringfence`, by their names there. */
export const PROVISIONED = ["oned.conf", "box.conf", "join-token", "authorized_keys", "one_auth"] as const;

export type ProvisionedFile = (typeof PROVISIONED)[number];

/** Files that must not be left behind on what is pulled out and carried around. */
export const SECRETS: ReadonlySet<ProvisionedFile> = new Set(["join-token", "one_auth"]);

/** A configuration is a few KiB; nobody's stick fills the data partition. */
export const FILE_BYTES_MAX = 256 * 1024;

export type Texts = Readonly<Partial<Record<ProvisionedFile, string>>>;

export interface ProvisionFacts {
  /** What the folder has; undefined for what is too large, or no text. */
  readonly found: Readonly<Partial<Record<ProvisionedFile, string | undefined>>>;
  /** What the box has now. */
  readonly kept: Texts;
  /** This box belongs to a cluster. */
  readonly isMember: boolean;
}

export interface ProvisionPlan {
  /** Written in this order; the token last, because the box begins to join when it is there. */
  readonly writes: readonly { readonly file: ProvisionedFile; readonly text: string }[];
  /** Overwritten and removed on the medium, once all writes are durable. */
  readonly wipes: readonly ProvisionedFile[];
  /** One line each, for the console and the record. */
  readonly said: readonly string[];
  /** Not empty: nothing is written and nothing is wiped. */
  readonly problems: readonly string[];
}

const SSH_KEY = /^[a-z0-9@.-]+ [A-Za-z0-9+/]{40,}={0,3}( .*)?$/;

export function planProvision(source: string, { found, kept, isMember }: ProvisionFacts): ProvisionPlan {
  const names = PROVISIONED.filter((file) => file in found);
  const problems = names.flatMap((file) => problemsOf(file, found[file], source));
  const oned = found["oned.conf"] ?? kept["oned.conf"] ?? "";
  const box = found["box.conf"] ?? kept["box.conf"];
  // Together, as the box will read them: an old box.conf may not fit a new oned.conf.
  if (problems.length === 0 && ("oned.conf" in found || "box.conf" in found)) {
    const nameOf = (file: ProvisionedFile): string => (file in found ? `${source}/${file}` : `/etc/one/${file}`);
    const result = readConfig(
      { name: nameOf("oned.conf"), text: oned },
      box === undefined ? undefined : { name: nameOf("box.conf"), text: box },
    );
    if ("problems" in result) problems.push(...result.problems.map((one) => `${one.file}:${one.line}: ${one.message}`));
  }
  const said: string[] = [];
  if (problems.length > 0) return { writes: [], wipes: [], said, problems };

  const writes: { file: ProvisionedFile; text: string }[] = [];
  for (const file of names) {
    const text = found[file] ?? "";
    if (file === "join-token" || file === "one_auth") {
      // A member has a password and needs no token: a stick that was forgotten in it changes nothing.
      if (isMember) said.push(`${file} is not taken: this box belongs to a cluster already`);
      else {
        writes.push({ file, text: `${text.trim()}\n` });
        said.push(`${file} is taken over`);
      }
    } else if (file === "authorized_keys") {
      const merged = withKeys(kept.authorized_keys ?? "", text);
      if (merged === kept.authorized_keys) continue;
      writes.push({ file, text: merged });
      said.push("ssh keys are taken over");
    } else if (text !== kept[file]) {
      writes.push({ file, text });
      said.push(`${file} is taken over`);
    }
  }
  writes.sort((a, b) => Number(a.file === "join-token") - Number(b.file === "join-token"));
  return { writes, wipes: names.filter((file) => SECRETS.has(file)), said, problems };
}

function problemsOf(file: ProvisionedFile, text: string | undefined, source: string): string[] {
  const at = `${source}/${file}`;
  if (text === undefined) return [`${at}: it is larger than ${FILE_BYTES_MAX / 1024} KiB, or no text`];
  switch (file) {
    case "oned.conf":
    case "box.conf":
      return [];
    case "join-token":
      return /^[\x21-\x7e]{16,8192}$/.test(text.trim()) ? [] : [`${at}:1: this is no join token`];
    case "one_auth":
      return /^[^\s:]+:[^\s]+$/.test(text.trim()) ? [] : [`${at}:1: this is not name:password`];
    case "authorized_keys":
      return text.split(/\r?\n/).flatMap((line, index) => {
        const key = line.trim();
        // Options before a key would decide what it may do; on a box keys are root's, and plain.
        return key === "" || key.startsWith("#") || SSH_KEY.test(key)
          ? []
          : [`${at}:${index + 1}: "${key.slice(0, 30)}" is no ssh key`];
      });
  }
}

/** Keys are added, never taken away: the console is what takes one away. */
function withKeys(kept: string, text: string): string {
  const known = new Set(kept.split("\n").map((line) => line.trim()));
  const fresh = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#") && !known.has(line));
  if (fresh.length === 0) return kept;
  return `${kept === "" || kept.endsWith("\n") ? kept : `${kept}\n`}${[...new Set(fresh)].join("\n")}\n`;
}
