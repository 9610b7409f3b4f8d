import type { Membership, RaftId } from "./types.ts";

/** The two voter sets of a membership; `votersOutgoing` is empty when it is not joint. */
export type Voters = Pick<Membership, "voters" | "votersOutgoing">;

/** Members needed for a decision among `count` voters: more than half. */
export function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

/**
 * The largest value that a majority of `voters` has reached; no voters decide nothing and stand in nobody's way
 * (Infinity). Used for match indexes (what is committed) and for heartbeat rounds (what is confirmed).
 */
export function majorityValue(voters: readonly RaftId[], measure: (id: RaftId) => number): number {
  const count = voters.length;
  if (count === 0) return Number.POSITIVE_INFINITY;
  if (count === 1) return measure(voters[0] as RaftId);
  const sorted = new Array<number>(count);
  // Insertion sort, descending: a group has a handful of voters, and this allocates once.
  for (let i = 0; i < count; i++) {
    const value = measure(voters[i] as RaftId);
    let at = i;
    while (at > 0 && (sorted[at - 1] as number) < value) {
      sorted[at] = sorted[at - 1] as number;
      at--;
    }
    sorted[at] = value;
  }
  return sorted[majority(count) - 1] as number;
}

/** The largest value that a quorum has reached: a majority of each voter set (thesis §4.3). */
export function quorumValue(membership: Voters, measure: (id: RaftId) => number): number {
  const incoming = majorityValue(membership.voters, measure);
  if (membership.votersOutgoing.length === 0) return incoming;
  return Math.min(incoming, majorityValue(membership.votersOutgoing, measure));
}

/** True when the members for which `holds` is true are a quorum. A membership without voters has none. */
export function isQuorum(membership: Voters, holds: (id: RaftId) => boolean): boolean {
  if (membership.voters.length === 0) return false;
  return isMajority(membership.voters, holds) && isMajority(membership.votersOutgoing, holds);
}

function isMajority(voters: readonly RaftId[], holds: (id: RaftId) => boolean): boolean {
  if (voters.length === 0) return true;
  let count = 0;
  for (const id of voters) if (holds(id)) count++;
  return count >= majority(voters.length);
}

export type VoteTally = "won" | "lost" | "pending";

/** What an election stands at: `voteOf` is true (granted), false (refused) or undefined (no answer yet). */
export function tally(membership: Voters, voteOf: (id: RaftId) => boolean | undefined): VoteTally {
  if (isQuorum(membership, (id) => voteOf(id) === true)) return "won";
  // Lost when even everyone who has not answered could not make a quorum any more.
  return isQuorum(membership, (id) => voteOf(id) !== false) ? "pending" : "lost";
}
