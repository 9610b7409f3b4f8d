import type { Core } from "./core.ts";
import type { ReadIndexRequest, ReadIndexResponse } from "./messages.ts";
import type { RaftId, ReadIndexResult } from "./types.ts";
import { NOBODY } from "./types.ts";

/** Reads that may wait at a time; more are refused. They share rounds, so the number costs memory only. */
const READS_MAX = 4096;

/**
 * Read index (thesis §6.4): a read may be served at the commit index of a leader that was still the leader afterwards.
 * All reads that arrive between two Readys share one heartbeat round. Followers ask their leader.
 */
export function requestRead(core: Core, context: number): ReadIndexResult {
  if (core.isLeader) {
    return addRead(core, core.id, context) ? { kind: "started" } : { kind: "refused", why: "too many reads wait" };
  }
  if (core.leader === NOBODY) return { kind: "refused", why: "no leader is known" };
  core.send({ kind: "read-index-request", from: core.id, to: core.leader, term: core.term, context });
  return { kind: "started" };
}

export function handleReadIndexRequest(core: Core, message: ReadIndexRequest): void {
  if (core.isLeader && addRead(core, message.from, message.context)) return;
  answer(core, message.from, message.context, 0);
}

export function handleReadIndexResponse(core: Core, message: ReadIndexResponse): void {
  if (message.index > 0) core.readStates.push({ context: message.context, index: message.index });
}

function addRead(core: Core, from: RaftId, context: number): boolean {
  if (core.reads.length >= READS_MAX) return false;
  if (core.is("read-index-without-quorum") && (core.ownTermCommitted || core.is("read-index-before-own-term"))) {
    answer(core, from, context, core.log.commit);
    return true;
  }
  core.reads.push({ from, context, index: 0, round: 0 });
  core.readRoundDue = true;
  return true;
}

/**
 * A round is about to leave: the reads that wait ride on it. Before an entry of the leader's own term is committed its
 * commit index may be behind one that was acknowledged, so reads wait for that.
 */
export function startReads(core: Core): void {
  core.readRoundDue = false;
  if (!core.ownTermCommitted && !core.is("read-index-before-own-term")) return;
  for (const read of core.reads) {
    if (read.round !== 0) continue;
    read.round = core.round;
    read.index = core.log.commit;
  }
}

/** The membership changed: rounds under way count in neither configuration, so the reads ride on a new one. */
export function restartReads(core: Core): void {
  if (core.reads.length === 0) return;
  for (const read of core.reads) read.round = 0;
  core.readRoundDue = true;
}

/** Answers the reads whose round a quorum has answered. Reads are in the order of their rounds. */
export function confirmReads(core: Core): void {
  if (core.reads.length === 0) return;
  const confirmed = core.quorumOf((progress) => progress.round);
  let done = 0;
  for (const read of core.reads) {
    if (read.round === 0 || read.round > confirmed) break;
    answer(core, read.from, read.context, read.index);
    done++;
  }
  if (done > 0) core.reads.splice(0, done);
}

function answer(core: Core, to: RaftId, context: number, index: number): void {
  if (to === core.id) {
    core.readStates.push({ context, index });
    return;
  }
  core.send({ kind: "read-index-response", from: core.id, to, term: core.term, context, index });
}
