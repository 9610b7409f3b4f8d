import { assert } from "../base/assert.ts";
import { applyChange, leaveJointWhenDue, proposeChange, takeMembership } from "./change.ts";
import { Core } from "./core.ts";
import {
  campaign,
  checkElection,
  countOwnVote,
  handleTimeoutNow,
  handleVoteRequest,
  handleVoteResponse,
} from "./election.ts";
import { broadcastHeartbeat, checkQuorum, handleHeartbeat, handleHeartbeatResponse } from "./heartbeat.ts";
import type { Message } from "./messages.ts";
import { assertTimings } from "./options.ts";
import { handleReadIndexRequest, handleReadIndexResponse, requestRead } from "./reads.ts";
import { hasReady, takeReady } from "./ready.ts";
import { advanceCommit, appendEntry, handleAppend, handleAppendResponse } from "./replication.ts";
import { nodeStatus } from "./status.ts";
import { checkTransfer, startTransfer } from "./transfer.ts";
import type { NodeConfig, ProposeResult, RaftNode } from "./types.ts";
import { NOBODY } from "./types.ts";

/**
 * The consensus core: Raft as in the paper and the thesis, in the shape of etcd's, with leases' promises. No clock, no
 * randomness of its own, no input or output: the same state, input and random source give the same output.
 *
 * The caller's duties, in order. After every input, while `ready()` gives something:
 *
 * 1. When `releaseLease` is set, give up VIP, tokens and lease before anything else.
 * 2. When `heartbeatRound` is set, stamp its send: everything that is counted from the send starts before it.
 * 3. Send `messages`; hand `hardState` and `entries` to the log, which makes writes durable in the order of `sequence`.
 *    Both may go on side by side: that is how a leader's disk and its followers' work in parallel.
 * 4. Apply `committedEntries` in order, outside of the core's turn, then say `applied(index)`. For a membership entry
 *    store the membership's record (changeMembership gives it), sync it, say `applyMembership`, then `applied`.
 * 5. When the write is durable, send `messagesAfterAppend` and say `appended(sequence)`. Never before: these are the
 *    promises (votes, acknowledgements) that a crash must not be able to break.
 * 6. Serve `readStates` once applied ≥ their index, start snapshots for `snapshotNeeded`.
 *
 * Several Readys may be under way. A synchronous caller does all of it and then calls `advance()`. Time goes in with
 * every input; `tick` comes at least every 10 ms (fast profile 2 ms). Inputs that the core answers with a refusal
 * changed nothing. What it asserts (two leaders in a term, a cut below commit) ends the process: that box, or another
 * one, has broken a promise, and going on would spread it.
 */
export function createNode(config: NodeConfig): RaftNode {
  const core = new Core(config);

  const input = (now: number): void => {
    // The text is made only when it is needed: this is the busiest line of the core.
    if (now < core.now) assert(false, `time went back from ${core.now} to ${now} ms`);
    if (core.now < 0) start(core, now);
    core.now = now;
  };

  const appended = (sequence: number, now: number): void => {
    input(now);
    assert(sequence <= core.sequence, `Ready ${sequence} was not given yet`);
    core.durableSequence = Math.max(core.durableSequence, sequence);
    const moved = core.log.written(sequence);
    countOwnVote(core);
    if (moved) advanceCommit(core);
  };

  const applied = (index: number, now: number): void => {
    input(now);
    core.log.appliedTo(index);
    leaveJointWhenDue(core);
  };

  return {
    tick(now) {
      const elapsed = core.now < 0 ? 0 : now - core.now;
      input(now);
      if (elapsed > core.timings.electionTimeoutMs[0] / 2) notePause(core);
      if (core.isLeader) {
        checkTransfer(core);
        if (core.isLeader) checkQuorum(core);
        if (core.isLeader && now >= core.heartbeatDue) broadcastHeartbeat(core);
      } else {
        checkElection(core);
      }
    },
    step(message, now) {
      input(now);
      step(core, message);
    },
    propose(datas, now) {
      input(now);
      return propose(core, datas);
    },
    proposeMembership(change, now) {
      input(now);
      return proposeChange(core, change);
    },
    campaign(now) {
      input(now);
      return campaign(core);
    },
    transferLeader(to, now) {
      input(now);
      return startTransfer(core, to);
    },
    readIndex(context, now) {
      input(now);
      return requestRead(core, context);
    },
    forgetLeader(now) {
      input(now);
      if (core.timings.promiseMs > 0 || core.isLeader) return false;
      core.leader = NOBODY;
      return true;
    },
    reportUnreachable(id) {
      const progress = core.progressOf.get(id);
      if (core.isLeader && progress?.state === "replicate") progress.becomeProbe();
    },
    reportSnapshot(id, ok) {
      const progress = core.progressOf.get(id);
      if (!core.isLeader || progress?.state !== "snapshot") return;
      if (!ok) progress.pendingSnapshot = 0;
      progress.becomeProbe();
      // It needs a moment to install: the next question goes out with the next heartbeat's answer.
      progress.probeSent = true;
    },
    appended,
    applied,
    applyMembership(index, change, now) {
      input(now);
      assert(index > core.log.applied && index <= core.log.offered, `no entry ${index} is being applied`);
      return applyChange(core, index, change);
    },
    restore(meta, now) {
      input(now);
      if (meta.index <= core.log.commit) return;
      core.log.restore(meta);
      core.verified = Math.max(core.verified, meta.index);
      core.membershipIndex = Math.max(core.membershipIndex, meta.index);
      takeMembership(core, meta.membership);
      if (core.leader === NOBODY || core.isLeader) return;
      core.sendAfterAppend({
        kind: "append-response",
        from: core.id,
        to: core.leader,
        term: core.term,
        rejected: false,
        index: meta.index,
        hintIndex: 0,
        hintTerm: 0,
      });
    },
    setTimings(timings, now) {
      input(now);
      assertTimings(timings);
      core.options = { ...core.options, timings };
      // Durable beforehand, so that the first answer under the longer promise need not wait for the disk.
      if (timings.promiseMs > core.promiseMs) {
        core.promiseMs = timings.promiseMs;
        core.hardDirty = true;
      }
      // At once: the followers hear of the new E, and of the entry's commit, before the old heartbeat would have been due.
      // A slower heartbeat could otherwise come after their old time-outs.
      if (core.isLeader) broadcastHeartbeat(core);
      else if (core.electionDeadline < Number.POSITIVE_INFINITY) core.drawElectionDeadline();
    },
    hasReady: () => hasReady(core),
    ready: () => takeReady(core),
    advance(now) {
      appended(core.sequence, now);
      if (core.log.offered > core.log.applied) applied(core.log.offered, now);
    },
    status: () => nodeStatus(core),
  };
}

