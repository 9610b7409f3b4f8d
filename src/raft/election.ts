import type { Core } from "./core.ts";
import { boundUntil, broadcastHeartbeat, isSticky } from "./heartbeat.ts";
import type { TimeoutNow, VoteRequest, VoteResponse } from "./messages.ts";
import { tally } from "./quorum.ts";
import { appendEntry } from "./replication.ts";
import type { CampaignResult } from "./types.ts";
import { NOBODY } from "./types.ts";

/** Why this box may not stand now, or undefined. */
function campaignObstacle(core: Core, byTransfer: boolean): string | undefined {
  if (core.isLeader) return "this box is the leader already";
  if (!core.isPromotable) return "this box is not a voter";
  if (!byTransfer && core.now < boundUntil(core) && !core.is("campaign-within-own-promise")) {
    return "this box has promised a leader not to vote";
  }
  if (core.log.applied < core.startupCommit) return "the log is not replayed to the durable commit index yet";
  if (hasUnappliedChange(core)) return "a committed membership change is not applied yet";
  return undefined;
}

/** A change that is committed but not applied would be missing from the quorum that this box counts. */
function hasUnappliedChange(core: Core): boolean {
  let index = core.log.applied + 1;
  while (index <= core.log.commit) {
    const entries = core.log.slice(index, core.log.commit, core.options.maxSizePerMessage);
    if (entries.some((entry) => entry.kind === "membership")) return true;
    const last = entries[entries.length - 1];
    if (last === undefined) return true;
    index = last.index + 1;
  }
  return false;
}

/** Starts an election: a pre-vote first, unless pre-votes are off. */
export function campaign(core: Core): CampaignResult {
  const why = campaignObstacle(core, false);
  if (why !== undefined) return { kind: "refused", why };
  if (core.options.preVote) becomePreCandidate(core);
  else becomeCandidate(core, false);
  return { kind: "started" };
}

/** On each tick of a box that does not lead. */
export function checkElection(core: Core): void {
  if (core.now < core.electionDeadline) return;
  const bound = boundUntil(core);
  if (core.now < bound && !core.is("campaign-within-own-promise")) {
    // Not before the promise ends, and not all boxes in the moment in which it does.
    core.electionDeadline = bound + core.drawRetry();
    return;
  }
  if (campaign(core).kind === "started") return;
  core.drawElectionDeadline();
  // A voter that only has something left to apply looks again soon.
  if (core.isPromotable) core.electionDeadline = core.now + core.drawRetry();
}

/** Another voter asks. The term is raised only by a real request that stickiness does not refuse. */
export function handleVoteRequest(core: Core, message: VoteRequest): void {
  if (core.is("pre-vote-raises-the-term") && message.preVote && message.electionTerm > core.term) {
    core.becomeFollower(message.electionTerm, NOBODY);
  }
  // The leader of the term before asked for this election itself and has released its lease: promises do not bind.
  if (!message.transfer && message.electionTerm >= core.term && isSticky(core)) {
    answerVote(core, message, false, true);
    return;
  }
  if (!message.preVote && message.term > core.term) core.becomeFollower(message.term, NOBODY);
  const isFree =
    message.electionTerm > core.term ||
    (message.electionTerm === core.term &&
      (core.vote === message.from || (core.vote === NOBODY && core.leader === NOBODY)));
  const granted = isFree && isUpToDate(core, message);
  if (granted && !message.preVote) {
    core.vote = message.from;
    core.hardDirty = true;
    core.drawElectionDeadline();
  }
  answerVote(core, message, granted, false);
}

function isUpToDate(core: Core, message: VoteRequest): boolean {
  if (core.is("up-to-date-by-index-only")) return message.lastIndex >= core.log.lastIndex;
  if (core.is("up-to-date-by-term-only")) return message.lastTerm >= core.log.lastTerm;
  return core.log.isUpToDate(message.lastIndex, message.lastTerm);
}

function answerVote(core: Core, message: VoteRequest, granted: boolean, sticky: boolean): void {
  const response: VoteResponse = {
    kind: "vote-response",
    from: core.id,
    to: message.from,
    term: core.term,
    preVote: message.preVote,
    electionTerm: message.electionTerm,
    granted,
    sticky,
  };
  if (message.preVote || core.is("vote-before-durable")) core.messages.push(response);
  else if (granted) core.sendAfterAppend(response);
  else core.send(response);
}

