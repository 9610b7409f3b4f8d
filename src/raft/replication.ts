import { assert } from "../base/assert.ts";
import type { Core } from "./core.ts";
import { followLeader } from "./heartbeat.ts";
import { entrySizeBytes } from "./log-view.ts";
import type { Append, AppendResponse } from "./messages.ts";
import type { Progress } from "./progress.ts";
import { finishTransfer } from "./transfer.ts";
import type { EntryKind, LogEntry } from "./types.ts";

/** Leader: one more entry of this term. */
export function appendEntry(core: Core, kind: EntryKind, data: Uint8Array): LogEntry {
  const entry: LogEntry = { term: core.term, index: core.log.lastIndex + 1, kind, data };
  core.log.push(entry);
  const sizeBytes = entrySizeBytes(entry);
  core.uncommitted.push({ index: entry.index, sizeBytes });
  core.uncommittedBytes += sizeBytes;
  return entry;
}

/**
 * Leader: whatever may go out now goes out. Called when a Ready is taken, so everything proposed and acknowledged since
 * the last one shares messages.
 */
export function sendAppends(core: Core): void {
  for (const progress of core.progress) {
    if (progress.id === core.id) continue;
    if (progress.state === "probe") {
      if (!progress.probeSent) sendAppend(core, progress, false);
      continue;
    }
    if (progress.state === "replicate" && progress.checkDue) {
      progress.checkDue = false;
      sendAppend(core, progress, true);
    }
    while (canSendEntries(core, progress)) sendAppend(core, progress, false);
    if (progress.state === "replicate" && progress.sentCommit < Math.min(core.log.commit, progress.next - 1)) {
      sendAppend(core, progress, true);
    }
  }
}

/** True when sendAppends has something to do. */
export function hasAppendsToSend(core: Core): boolean {
  for (const progress of core.progress) {
    if (progress.id === core.id || progress.state === "snapshot") continue;
    if (progress.state === "probe") {
      if (!progress.probeSent) return true;
      continue;
    }
    if (progress.checkDue || canSendEntries(core, progress)) return true;
    if (progress.sentCommit < Math.min(core.log.commit, progress.next - 1)) return true;
  }
  return false;
}

function canSendEntries(core: Core, progress: Progress): boolean {
  return progress.state === "replicate" && progress.next <= core.log.lastIndex && !progress.inflight.isFull;
}

function sendAppend(core: Core, progress: Progress, empty: boolean): void {
  const previousIndex = progress.next - 1;
  const previousTerm = core.log.term(previousIndex);
  const entries =
    empty || previousTerm === undefined
      ? []
      : core.log.slice(progress.next, core.log.lastIndex, core.options.maxSizePerMessage);
  const isPurged =
    previousTerm === undefined || (!empty && entries.length === 0 && progress.next <= core.log.lastIndex);
  if (isPurged) {
    progress.becomeSnapshot(core.log.snapshotMeta()?.index ?? core.log.applied);
    core.snapshotNeeded.push(progress.id);
    return;
  }
  const last = entries[entries.length - 1];
  const lastIndex = last === undefined ? previousIndex : last.index;
  if (progress.state === "probe") {
    progress.probeSent = true;
  } else if (last !== undefined) {
    let sizeBytes = 0;
    for (const entry of entries) sizeBytes += entrySizeBytes(entry);
    progress.inflight.add(lastIndex, sizeBytes);
    progress.next = lastIndex + 1;
  }
  progress.sentCommit = Math.max(progress.sentCommit, Math.min(core.log.commit, lastIndex));
  core.send({
    kind: "append",
    from: core.id,
    to: progress.id,
    term: core.term,
    previousIndex,
    previousTerm,
    commit: core.log.commit,
    entries,
  });
}

/** Follower, Raft figure 2 "AppendEntries": entries go in only behind an entry that both logs hold. */
export function handleAppend(core: Core, message: Append): void {
  followLeader(core, message.from);
  const { log } = core;
  const lastNew = message.previousIndex + message.entries.length;
  // What is committed here is in the leader's log (leader completeness), so it needs no comparison and is never cut.
  if (message.previousIndex >= log.commit && !log.matches(message.previousIndex, message.previousTerm)) {
    rejectAppend(core, message);
    return;
  }
  takeEntries(core, message);
  const verified = Math.max(lastNew, log.commit);
  core.verified = Math.max(core.verified, verified);
  log.commitTo(Math.min(message.commit, lastNew));
  const response: AppendResponse = {
    kind: "append-response",
    from: core.id,
    to: message.from,
    term: core.term,
    rejected: false,
    index: verified,
    hintIndex: 0,
    hintTerm: 0,
  };
  if (core.is("entries-acknowledged-before-durable")) core.messages.push(response);
  else core.sendAfterAppend(response);
}

