import type { Core } from "./core.ts";
import type { Heartbeat, HeartbeatResponse } from "./messages.ts";
import { PROMISE_MS_MAX } from "./options.ts";
import { confirmReads, startReads } from "./reads.ts";
import type { RaftId } from "./types.ts";
import { NOBODY } from "./types.ts";

/**
 * Leader: one broadcast, one round. After the lease was released in this term no promise is asked for any more, so that
 * no later round of this term can count.
 */
export function broadcastHeartbeat(core: Core): void {
  core.round++;
  core.heartbeatDue = core.now + core.timings.heartbeatMs;
  startReads(core);
  const promiseMs = core.leaseReleased ? 0 : core.timings.promiseMs;
  for (const progress of core.progress) {
    if (progress.id === core.id) {
      progress.round = core.round;
      continue;
    }
    const unsafe = core.is("heartbeat-commits-own-last-index");
    const commit = unsafe ? core.log.commit : Math.min(progress.match, core.log.commit);
    // Purged: the follower is far behind and needs a snapshot, not a commit index.
    const commitTerm = core.log.term(commit);
    core.send({
      kind: "heartbeat",
      from: core.id,
      to: progress.id,
      term: core.term,
      round: core.round,
      commit: commitTerm === undefined ? 0 : commit,
      commitTerm: commitTerm ?? 0,
      promiseMs,
    });
  }
  if (promiseMs > 0) {
    core.heartbeatRound = { round: core.round, promiseMs, membership: core.membership };
    core.leaderPromiseMs = Math.max(core.leaderPromiseMs, promiseMs);
  }
  confirmReads(core);
}

/** Somebody leads this term: follow it, and let it lead for a whole time-out. */
export function followLeader(core: Core, leader: RaftId): void {
  if (core.role === "candidate" || core.role === "pre-candidate") core.becomeFollower(core.term, leader);
  core.leader = leader;
  core.leaderHeardAt = core.now;
  core.drawElectionDeadline();
}

/**
 * A heartbeat of this term: the promise counts from this moment, and commit moves only within what is verified. Holding
 * the leader's entry at its commit index verifies all up to it (log matching).
 */
export function handleHeartbeat(core: Core, message: Heartbeat): void {
  followLeader(core, message.from);
  if (core.log.matches(message.commit, message.commitTerm)) core.verified = Math.max(core.verified, message.commit);
  const known = core.is("heartbeat-commits-own-last-index") ? core.log.lastIndex : core.verified;
  core.log.commitTo(Math.min(message.commit, known));
  const promiseMs = givePromise(core, message.promiseMs);
  const response: HeartbeatResponse = {
    kind: "heartbeat-response",
    from: core.id,
    to: message.from,
    term: core.term,
    round: message.round,
    promiseMs,
  };
  core.send(response);
}

/** Promises what is asked for, or this box's own E when that is more. Boxes may apply a change of timings at different times. */
function givePromise(core: Core, askedMs: number): number {
  if (askedMs === 0) return 0;
  const largest = core.is("mixed-promises-counted")
    ? core.timings.promiseMs
    : Math.max(askedMs, core.timings.promiseMs);
  const promiseMs = Math.min(largest, PROMISE_MS_MAX);
  core.promiseUntil = Math.max(core.promiseUntil, core.now + promiseMs);
  if (promiseMs > core.promiseMs) {
    core.promiseMs = promiseMs;
    core.hardDirty = true;
  }
  return core.is("mixed-promises-counted") ? Math.max(askedMs, promiseMs) : promiseMs;
}

export function handleHeartbeatResponse(core: Core, message: HeartbeatResponse): void {
  const progress = core.progressOf.get(message.from);
  if (progress === undefined) return;
  progress.answeredAt = core.now;
  // Rounds of a leadership only: a number that was not sent yet would confirm the future.
  if (message.round <= core.round) progress.round = Math.max(progress.round, message.round);
  progress.probeSent = false;
  if (progress.state === "replicate" && progress.match < core.log.lastIndex) {
    // A whole heartbeat without progress while something is outstanding: an append or its answer was lost.
    if (progress.matchAtHeartbeat === progress.match && !core.is("inflight-leaked")) progress.checkDue = true;
    progress.matchAtHeartbeat = progress.match;
  }
  confirmReads(core);
}

/** Until when this box gives its vote to nobody, itself included, unless the leader itself asked for the election. */
export function boundUntil(core: Core): number {
  if (core.is("vote-within-promise")) return 0;
  return Math.max(core.promiseUntil, core.quarantineUntil);
}

/** True when a request for a vote is refused for stickiness (thesis §4.2.3 and the lease's promise). */
export function isSticky(core: Core): boolean {
  if (core.now < boundUntil(core)) return true;
  if (!core.options.checkQuorum) return false;
  if (core.isLeader) return true;
  return core.leader !== NOBODY && core.now < core.leaderHeardAt + windowMs(core);
}

/** E, or without leases the least election time-out: how long a leader is believed, and believes itself. */
export function windowMs(core: Core): number {
  const { promiseMs, electionTimeoutMs } = core.timings;
  return promiseMs > 0 ? promiseMs : electionTimeoutMs[0];
}

/** Leader: steps down when no quorum has answered within the window (thesis §6.2). */
export function checkQuorum(core: Core): void {
  if (!core.options.checkQuorum || core.now < core.quorumCheckNotBefore) return;
  const answeredAt = core.quorumOf((progress) => (progress.id === core.id ? core.now : progress.answeredAt));
  if (core.now - answeredAt >= windowMs(core)) core.becomeFollower(core.term, NOBODY);
}
