import type { Core } from "./core.ts";
import { broadcastHeartbeat } from "./heartbeat.ts";
import { hasAppendsToSend, sendAppends } from "./replication.ts";
import type { HardState, Ready, Role, SoftState } from "./types.ts";

/** True when takeReady has something to give. */
export function hasReady(core: Core): boolean {
  return (
    core.messages.length > 0 ||
    core.messagesAfterAppend.length > 0 ||
    core.hardDirty ||
    core.releaseLease ||
    core.readRoundDue ||
    core.readStates.length > 0 ||
    core.heartbeatRound !== undefined ||
    core.role !== core.announced.role ||
    core.leader !== core.announced.leader ||
    core.log.hasUnsubmitted() ||
    core.log.hasCommittedToOffer(core.options.maxApplyingBytes) ||
    core.log.commit !== core.announcedCommit ||
    (core.isLeader && hasAppendsToSend(core))
  );
}

/** Everything that has gathered since the last one. */
export function takeReady(core: Core): Ready | undefined {
  if (!hasReady(core)) return undefined;
  if (core.isLeader) {
    if (core.readRoundDue) broadcastHeartbeat(core);
    sendAppends(core);
  }
  const sequence = ++core.sequence;
  const mustSync = core.hardDirty || core.log.hasUnsubmitted();
  const softState = takeSoftState(core);
  const hardState = takeHardState(core, sequence, mustSync);
  if (core.role === "candidate" && core.ownVoteSequence === 0) core.ownVoteSequence = sequence;
  const heartbeatRound = core.heartbeatRound;
  const ready: Ready = {
    sequence,
    releaseLease: core.releaseLease,
    ...(softState === undefined ? undefined : { softState }),
    ...(heartbeatRound === undefined ? undefined : { heartbeatRound }),
    messages: core.messages,
    ...(hardState === undefined ? undefined : { hardState }),
    entries: core.log.submit(sequence),
    mustSync,
    messagesAfterAppend: core.messagesAfterAppend,
    committedEntries: core.log.offer(core.options.maxApplyingBytes),
    readStates: core.readStates,
    snapshotNeeded: core.snapshotNeeded,
  };
  core.messages = [];
  core.messagesAfterAppend = [];
  core.readStates = [];
  core.snapshotNeeded = [];
  core.releaseLease = false;
  core.heartbeatRound = undefined;
  return ready;
}

function takeSoftState(core: Core): SoftState | undefined {
  const role: Role = core.role;
  if (role === core.announced.role && core.leader === core.announced.leader) return undefined;
  core.announced = { role, leader: core.leader };
  return core.announced;
}

/**
 * A commit index alone may be lost, but every synced write names the one that is known by then: who holds the entry of a
 * change must know after any crash that the change before it is committed. It would stand with the membership before
 * both else, whose quorums need not meet those of the membership after both.
 */
function takeHardState(core: Core, sequence: number, mustSync: boolean): HardState | undefined {
  const { commit } = core.log;
  const isNews = core.hardDirty || commit !== core.announcedCommit || (mustSync && commit !== core.syncedCommit);
  if (!isNews) return undefined;
  if (core.hardDirty) {
    core.hardDirty = false;
    core.hardSequence = sequence;
  }
  core.announcedCommit = commit;
  if (mustSync) core.syncedCommit = commit;
  return { term: core.term, vote: core.vote, promiseMs: core.promiseMs, commit };
}
