import type { Change, Statement } from "../base/entry.ts";
import type { State } from "../store/state/types.ts";
import type { Seal } from "./seal.ts";

/** Part of schema level 1: the cluster's ssh key (private half sealed) and the pinned keys of the hosts. */
export const secretsSchema: readonly Statement[] = [
  { sql: "CREATE TABLE ssh_key(id INTEGER PRIMARY KEY,public TEXT NOT NULL,sealed TEXT NOT NULL) STRICT", values: [] },
  { sql: "CREATE TABLE host_key(host_id INTEGER PRIMARY KEY,fingerprint TEXT NOT NULL) STRICT", values: [] },
];

/** The statement that stores a fresh ed25519 key; part of the founding, so that it exists once for a cluster's life. */
export async function newSshKey(seal: Seal): Promise<Statement> {
  // Loaded by who needs it: it is a third of main.
  const { default: ssh2 } = await import("ssh2");
  const pair = ssh2.utils.generateKeyPairSync("ed25519", { comment: "ringfence" });
  return { sql: "INSERT INTO ssh_key(id,public,sealed) VALUES(0,?,?)", values: [pair.public, seal.seal(pair.private)] };
}

/** Both halves of the cluster's ssh key; undefined before the founding entries are applied. */
export async function readSshKey(
  state: State,
  seal: Seal,
): Promise<{ readonly publicKey: string; readonly privateKey: string } | undefined> {
  const [row] = await state.read("SELECT public,sealed FROM ssh_key WHERE id=0");
  return row === undefined ? undefined : { publicKey: String(row[0]), privateKey: seal.unseal(String(row[1])) };
}

/** The pinned fingerprint of a host, if any. */
export async function readHostKey(state: State, hostId: number): Promise<string | undefined> {
  const [row] = await state.read("SELECT fingerprint FROM host_key WHERE host_id=?", [hostId]);
  return row === undefined ? undefined : String(row[0]);
}

/** Pins a host's key if none is pinned: the first one that the leader meets after `onehost create`. */
export function pinHostKey(hostId: number, fingerprint: string): Change {
  return {
    guards: [],
    statements: [
      { sql: "INSERT OR IGNORE INTO host_key(host_id,fingerprint) VALUES(?,?)", values: [hostId, fingerprint] },
    ],
    tags: [`host:${hostId}`],
  };
}

/** The cluster's private ssh key, as soon as this box's state has it: at once, or after founding or catching up. */
export async function waitForSshKey(state: State, seal: Seal): Promise<string> {
  for (;;) {
    const changed = new Promise<void>((resolve) => {
      const remove = state.onApplied(() => {
        remove();
        resolve();
      });
    });
    const tables = await state.read("SELECT count(*) FROM sqlite_master WHERE type='table' AND name='ssh_key'");
    const key = tables[0]?.[0] === 1 ? await readSshKey(state, seal) : undefined;
    if (key !== undefined) return key.privateKey;
    await changed;
  }
}
