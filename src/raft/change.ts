import type { Core } from "./core.ts";
import { windowMs } from "./heartbeat.ts";
import { changeMembership, isJoint } from "./membership.ts";
import { encodeMembershipChange } from "./membership-codec.ts";
import { restartReads } from "./reads.ts";
import { advanceCommit, appendEntry } from "./replication.ts";
import type { Membership, MembershipChange, ProposeMembershipResult } from "./types.ts";
import { NOBODY } from "./types.ts";

/** How far behind the commit index a learner may be to be promoted: what is on its way in a busy group anyway. */
const PROMOTION_LAG_MAX = 64;

/** Leader: proposes a change. It takes effect when it is applied, not before. */
export function proposeChange(core: Core, change: MembershipChange): ProposeMembershipResult {
  if (!core.isLeader) return { kind: "not-leader", leader: core.leader };
  if (core.transferTo !== NOBODY) return { kind: "busy" };
  const why = core.options.disableConfChangeValidation ? undefined : changeObstacle(core, change);
  if (why !== undefined) return { kind: "refused", why };
  return appendChange(core, change);
}

function appendChange(core: Core, change: MembershipChange): ProposeMembershipResult {
  const entry = appendEntry(core, "membership", encodeMembershipChange(change));
  core.pendingMembershipIndex = entry.index;
  return { kind: "accepted", firstIndex: entry.index, term: entry.term };
}

function changeObstacle(core: Core, change: MembershipChange): string | undefined {
  if (core.pendingMembershipIndex > core.log.applied && !core.is("two-changes-in-flight")) {
    return `one change at a time: that of entry ${core.pendingMembershipIndex} may not be in force yet`;
  }
  // Ongaro's 2015 correction: without it two leaders may count on configurations that do not intersect.
  if (!core.ownTermCommitted && !core.is("change-without-own-term-commit")) {
    return "no entry of this leader's own term is committed yet";
  }
  const result = changeMembership(core.membership, change);
  if (result.kind === "refused") return result.why;
  if (change.kind === "leave-joint") return undefined;
  for (const step of change.steps) {
    if (step.kind !== "promote") continue;
    const progress = core.progressOf.get(step.raftId);
    const caughtUp =
      progress !== undefined &&
      progress.state === "replicate" &&
      progress.match + PROMOTION_LAG_MAX >= core.log.commit &&
      core.now - progress.answeredAt < windowMs(core);
    if (!caughtUp) return `${step.raftId} has not caught up yet`;
  }
  return undefined;
}

/** The change at `index` is applied. Returns the membership in force from now on. */
export function applyChange(core: Core, index: number, change: MembershipChange): Membership {
  // Applied again after the state database lost its tail: the membership record in the log already has it.
  if (index <= core.membershipIndex) return core.membership;
  core.membershipIndex = index;
  const result = changeMembership(core.membership, change);
  if (result.kind === "refused") return core.membership;
  takeMembership(core, result.membership);
  return core.membership;
}

/** Puts a membership into force, from an applied entry or a snapshot. */
export function takeMembership(core: Core, membership: Membership): void {
  core.membership = membership;
  core.rebuildProgress();
  if (core.isLeader) {
    if (!core.isPromotable && core.options.stepDownOnRemoval) {
      core.becomeFollower(core.term, NOBODY);
      return;
    }
    if (core.transferTo !== NOBODY && !core.leaseReleased && !membership.voters.includes(core.transferTo)) {
      core.transferTo = NOBODY;
    }
    restartReads(core);
    advanceCommit(core);
    return;
  }
  if (core.role === "candidate" || core.role === "pre-candidate") {
    // Votes were asked for in another configuration: the round is void.
    core.becomeFollower(core.term, NOBODY);
    return;
  }
  core.role = core.restingRole();
}

/** Leader: leaves a joint configuration by itself once nothing else is in flight, behind an entry of its own term. */
export function leaveJointWhenDue(core: Core): void {
  if (!core.isLeader || !core.membership.autoLeave || !isJoint(core.membership)) return;
  if (core.pendingMembershipIndex > core.log.applied || !core.ownTermCommitted) return;
  appendChange(core, { kind: "leave-joint" });
}
