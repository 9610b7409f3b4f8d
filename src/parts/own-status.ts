import { createRpc } from "../cli/client/rpc.ts";
import { type BoxStatus, readAnswer } from "../cli/ringfence/answers.ts";
import { ownEndpoint } from "./console-ports.ts";
import { readCredentials } from "./one-auth.ts";

/** A main that takes longer is as good as silent to a person who waits for a screen, ms. */
const ANSWER_WITHIN_MS = 1500;

/** One question to this box's own front-end, by root's credentials; undefined: there is no answer, or none of use. */
export async function askThisBox<T extends object>(
  method: string,
  part: keyof T & string,
  endpoint: string = ownEndpoint(),
): Promise<T | undefined> {
  try {
    const session = readCredentials();
    if (session === undefined) return undefined;
    const rpc = createRpc({ endpoint: () => endpoint, session: () => session });
    const text = await rpc.probe(endpoint, ANSWER_WITHIN_MS, method);
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
