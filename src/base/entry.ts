/**
 * What the replicated log carries: guards and statements that every box runs in one transaction.
 * An encoded entry is at most {@link ENTRY_SIZE_BYTES_MAX} bytes.
 */
export const ENTRY_SIZE_BYTES_MAX = 1024 * 1024;

/** A bound value. Integers must be safe integers; larger ones and bytes travel as text. */
export type SqlValue = string | number | null;

/** One SQL text with its bound values (`?`). No function that differs between boxes (time, random). */
export interface Statement {
  readonly sql: string;
  readonly values: readonly SqlValue[];
}

/** A query that must give exactly `expect` (rows of columns) when the entry is applied, else the entry is rejected. */
export interface Guard extends Statement {
  readonly expect: readonly (readonly SqlValue[])[];
  /** What a person is told when the guard fails. */
  readonly why: string;
}

/** What a decision wants changed, before it is an entry. Tags (`host:3`, `fence:3`, `vm:12`) wake who lives from that row. */
export interface Change {
  readonly guards: readonly Guard[];
  readonly statements: readonly Statement[];
  readonly tags: readonly string[];
}

/** One record of the replicated log's SQL kind. */
export interface Entry extends Change {
  readonly version: 1;
  /** `client:sequence`; the session table answers a repeated id with its first outcome. */
  readonly requestId: string;
  /** What the entry is for, for people and traces: `one.template.allocate`, `fence.intent`. */
  readonly kind: string;
  /** Wall time in ms, fixed by the leader; for people only. */
  readonly at: number;
  /**
   * Raises the cluster's feature level to this, the one in force plus 1: the statements are its migration, and what
   * follows in the log may use it. A box whose build does not know the level stops before it applies the entry.
   */
  readonly level?: number;
}

/** What became of an entry. `unknown`: leadership was lost under way, the next leader's session table settles it. */
export type Outcome =
  /** `rows[i]` are the rows that statement i returned (RETURNING), `changes[i]` its change count. */
  | {
      readonly kind: "done";
      readonly index: number;
      readonly rows: readonly (readonly (readonly SqlValue[])[])[];
      readonly changes: readonly number[];
    }
  /** Nothing happened: a guard (`guard`) or a constraint or type error (`constraint`) said no, the same on every box. */
  | { readonly kind: "rejected"; readonly index: number; readonly by: "guard" | "constraint"; readonly why: string }
  | { readonly kind: "unknown"; readonly why: string }
  /** The request id is below the session's window: its outcome is no longer known and it was not executed. */
  | { readonly kind: "expired" };

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** UTF-8 JSON. */
export function encodeEntry(entry: Entry): Uint8Array {
  return encoder.encode(JSON.stringify(entry));
}

/** Inverse of {@link encodeEntry}. Throws on bytes that no box could have written. */
export function decodeEntry(bytes: Uint8Array): Entry {
  const entry = JSON.parse(decoder.decode(bytes)) as Entry;
  if (entry.version !== 1) throw new Error(`Cannot decode entry: version ${String(entry.version)} is not 1`);
  return entry;
}