/** Cuts at the first conflict only: a delayed short append must not take away what a later one brought. */
function takeEntries(core: Core, message: Append): void {
  const { log } = core;
  if (core.is("append-always-truncates") && message.previousIndex < log.lastIndex) {
    log.truncate(Math.max(message.previousIndex, log.commit) + 1);
  }
  for (const entry of message.entries) {
    if (entry.index <= log.commit) continue;
    if (entry.index <= log.lastIndex) {
      if (log.matches(entry.index, entry.term) || core.is("conflict-by-index-only")) continue;
      assert(entry.index > core.verified, `the leader of term ${core.term} contradicts itself at ${entry.index}`);
      log.truncate(entry.index);
    }
    log.push(entry);
  }
}

function rejectAppend(core: Core, message: Append): void {
  // The largest index at which the logs may agree: not after our end, and not of a term newer than the leader's there.
  const hintIndex = lastIndexUpToTerm(core, Math.min(message.previousIndex, core.log.lastIndex), message.previousTerm);
  core.send({
    kind: "append-response",
    from: core.id,
    to: message.from,
    term: core.term,
    rejected: true,
    index: message.previousIndex,
    hintIndex,
    hintTerm: core.log.term(hintIndex) ?? 0,
  });
}

/** The largest index at or below `index` whose term is at most `term`; stops where terms are not known. */
function lastIndexUpToTerm(core: Core, index: number, term: number): number {
  let at = index;
  for (;;) {
    const found = core.log.term(at);
    if (found === undefined || found <= term || at === 0) return at;
    at--;
  }
}

/** Leader: an answer of this term. */
export function handleAppendResponse(core: Core, message: AppendResponse): void {
  const progress = core.progressOf.get(message.from);
  if (progress === undefined || progress.id === core.id) return;
  progress.answeredAt = core.now;
  if (message.rejected) {
    handleRejection(core, progress, message);
    return;
  }
  if (message.index > core.log.lastIndex) return;
  const index = core.is("match-from-what-was-sent") ? Math.max(message.index, progress.next - 1) : message.index;
  const isNew = progress.acknowledge(index);
  if (progress.state === "probe") {
    if (isNew || progress.match === index) progress.becomeReplicate();
  } else if (progress.state === "replicate") {
    if (!core.is("inflight-leaked")) progress.inflight.freeTo(index);
  } else if (progress.match >= progress.pendingSnapshot) {
    progress.becomeReplicate();
  }
  if (!isNew) return;
  advanceCommit(core);
  finishTransfer(core, progress);
}

function handleRejection(core: Core, progress: Progress, message: AppendResponse): void {
  if (progress.state === "snapshot") return;
  if (progress.state === "replicate") {
    // At or below match it is late: that place has been acknowledged since.
    if (message.index > progress.match && message.index < progress.next) progress.becomeProbe();
    return;
  }
  // A probe has one question out; any other answer is late.
  if (progress.next - 1 !== message.index) return;
  const agree = lastIndexUpToTerm(core, Math.min(message.hintIndex, message.index - 1), message.hintTerm);
  progress.next = Math.max(agree, progress.match) + 1;
  // The same question again: it has lost what it acknowledged. Once a heartbeat is often enough for that.
  progress.probeSent = progress.next - 1 === message.index;
}

/**
 * Leader: commits what a quorum holds durably. Only an entry of its own term is counted (Raft §5.4.2, figure 8); what
 * is before it is committed with it.
 */
export function advanceCommit(core: Core): void {
  if (!core.isLeader) return;
  const counted = core.is("leader-counts-itself-before-durable") ? core.log.lastIndex : core.log.stable;
  const index = core.quorumOf((progress) => (progress.id === core.id ? counted : progress.match));
  if (!Number.isFinite(index) || index <= core.log.commit) return;
  if (core.log.term(index) !== core.term && !core.is("commit-old-term-by-counting")) return;
  assert(index <= core.log.lastIndex, `a quorum acknowledged ${index}, the log ends at ${core.log.lastIndex}`);
  const wasOwnTermCommitted = core.ownTermCommitted;
  core.log.commitTo(index);
  while (core.uncommitted.length > 0 && (core.uncommitted[0]?.index ?? 0) <= index) {
    core.uncommittedBytes -= core.uncommitted.shift()?.sizeBytes ?? 0;
  }
  // Reads that waited for this commit need a round of their own.
  if (!wasOwnTermCommitted && core.ownTermCommitted && core.reads.length > 0) core.readRoundDue = true;
}
