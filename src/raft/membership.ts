import type { Member, Membership, MembershipChange, MembershipStep, RaftId } from "./types.ts";
import { MEMBERSHIP_STEPS_MAX } from "./types.ts";

/** A membership of nobody: what a box holds that has neither founded nor joined a cluster. */
export const EMPTY_MEMBERSHIP: Membership = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
  members: [],
};

/** The membership that a founder writes: itself, the only voter. */
export function soloMembership(member: Member): Membership {
  return { ...EMPTY_MEMBERSHIP, voters: [member.raftId], members: [member] };
}

/**
 * The change in the first entry (term 1, index 1) of every log. A founder writes it, with hard state (term 1, commit 1)
 * and the membership record of index 1, before it starts its node; a joiner starts from EMPTY_MEMBERSHIP and index 0 and
 * learns it like everything else.
 */
export function foundingChange(member: Member): MembershipChange {
  return { kind: "simple", steps: [{ kind: "add-voter", member }] };
}

export function isVoter(membership: Membership, id: RaftId): boolean {
  return membership.voters.includes(id) || membership.votersOutgoing.includes(id);
}

export function isJoint(membership: Membership): boolean {
  return membership.votersOutgoing.length > 0;
}

/** The member record of `id`. */
export function memberOf(membership: Membership, id: RaftId): Member | undefined {
  return membership.members.find((member) => member.raftId === id);
}

export type ChangeResult =
  | { readonly kind: "changed"; readonly membership: Membership }
  | { readonly kind: "refused"; readonly why: string };

/**
 * The membership after a change, the same on every box. The pump stores it before {@link RaftNode.applyMembership}.
 * Refused: a change that does not fit, which then changes nothing anywhere.
 */
export function changeMembership(membership: Membership, change: MembershipChange): ChangeResult {
  if (change.kind === "leave-joint") return leaveJoint(membership);
  if (isJoint(membership)) return refused("a joint change is in force; leave it first");
  if (change.steps.length > MEMBERSHIP_STEPS_MAX) return refused(`more than ${MEMBERSHIP_STEPS_MAX} steps`);
  const draft = draftOf(membership);
  for (const step of change.steps) {
    const why = takeStep(draft, step, change.kind === "enter-joint");
    if (why !== undefined) return refused(why);
  }
  if (draft.voters.size === 0) return refused("no voter would be left");
  if (change.kind === "simple") {
    const moved = symmetricDifference(membership.voters, draft.voters);
    if (moved > 1) return refused(`a simple change may move one voter, this one moves ${moved}`);
    return changed(draft, [], false);
  }
  return changed(draft, membership.voters, change.autoLeave);
}

interface Draft {
  readonly voters: Set<RaftId>;
  readonly outgoing: ReadonlySet<RaftId>;
  readonly learners: Set<RaftId>;
  readonly learnersNext: Set<RaftId>;
  readonly members: Map<RaftId, Member>;
}

function draftOf(membership: Membership): Draft {
  return {
    voters: new Set(membership.voters),
    outgoing: new Set(membership.voters),
    learners: new Set(membership.learners),
    learnersNext: new Set(),
    members: new Map(membership.members.map((member) => [member.raftId, member])),
  };
}

/** Takes one step, or says why not. A joint change keeps an outgoing voter's record until it is left. */
function takeStep(draft: Draft, step: MembershipStep, joint: boolean): string | undefined {
  switch (step.kind) {
    case "add-learner":
    case "add-voter": {
      const id = step.member.raftId;
      if (!isRaftId(id)) return `raft id "${id}" is not 16 lower-case hex digits`;
      if (draft.members.has(id)) return `${id} is a member already`;
      draft.members.set(id, step.member);
      (step.kind === "add-voter" ? draft.voters : draft.learners).add(id);
      return undefined;
    }
    case "promote":
      if (!draft.learners.delete(step.raftId)) return `${step.raftId} is not a learner`;
      draft.voters.add(step.raftId);
      return undefined;
    case "demote":
      if (!draft.voters.delete(step.raftId)) return `${step.raftId} is not a voter`;
      // Both a voter that still counts and a learner would be two things at once: it waits until the joint change is left.
      (joint && draft.outgoing.has(step.raftId) ? draft.learnersNext : draft.learners).add(step.raftId);
      return undefined;
    case "remove": {
      const wasVoter = draft.voters.delete(step.raftId);
      const wasLearner = draft.learners.delete(step.raftId);
      if (!wasVoter && !wasLearner) return `${step.raftId} is not a member`;
      if (!(joint && draft.outgoing.has(step.raftId))) draft.members.delete(step.raftId);
      return undefined;
    }
    case "update":
      if (!draft.members.has(step.member.raftId)) return `${step.member.raftId} is not a member`;
      draft.members.set(step.member.raftId, step.member);
      return undefined;
  }
}

function leaveJoint(membership: Membership): ChangeResult {
  if (!isJoint(membership)) return refused("no joint change is in force");
  const learners = [...membership.learners, ...membership.learnersNext].sort();
  const keep = new Set([...membership.voters, ...learners]);
  return {
    kind: "changed",
    membership: {
      ...membership,
      votersOutgoing: [],
      learners,
      learnersNext: [],
      autoLeave: false,
      members: membership.members.filter((member) => keep.has(member.raftId)),
    },
  };
}

function changed(draft: Draft, votersOutgoing: readonly RaftId[], autoLeave: boolean): ChangeResult {
  return {
    kind: "changed",
    membership: {
      voters: [...draft.voters].sort(),
      votersOutgoing,
      learners: [...draft.learners].sort(),
      learnersNext: [...draft.learnersNext].sort(),
      autoLeave,
      members: [...draft.members.values()].sort((a, b) => (a.raftId < b.raftId ? -1 : 1)),
    },
  };
}

function refused(why: string): ChangeResult {
  return { kind: "refused", why: `Cannot change membership: ${why}` };
}

function symmetricDifference(before: readonly RaftId[], after: ReadonlySet<RaftId>): number {
  let common = 0;
  for (const id of before) if (after.has(id)) common++;
  return before.length - common + (after.size - common);
}

/** True for 16 lower-case hex digits. */
export function isRaftId(text: string): boolean {
  return /^[0-9a-f]{16}$/.test(text);
}