/** An answer in our own election; any other election's is late or a duplicate. */
export function handleVoteResponse(core: Core, message: VoteResponse): void {
  const stage = message.preVote ? "pre-candidate" : "candidate";
  const electionTerm = message.preVote ? core.term + 1 : core.term;
  const isOurs = core.role === stage && message.electionTerm === electionTerm;
  if (isOurs && !message.granted) noteRefusal(core, message.sticky);
  if (message.term > core.term) {
    const retryAt = core.electionDeadline;
    core.becomeFollower(message.term, NOBODY);
    if (isOurs) core.electionDeadline = retryAt;
    return;
  }
  if (!isOurs) return;
  if (core.votes.has(message.from)) {
    if (!core.is("duplicate-vote-counted-twice") || !message.granted) return;
    for (const id of core.membership.voters) {
      if (core.votes.has(id)) continue;
      core.votes.set(id, true);
      break;
    }
  } else {
    core.votes.set(message.from, message.granted);
  }
  countVotes(core);
}

/** The leader asks this box to take over: an election at once, which the promises given to that leader do not bind. */
export function handleTimeoutNow(core: Core, message: TimeoutNow): void {
  if (core.isLeader || campaignObstacle(core, true) !== undefined) return;
  if (core.leader !== NOBODY && core.leader !== message.from) return;
  becomeCandidate(core, true);
}

/** The Ready with this box's own vote is durable: now it counts. */
export function countOwnVote(core: Core): void {
  if (core.role !== "candidate" || core.ownVoteSequence <= 0 || core.durableSequence < core.ownVoteSequence) return;
  core.ownVoteSequence = -1;
  core.votes.set(core.id, true);
  countVotes(core);
}

/** A refused round is tried again soon, unless somebody refused because a leader is alive. */
function noteRefusal(core: Core, sticky: boolean): void {
  if (sticky) {
    core.electionDeadline = core.fullDeadline;
  } else if (!core.refused) {
    core.electionDeadline = Math.min(core.fullDeadline, core.now + core.drawRetry());
  }
  core.refused = true;
}

function countVotes(core: Core): void {
  const result = tally(core.membership, (id) => core.votes.get(id));
  if (result === "pending") return;
  if (result === "won") {
    if (core.role === "pre-candidate") becomeCandidate(core, false);
    else becomeLeader(core);
    return;
  }
  const retryAt = core.electionDeadline;
  core.becomeFollower(core.term, NOBODY);
  core.electionDeadline = retryAt;
}

function startRound(core: Core): void {
  core.votes.clear();
  core.refused = false;
  core.leader = NOBODY;
  core.drawElectionDeadline();
}

function becomePreCandidate(core: Core): void {
  startRound(core);
  core.role = "pre-candidate";
  core.votes.set(core.id, true);
  requestVotes(core, true, false);
  countVotes(core);
}

function becomeCandidate(core: Core, transfer: boolean): void {
  startRound(core);
  core.enterTerm(core.term + 1);
  core.vote = core.id;
  core.role = "candidate";
  // As a leader it will keep its own promise: that too must be durable before it counts itself.
  core.promiseMs = Math.max(core.promiseMs, core.timings.promiseMs);
  core.ownVoteSequence = 0;
  requestVotes(core, false, transfer);
}

/**
 * Requests wait for the disk too: a candidate that forgot its term by a crash, and log entries with it, must not be
 * elected by the answers to what it asked before.
 */
function requestVotes(core: Core, preVote: boolean, transfer: boolean): void {
  const { lastIndex, lastTerm } = core.log;
  for (const progress of core.progress) {
    if (progress.id === core.id || progress.learner) continue;
    const request: VoteRequest = {
      kind: "vote-request",
      from: core.id,
      to: progress.id,
      term: core.term,
      preVote,
      electionTerm: preVote ? core.term + 1 : core.term,
      lastIndex,
      lastTerm,
      transfer,
    };
    if (preVote) core.messages.push(request);
    else core.sendAfterAppend(request);
  }
}

/** Won. The no-op of the own term goes first: without it nothing older may be counted as committed. */
function becomeLeader(core: Core): void {
  core.endLeadership();
  core.role = "leader";
  core.leader = core.id;
  core.resetProgress();
  // Changes that were inherited uncommitted may still be committed: none may be proposed before they are applied.
  core.pendingMembershipIndex = core.log.lastIndex;
  core.ownTermFirstIndex = core.log.lastIndex + 1;
  if (core.is("no-own-term-noop")) core.ownTermFirstIndex = core.log.commit;
  else appendEntry(core, "normal", new Uint8Array(0));
  broadcastHeartbeat(core);
}
