import { existsSync, readFileSync, rmSync } from "node:fs";
import type { Change, Outcome } from "../base/entry.ts";
import { CodedError } from "../base/error.ts";
import { type ClusterId, type Identity, saveIdentity } from "../cluster/identity.ts";
import { endAllTokens } from "../cluster/join-token.ts";
import { disarm } from "../fence/record.ts";
import { type GenerationFact, insertGeneration } from "../one/generation.ts";
import { writeFileDurably } from "../store/durable-file.ts";

/**
 * A new generation of a cluster with one box in it: what force-recover and a restored backup begin. It stands in
 * recovery.json until it is on the replicated record; each start goes on where the one before was broken off.
 *
 * 1. {@link beginGeneration}: recovery.json is durable. The decision is made.
 * 2. {@link enterGeneration} at the next start: the identity gets the generation. From here on members of the former one
 *    neither hear this box nor are heard. Only then
 * 3. the log's membership becomes this box alone (core-thread.ts, `isAlone`), which makes it elect itself. The other way
 *    round a crash in between would leave a second leader in the *former* generation.
 * 4. {@link markInForce}: a later start must not throw out who has joined since.
 * 5. {@link recordGeneration} by the leader, then recovery.json goes.
 */
export interface BegunGeneration {
  readonly cluster: ClusterId;
  readonly fact: GenerationFact;
  readonly isInForce?: boolean;
}

const path = (data: string): string => `${data}/recovery.json`;

/** Decides that this box goes on alone; its main must end before it does anything else. `former`: its cluster until now. */
export function beginGeneration(
  data: string,
  former: ClusterId,
  fact: Omit<GenerationFact, "generation">,
): BegunGeneration {
  const cluster = { lineage: former.lineage, generation: former.generation + 1 };
  const begun = { cluster, fact: { generation: cluster.generation, ...fact } };
  write(data, begun);
  return begun;
}

/** Undefined when none is being begun. */
export function readGeneration(data: string): BegunGeneration | undefined {
  if (!existsSync(path(data))) return undefined;
  return JSON.parse(readFileSync(path(data), "utf8")) as BegunGeneration;
}

/** The identity that the box has from now on. */
export function enterGeneration(data: string, identity: Identity): Identity {
  const begun = readGeneration(data);
  if (begun === undefined || identity.cluster?.generation === begun.cluster.generation) return identity;
  const entered = { ...identity, cluster: begun.cluster };
  saveIdentity(data, entered);
  return entered;
}

/** The log names this box alone. */
export function markInForce(data: string): void {
  const begun = readGeneration(data);
  if (begun !== undefined && begun.isInForce !== true) write(data, { ...begun, isInForce: true });
}

/**
 * The ready leader's part: the fact goes on the record, tokens of the former generation end, and fencing is disarmed: the
 * state may lack what was done last, and a person looks before anything is powered off by it.
 */
export async function recordGeneration(
  data: string,
  propose: (kind: string, change: Change) => Promise<Outcome>,
): Promise<GenerationFact | undefined> {
  const begun = readGeneration(data);
  if (begun === undefined) return undefined;
  const { fact } = begun;
  const why = `${fact.reason}: generation ${fact.generation} may lack the last writes`;
  const outcome = await propose("generation", {
    guards: [],
    statements: [insertGeneration(fact), disarm(fact.by, why), endAllTokens],
    tags: ["zone:0", "generation", "fence"],
  });
  if (outcome.kind !== "done")
    throw new CodedError("generation", `Cannot record generation ${fact.generation}: it is ${JSON.stringify(outcome)}`);
  rmSync(path(data), { force: true });
  return fact;
}

function write(data: string, begun: BegunGeneration): void {
  writeFileDurably(path(data), `${JSON.stringify(begun, null, 2)}\n`);
}
