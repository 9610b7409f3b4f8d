import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { Change, Statement } from "../base/entry.ts";
import { CodedError } from "../base/error.ts";
import type { State } from "../store/state/types.ts";
import { paths } from "./paths.ts";
import { runCommand } from "./run-command.ts";
import type { Seal } from "./seal.ts";

/** Part of schema level 1: the cluster's ssh key (private half sealed) and the pinned keys of the hosts. */
export const secretsSchema: readonly Statement[] = [
  { sql: "CREATE TABLE ssh_key(id INTEGER PRIMARY KEY,public TEXT NOT NULL,sealed TEXT NOT NULL) STRICT", values: [] },
  { sql: "CREATE TABLE host_key(host_id INTEGER PRIMARY KEY,fingerprint TEXT NOT NULL) STRICT", values: [] },
];

/** Longer than an emulated box needs by far. */
const KEYGEN_TIMEOUT_MS = 60_000;

/**
 * The statement that stores a fresh ed25519 key; part of the founding, so that it exists once for a cluster's life. Rejects
 * with `ssh-key` when `ssh-keygen` makes none: ssh2 could, too, but to load it stands main still for longer than a hang is
 * allowed on a slow box, in the moment in which it begins to lead.
 */
export async function newSshKey(seal: Seal): Promise<Statement> {
  const directory = mkdtempSync(`${paths.run}/ssh-key-`);
  try {
    const file = `${directory}/key`;
    const { code, output } = await runCommand(
      "/usr/bin/ssh-keygen",
      ["-q", "-t", "ed25519", "-N", "", "-C", "ringfence", "-f", file],
      KEYGEN_TIMEOUT_MS,
    );
    if (code !== 0) throw new CodedError("ssh-key", `ssh-keygen makes no key (exit code ${code}): ${output}`);
    return {
      sql: "INSERT INTO ssh_key(id,public,sealed) VALUES(0,?,?)",
      values: [readFileSync(`${file}.pub`, "utf8").trim(), seal.seal(readFileSync(file, "utf8"))],
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
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
