import type { RaftId } from "../../raft/types.ts";

/**
 * Which boxes' states differ from what a majority has, by the hashes that they tell of the same entry. PURE.
 *
 * Only hashes of one feature level and SQLite version are compared. A value that a majority of the voters has is right:
 * who has another one rebuilds itself from a snapshot. Where all have told and no value has a majority nobody is right.
 */
export interface ToldCheck {
  readonly index: number;
  readonly comparable: string;
  /** Over the effects of all entries so far. */
  readonly running: string;
  /** Over a part of the content; "" where the box did not look. */
  readonly content: string;
}

export interface CheckedVoter {
  readonly raftId: RaftId;
  /** The newest that it told; none of a silent box. */
  readonly checks: readonly ToldCheck[];
  /** A silent voter may hold any value. */
  readonly isSilent: boolean;
}

export type CheckVerdict =
  | { readonly kind: "agreed" }
  /** Boxes that have something else than the majority at `index`. */
  | { readonly kind: "differ"; readonly index: number; readonly boxes: readonly RaftId[] }
  /** Two values, and those who could give one of them a majority are silent or have not looked. */
  | { readonly kind: "undecided"; readonly index: number }
  /** No value can have a majority: nobody knows what is right. */
  | { readonly kind: "nobody-right"; readonly index: number };

/** The verdict of the newest entry that shows who is wrong, or that nobody is right; else whether a difference was seen at all. */
export function compareChecks(voters: readonly CheckedVoter[]): CheckVerdict {
  let open: CheckVerdict = { kind: "agreed" };
  const indexes = [...new Set(voters.flatMap(({ checks }) => checks.map(({ index }) => index)))].sort((a, b) => b - a);
  for (const index of indexes) {
    for (const field of ["running", "content"] as const) {
      const verdict = compareAt(voters, index, field);
      if (verdict.kind === "undecided" && open.kind === "agreed") open = verdict;
      if (verdict.kind === "differ" || verdict.kind === "nobody-right") return verdict;
    }
  }
  return open;
}

function compareAt(voters: readonly CheckedVoter[], index: number, field: "running" | "content"): CheckVerdict {
  const quorum = Math.floor(voters.length / 2) + 1;
  const holders = new Map<string, RaftId[]>();
  let undecided = 0;
  for (const { raftId, checks, isSilent } of voters) {
    const check = checks.find((one) => one.index === index);
    if (check === undefined || check[field] === "") {
      // It may tell yet, or come back; a box that is past this entry never will. Not to have looked says nothing.
      if (field === "content" || isSilent || !checks.some((one) => one.index > index)) undecided++;
      continue;
    }
    const value = `${check.comparable} ${check[field]}`;
    holders.set(value, [...(holders.get(value) ?? []), raftId]);
  }
  const sizes = [...holders.entries()].sort(([, a], [, b]) => b.length - a.length);
  const [best] = sizes;
  if (best === undefined || sizes.length === 1) return { kind: "agreed" };
  const [value, boxes] = best;
  const comparable = value.slice(0, value.indexOf(" "));
  const others = sizes
    .filter(([other]) => other !== value && other.startsWith(`${comparable} `))
    .flatMap(([, ids]) => ids);
  // During a rolling upgrade two builds count differently: that says nothing.
  if (others.length === 0) return { kind: "agreed" };
  if (boxes.length >= quorum) return { kind: "differ", index, boxes: others };
  return { kind: boxes.length + undecided >= quorum ? "undecided" : "nobody-right", index };
}
