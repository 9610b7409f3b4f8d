import { createHash, randomBytes } from "node:crypto";
import type { Change, Statement } from "../base/entry.ts";
import { CodedError } from "../base/error.ts";
import type { ClusterId } from "./identity.ts";

/** How long a token may be used, ms. */
export const JOIN_TOKEN_LIFE_MS = 60 * 60 * 1000;

/** What a new box needs to find its cluster and to be let in, once. */
export interface JoinToken {
  readonly cluster: ClusterId;
  readonly serverId: number;
  /** 32 hex digits; the cluster keeps only its hash. */
  readonly secret: string;
  /** Every member: where it listens for peers (`host:port`) and the hash of its certificate. */
  readonly members: readonly { readonly address: string; readonly certificateHash: string }[];
}

/** A fresh secret for a token. */
export function createSecret(): string {
  return randomBytes(16).toString("hex");
}

/** What the cluster stores of a token's secret. */
export function hashSecret(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

/** One word for a person to carry: `rf1.` and base64url. */
export function encodeJoinToken(token: JoinToken): string {
  return `rf1.${Buffer.from(JSON.stringify(token)).toString("base64url")}`;
}

/** Inverse of {@link encodeJoinToken}; white space around it is ignored. Throws `join-token-invalid`. */
export function decodeJoinToken(text: string): JoinToken {
  const word = text.trim();
  try {
    if (!word.startsWith("rf1.")) throw new Error('it does not start with "rf1."');
    const token = JSON.parse(Buffer.from(word.slice(4), "base64url").toString("utf8")) as JoinToken;
    const isComplete =
      typeof token.secret === "string" &&
      Number.isSafeInteger(token.serverId) &&
      typeof token.cluster?.lineage === "string" &&
      Array.isArray(token.members) &&
      token.members.length > 0;
    if (!isComplete) throw new Error("a field is missing; was it cut when it was copied?");
    return token;
  } catch (error) {
    throw new CodedError("join-token-invalid", "Cannot read join token", error);
  }
}

/**
 * Tokens that were given out, at most one a server: part of the founding schema. `expires_at` is wall time in ms;
 * `used_by` the raft id of the one box that a token has let in, or is letting in.
 */
export const joinTokenSchema: readonly Statement[] = [
  {
    sql: `CREATE TABLE join_token (
  server_id INTEGER PRIMARY KEY,
  secret_hash TEXT NOT NULL,
  expires_at INTEGER NOT NULL,
  used_by TEXT
)`,
    values: [],
  },
];

/** Stores a new token for a server; an older one for the same server ends. */
export function storeToken(serverId: number, secret: string, now: number): Change {
  return {
    guards: [],
    statements: [
      {
        sql: "INSERT OR REPLACE INTO join_token (server_id, secret_hash, expires_at) VALUES (?, ?, ?)",
        values: [serverId, hashSecret(secret), now + JOIN_TOKEN_LIFE_MS],
      },
    ],
    tags: [`token:${serverId}`],
  };
}

/** Ends all tokens: a new generation lets nobody in by what the former one gave out. */
export const endAllTokens: Statement = { sql: "DELETE FROM join_token", values: [] };

/** The query that finds a token by its secret: rows of server id, expiry, and the raft id that used it or null. */
export function findToken(secret: string): Statement {
  return {
    sql: "SELECT server_id, expires_at, used_by FROM join_token WHERE secret_hash = ?",
    values: [hashSecret(secret)],
  };
}

/**
 * Binds a token to the one box that it lets in, before anything else is done for that box: whoever leads next, and
 * however often the box has to ask, it is let in by this token and nobody else is. Changes no row when another has it.
 */
export function spendToken(secret: string, raftId: string): Change {
  return {
    guards: [],
    statements: [
      {
        sql: "UPDATE join_token SET used_by = ? WHERE secret_hash = ? AND (used_by IS NULL OR used_by = ?)",
        values: [raftId, hashSecret(secret), raftId],
      },
    ],
    tags: [],
  };
}
