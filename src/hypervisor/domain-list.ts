import { type DomainIdentity, decodeTitle } from "./domain-identity.ts";

/** libvirt's states of a domain, in its words. `other` is a word that this version does not know: treated as running. */
export type DomainState =
  | "running"
  | "idle"
  | "paused"
  | "in shutdown"
  | "shut off"
  | "crashed"
  | "pmsuspended"
  | "other";

/** One domain of a host's list. */
export interface ListedDomain {
  readonly name: string;
  readonly state: DomainState;
  /** Undefined: not ours; it is counted and never touched. */
  readonly identity: DomainIdentity | undefined;
}

const STATES: readonly DomainState[] = [
  "running",
  "idle",
  "paused",
  "in shutdown",
  "shut off",
  "crashed",
  "pmsuspended",
];

/**
 * One row of `virsh -q list --all --title`: id, name, state, title in columns that three spaces keep apart.
 * Undefined for a blank row; a row that cannot be read is a foreign domain named by its whole text, not a lost one.
 */
export function parseDomainRow(row: string): ListedDomain | undefined {
  const text = row.trim();
  if (text === "") return undefined;
  const columns = text.split(/\s{2,}/);
  const [, name, word, title] = columns;
  if (name === undefined || word === undefined) return { name: text, state: "other", identity: undefined };
  const state = STATES.find((known) => known === word) ?? "other";
  return { name, state, identity: title === undefined ? undefined : decodeTitle(title) };
}

/** All rows of `virsh -q list --all --title`. */
export function parseDomainList(text: string): ListedDomain[] {
  return text
    .split("\n")
    .map(parseDomainRow)
    .filter((domain) => domain !== undefined);
}

/** Whether the domain has a guest in memory: everything but a defined, stopped one. When in doubt, yes. */
export function isActive(domain: ListedDomain): boolean {
  return domain.state !== "shut off";
}
