import { existsSync, readFileSync } from "node:fs";
import type { Membership } from "../raft/types.ts";
import { writeFileDurably } from "../store/durable-file.ts";

/** Where a member listens for peers and how it is known; enough to ask it for something. */
export interface Contact {
  /** `host:port` */
  readonly address: string;
  readonly certificateHash: string;
}

const FILE = "contacts.json";

/**
 * Keeps whom this box knows, beside the log that has the membership itself: a box whose log is damaged asks them to take
 * it in again. It decides nothing, so it may be a change behind.
 */
export function saveContacts(data: string, membership: Membership): void {
  const contacts: readonly Contact[] = membership.members.map((member) => ({
    address: member.peerAddress,
    certificateHash: member.certificateHash,
  }));
  const text = JSON.stringify(contacts);
  const path = `${data}/${FILE}`;
  if (existsSync(path) && readFileSync(path, "utf8") === text) return;
  writeFileDurably(path, text);
}

/** Empty when none were kept. */
export function readContacts(data: string): readonly Contact[] {
  const path = `${data}/${FILE}`;
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Contact[]) : [];
}
