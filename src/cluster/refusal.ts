import type { ClusterId } from "./identity.ts";

/** What a box says to one that it does not listen to: the payload of `refuse`, as JSON. */
export interface Refusal {
  /** For people. */
  readonly why: string;
  /** Which cluster is in force at the refusing box; named to boxes of its lineage only. */
  readonly cluster?: ClusterId;
  /** The other box is no member: index of the membership that is in force here and does not name it. */
  readonly notMemberAt?: number;
}

/**
 * Why a box stops for good and waits to be joined again: it was taken out of the membership that is in force since
 * `index`, or its cluster goes on under a higher generation (force-recover, a restored backup).
 */
export type StandDownOrder =
  | { readonly kind: "removed"; readonly index: number }
  | { readonly kind: "generation"; readonly cluster: ClusterId };

/** What a box is, as far as a refusal can end it. */
export interface Standing {
  readonly cluster: ClusterId;
  /** Index of the membership in force here; undefined when it does not name this box (yet): then no other can be newer. */
  readonly memberAt: number | undefined;
}

export function encodeRefusal(refusal: Refusal): Uint8Array {
  return Buffer.from(JSON.stringify(refusal));
}

/** Inverse of {@link encodeRefusal}. Throws on anything else. */
export function decodeRefusal(payload: Uint8Array): Refusal {
  const value = JSON.parse(Buffer.from(payload).toString("utf8")) as Refusal;
  if (typeof value?.why !== "string") throw new Error("Cannot read a refusal: it gives no reason");
  return value;
}

/**
 * What a member's refusal means for the box that is refused; undefined: that it tries again. A member that is behind
 * does not know a box that was just added, so only a *newer* membership without this box is a proof: raft ids never
 * come back. `refusal` must come from a box whose certificate is a member's.
 */
export function orderOf(refusal: Refusal, { cluster, memberAt }: Standing): StandDownOrder | undefined {
  const theirs = refusal.cluster;
  if (theirs === undefined || theirs.lineage !== cluster.lineage) return undefined;
  if (theirs.generation > cluster.generation) return { kind: "generation", cluster: theirs };
  if (theirs.generation < cluster.generation) return undefined;
  if (refusal.notMemberAt === undefined || memberAt === undefined) return undefined;
  return refusal.notMemberAt > memberAt ? { kind: "removed", index: refusal.notMemberAt } : undefined;
}