/** The first input: the quarantine after a restart and the first election time-out count from here. */
function start(core: Core, now: number): void {
  core.now = now;
  core.quarantineUntil = now + core.startupPromiseMs;
  core.drawElectionDeadline();
  for (const progress of core.progress) progress.answeredAt = now;
  const { voters, votersOutgoing } = core.membership;
  const isAlone = voters.length === 1 && votersOutgoing.length === 0 && voters[0] === core.id;
  // Nobody else can lead, so there is nobody to wait for.
  if (isAlone) core.electionDeadline = core.quarantineUntil;
}

/** This process did not run for a while: messages lie unread, and judging before reading them would be rash. */
function notePause(core: Core): void {
  core.electionDeadline = Math.max(core.electionDeadline, core.now + core.drawRetry());
  core.quorumCheckNotBefore = core.now + core.timings.heartbeatMs;
}

function propose(core: Core, datas: readonly Uint8Array[]): ProposeResult {
  assert(datas.length > 0, "propose: nothing was given");
  if (!core.isLeader) return { kind: "not-leader", leader: core.leader };
  if (core.transferTo !== NOBODY) return { kind: "busy" };
  let sizeBytes = 0;
  for (const data of datas) sizeBytes += data.length;
  // One proposal always fits into an empty pipe, however large.
  const isFull = core.uncommittedBytes + sizeBytes > core.options.maxUncommittedBytes;
  if (isFull && core.uncommitted.length > 0) return { kind: "busy" };
  const firstIndex = core.log.lastIndex + 1;
  for (const data of datas) appendEntry(core, "normal", data);
  return { kind: "accepted", firstIndex, term: core.term };
}

function step(core: Core, message: Message): void {
  if (message.to !== core.id || message.from === core.id) return;
  // Votes have their own rules about terms (election.ts): a sticky voter does not let itself be raised.
  if (message.kind === "vote-request") {
    handleVoteRequest(core, message);
    return;
  }
  if (message.kind === "vote-response") {
    handleVoteResponse(core, message);
    return;
  }
  if (message.term > core.term) {
    const isFromLeader = message.kind === "append" || message.kind === "heartbeat";
    core.becomeFollower(message.term, isFromLeader ? message.from : NOBODY);
  } else if (message.term < core.term) {
    answerOldTerm(core, message);
    return;
  }
  switch (message.kind) {
    case "append":
      assertOneLeader(core, message);
      handleAppend(core, message);
      return;
    case "heartbeat":
      assertOneLeader(core, message);
      handleHeartbeat(core, message);
      return;
    case "append-response":
      if (core.isLeader) handleAppendResponse(core, message);
      return;
    case "heartbeat-response":
      if (core.isLeader) handleHeartbeatResponse(core, message);
      return;
    case "timeout-now":
      handleTimeoutNow(core, message);
      return;
    case "read-index-request":
      handleReadIndexRequest(core, message);
      return;
    case "read-index-response":
      handleReadIndexResponse(core, message);
      return;
  }
}

/**
 * A leader of an older term must learn that its time is over, or a box that came back with a higher term would be left
 * out for ever: with pre-vote and stickiness nobody else tells it.
 */
function answerOldTerm(core: Core, message: Message): void {
  if (message.kind === "heartbeat") {
    const { from: to, round } = message;
    core.send({ kind: "heartbeat-response", from: core.id, to, term: core.term, round, promiseMs: 0 });
  } else if (message.kind === "append") {
    const { from: to, previousIndex: index } = message;
    core.send({
      kind: "append-response",
      from: core.id,
      to,
      term: core.term,
      rejected: true,
      index,
      hintIndex: 0,
      hintTerm: 0,
    });
  }
}

function assertOneLeader(core: Core, message: Message): void {
  assert(!core.isLeader, `${message.from} and this box both lead term ${core.term}`);
  const isSame = core.leader === NOBODY || core.leader === message.from;
  assert(isSame, `${core.leader} and ${message.from} both lead term ${core.term}`);
}
