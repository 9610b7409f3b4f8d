import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRpc, type Rpc } from "../cli/client/rpc.ts";
import { CommandFailure } from "../cli/failure.ts";
import { type BoxStatus, readAnswer } from "../cli/ringfence/answers.ts";
import { writeFileDurably } from "../store/durable-file.ts";
import { ownEndpoint } from "./console-ports.ts";
import { readCredentials } from "./one-auth.ts";
import { paths } from "./paths.ts";

/** A main that takes longer is as good as silent to a person who waits for a screen, ms. */
const ANSWER_WITHIN_MS = 1500;

/**
 * A session of oneadmin that this box's front-end takes for this run of main, in a file of root's: whoever changes
 * oneadmin's password must not make a box blind to itself.
 */
export function createOwnSession(): string {
  const session = `oneadmin:${randomBytes(24).toString("base64url")}`;
  mkdirSync(paths.run, { recursive: true });
  writeFileDurably(paths.ownSession, session);
  return session;
}

/** This box's own front-end, by its own session; undefined: no main has run since the boot. */
export function ownRpc(endpoint: string = ownEndpoint()): Rpc | undefined {
  if (!existsSync(paths.ownSession)) return undefined;
  const session = readFileSync(paths.ownSession, "utf8");
  return createRpc({ endpoint: () => endpoint, session: () => session });
}

/** One question to this box's own front-end, with its own session; undefined: there is no answer, or none of use. */
export async function askThisBox<T extends object>(
  method: string,
  part: keyof T & string,
  endpoint: string = ownEndpoint(),
): Promise<T | undefined> {
  try {
    const text = await ownRpc(endpoint)?.probe(endpoint, ANSWER_WITHIN_MS, method);
    return text === undefined ? undefined : readAnswer<T>(text, part);
  } catch {
    // Whatever it answered, it was no view of the cluster.
    return undefined;
  }
}

/** What this box says of itself; undefined: it says nothing. */
export function ownStatus(endpoint?: string): Promise<BoxStatus | undefined> {
  return askThisBox<BoxStatus>("ringfence.status", "cluster", endpoint);
}

/** Whether this box's front-end refuses what root's commands here say they are (one_auth). Never throws. */
export async function refusesCredentials(endpoint: string): Promise<boolean> {
  try {
    const session = readCredentials();
    if (session === undefined) return false;
    const patience = { retryForMs: 0, attemptMs: ANSWER_WITHIN_MS };
    await createRpc({ endpoint: () => endpoint, session: () => session, ...patience }).read("one.zone.raftstatus");
    return false;
  } catch (error) {
    return error instanceof CommandFailure && /couldn't be authenticated/.test(error.message);
  }
}
