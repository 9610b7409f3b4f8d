import { createHash, randomBytes } from "node:crypto";
import { CodedError } from "../base/error.ts";
import { joinTokenSchema } from "../cluster/join-token.ts";
import { fenceSchema } from "../fence/record.ts";
import { consoleRecordSchema } from "../one/console-record.ts";
import { foundingEntries } from "../one/founding.ts";
import { generationSchema } from "../one/generation.ts";
import { vmhaSchema } from "../vmha/record.ts";
import type { Cluster } from "./cluster.ts";
import { readCredentials, writeCredentials } from "./one-auth.ts";
import { paths } from "./paths.ts";
import type { Seal } from "./seal.ts";
import { newSshKey, secretsSchema } from "./secrets.ts";
import { timingsSchema } from "./timings.ts";

/**
 * Gives a new cluster its schema and first objects; does nothing when it has them. Runs on the ready leader; the request
 * ids are fixed, so that a founder that crashes between the entries goes on where it stopped.
 */
export async function found(cluster: Cluster, seal: Seal, log: (text: string) => void): Promise<void> {
  const rows = await cluster.state.read("SELECT count(*) FROM sqlite_master WHERE type='table' AND name='ssh_key'");
  const isFounded = rows[0]?.[0] === 1 && (await cluster.state.read("SELECT count(*) FROM zone"))[0]?.[0] === 1;
  if (isFounded) return;
  const password = oneadminPassword();
  const entries = foundingEntries({
    oneadminPasswordHash: sha256(password.text),
    serveradminPasswordHash: sha256(randomBytes(24).toString("hex")),
    now: Date.now(),
    schema: [
      ...fenceSchema,
      ...vmhaSchema,
      ...joinTokenSchema,
      ...consoleRecordSchema,
      ...generationSchema,
      ...secretsSchema,
      ...timingsSchema,
      await newSshKey(seal),
    ],
  });
  for (const entry of entries) {
    const outcome = await cluster.proposeEntry(entry);
    if (outcome.kind !== "done")
      throw new CodedError("founding", `Cannot found the cluster: entry ${entry.kind} is ${JSON.stringify(outcome)}`);
  }
  log(
    password.isNew
      ? `oneadmin's password was made and is in ${paths.oneAuth}`
      : `oneadmin's password is the one in ${paths.oneAuth}`,
  );
}

/** The password that a provisioner left, or a new random one, written where root's commands find it (0600). */
function oneadminPassword(): { readonly text: string; readonly isNew: boolean } {
  const line = readCredentials();
  if (line !== undefined) {
    const colon = line.indexOf(":");
    if (!line.startsWith("oneadmin:") || colon === line.length - 1)
      throw new CodedError("founding", `Cannot read ${paths.oneAuth}: expected one line "oneadmin:PASSWORD"`);
    return { text: line.slice(colon + 1), isNew: false };
  }
  const text = randomBytes(16).toString("base64url");
  writeCredentials(`oneadmin:${text}`);
  return { text, isNew: true };
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
