import type { Statement } from "../base/entry.ts";
import { statement } from "./change.ts";
import { type Method, plan, type WriteCommand } from "./method.ts";
import type { Query } from "./query.ts";
import { CODE, refusal } from "./refusal.ts";

/** A generation that a person began, as the state keeps it for ever. */
export interface GenerationFact {
  readonly generation: number;
  readonly reason: "force-recover" | "restore";
  /** Who took it upon himself. */
  readonly by: string;
  /** Wall ms, for people. */
  readonly at: number;
  /** The box that went on alone. */
  readonly serverId: number;
  readonly name: string;
  /** What it knew to be committed, and what it had: what others acknowledged beyond `lastIndex` is lost. */
  readonly commit: number;
  readonly lastIndex: number;
  /** The servers that were left behind. */
  readonly former: readonly { readonly serverId: number; readonly name: string; readonly peerAddress: string }[];
}

/** Part of schema level 1. `acknowledged_by` is "" until a person has read of it. */
export const generationSchema: readonly Statement[] = [
  statement(
    "CREATE TABLE generation(generation INTEGER PRIMARY KEY, fact TEXT NOT NULL, acknowledged_by TEXT NOT NULL DEFAULT '', acknowledged_at INTEGER NOT NULL DEFAULT 0) STRICT",
  ),
];

/** Puts the beginning of a generation on the record, once. */
export function insertGeneration(fact: GenerationFact): Statement {
  return statement(
    "INSERT OR IGNORE INTO generation(generation,fact) VALUES(?,?)",
    fact.generation,
    JSON.stringify(fact),
  );
}

/** Generations that nobody has acknowledged yet, oldest first. */
export function unacknowledgedGenerations(): Query<{ readonly fact: string }> {
  return { sql: "SELECT fact FROM generation WHERE acknowledged_by='' ORDER BY generation", values: [] };
}

/** `ringfence.recovery.acknowledge()` → how many: a person knows what was possibly lost. The record itself stays. */
const acknowledge: WriteCommand = {
  kind: "write",
  result: (_args, returned) => returned[0]?.length ?? 0,
  reads: () => [],
  plan: (_rows, _args, caller, context) => {
    if (!caller.isAdmin) return refusal(CODE.authorization, "Only members of group oneadmin may do this.");
    return plan({
      guards: [],
      statements: [
        statement(
          "UPDATE generation SET acknowledged_by=?,acknowledged_at=? WHERE acknowledged_by='' RETURNING generation",
          caller.name,
          context.now,
        ),
      ],
      tags: ["generation"],
    });
  },
};

export const GENERATION_METHODS: readonly Method[] = [
  { name: "ringfence.recovery.acknowledge", parameters: [], command: acknowledge, whileDisabled: true },
];
