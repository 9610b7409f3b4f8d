import type { Core } from "./core.ts";
import { windowMs } from "./heartbeat.ts";
import type { Progress } from "./progress.ts";
import type { RaftId, TransferResult } from "./types.ts";
import { NOBODY } from "./types.ts";

/**
 * Leadership transfer (thesis §3.10). First `to` catches up while proposals are answered *busy*; then the lease is
 * released for the rest of this term, and TimeoutNow goes out.
 */
export function startTransfer(core: Core, to: RaftId): TransferResult {
  if (!core.isLeader) return { kind: "refused", why: "this box is not the leader" };
  if (to === core.id) return { kind: "refused", why: "this box is the leader already" };
  const progress = core.progressOf.get(to);
  if (progress === undefined || !core.membership.voters.includes(to)) {
    return { kind: "refused", why: `${to} is not a voter` };
  }
  if (core.transferTo !== NOBODY) {
    if (core.transferTo === to) return { kind: "started" };
    if (core.leaseReleased) return { kind: "refused", why: `leadership is being handed to ${core.transferTo}` };
  }
  if (progress.state === "snapshot") return { kind: "refused", why: `${to} needs a snapshot first` };
  if (core.now - progress.answeredAt >= windowMs(core)) return { kind: "refused", why: `${to} does not answer` };
  core.transferTo = to;
  core.transferDeadline = core.now + core.timings.electionTimeoutMs[0];
  finishTransfer(core, progress);
  return { kind: "started" };
}

/** Sends TimeoutNow once the target has everything. The release stands in the same Ready, before the message. */
export function finishTransfer(core: Core, progress: Progress): void {
  if (core.transferTo !== progress.id || core.leaseReleased || progress.match !== core.log.lastIndex) return;
  if (!core.is("transfer-keeps-lease")) {
    core.releaseLease = true;
    core.leaseReleased = true;
    core.heartbeatRound = undefined;
  }
  core.send({ kind: "timeout-now", from: core.id, to: progress.id, term: core.term });
}

/**
 * Leader, on each tick. Before TimeoutNow a transfer may be given up and leadership goes on as before. After it the
 * target may win at any time: this term never holds a lease again, so a transfer that failed ends in stepping down.
 */
export function checkTransfer(core: Core): void {
  if (core.transferTo === NOBODY || core.now < core.transferDeadline) return;
  if (core.leaseReleased) core.becomeFollower(core.term, NOBODY);
  else core.transferTo = NOBODY;
}
