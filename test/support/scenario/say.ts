import { isJoint } from "../../../src/raft/membership.ts";
import { decodeMembershipChange } from "../../../src/raft/membership-codec.ts";
import type { Message } from "../../../src/raft/messages.ts";
import type {
  HardState,
  LogEntry,
  Membership,
  MembershipChange,
  ProgressStatus,
  RaftId,
  Status,
} from "../../../src/raft/types.ts";
import { NOBODY } from "../../../src/raft/types.ts";

/** The number by which stories call a box; `-` is nobody. */
export function numberOf(id: RaftId): string {
  return id === NOBODY ? "-" : String(Number.parseInt(id, 16));
}

const numbers = (ids: readonly RaftId[]): string => ids.map(numberOf).join(" ") || "-";

/** `3@2 x`: index 3 of term 2 with the text x; `.` is a no-op. */
export function sayEntry(entry: LogEntry): string {
  return `${entry.index}@${entry.term} ${sayData(entry)}`;
}

/** What an entry holds, or `.` for a no-op. */
export function sayData(entry: LogEntry): string {
  if (entry.kind === "membership") return `[${sayChange(decodeMembershipChange(entry.data))}]`;
  if (entry.data.length > 40) return `(${entry.data.length} bytes)`;
  return entry.data.length === 0 ? "." : new TextDecoder().decode(entry.data);
}

export function sayEntries(entries: readonly LogEntry[]): string {
  return entries.map(sayEntry).join(", ") || "nothing";
}

export function sayChange(change: MembershipChange): string {
  if (change.kind === "leave-joint") return "leave";
  const steps = change.steps.map((step) => {
    const id = "member" in step ? step.member.raftId : step.raftId;
    return `${step.kind} ${numberOf(id)}`;
  });
  const kind = change.kind === "simple" ? "" : change.autoLeave ? "joint-auto " : "joint ";
  return kind + steps.join(", ");
}

export function sayMembership(membership: Membership): string {
  const outgoing = isJoint(membership) ? ` and ${numbers(membership.votersOutgoing)}` : "";
  const learners = membership.learners.length > 0 ? `, learners ${numbers(membership.learners)}` : "";
  const next = membership.learnersNext.length > 0 ? `, then learners ${numbers(membership.learnersNext)}` : "";
  return `voters ${numbers(membership.voters)}${outgoing}${learners}${next}`;
}

export function sayHardState(hard: HardState): string {
  return `term ${hard.term} vote ${numberOf(hard.vote)} promise ${hard.promiseMs} commit ${hard.commit}`;
}

/** `1>2 t3 …`: from, to, the sender's term, and what it says. */
export function sayMessage(message: Message): string {
  return `${numberOf(message.from)}>${numberOf(message.to)} t${message.term} ${sayBody(message)}`;
}

function sayBody(message: Message): string {
  switch (message.kind) {
    case "vote-request": {
      const what = `for term ${message.electionTerm}, log ends ${message.lastIndex}@${message.lastTerm}`;
      return `${message.preVote ? "pre-vote" : "vote"}? ${what}${message.transfer ? ", by transfer" : ""}`;
    }
    case "vote-response": {
      const answer = message.granted ? "yes" : message.sticky ? "no, sticky" : "no";
      return `${message.preVote ? "pre-vote" : "vote"} for term ${message.electionTerm}: ${answer}`;
    }
    case "append": {
      const after = `after ${message.previousIndex}@${message.previousTerm}`;
      return `append ${after}: ${sayEntries(message.entries)}; commit ${message.commit}`;
    }
    case "append-response":
      if (!message.rejected) return `holds ${message.index}`;
      return `does not fit ${message.index}, try ${message.hintIndex}@${message.hintTerm}`;
    case "heartbeat": {
      const { round, commit, commitTerm, promiseMs } = message;
      return `heartbeat round ${round}, commit ${commit}@${commitTerm}, promise ${promiseMs}`;
    }
    case "heartbeat-response":
      return `heard round ${message.round}, promise ${message.promiseMs}`;
    case "timeout-now":
      return "stand now";
    case "read-index-request":
      return `read? ${message.context}`;
    case "read-index-response":
      return message.index === 0 ? `read ${message.context}: refused` : `read ${message.context}: at ${message.index}`;
  }
}

export function sayStatus(status: Status): string {
  const { role, term, vote, leader, commit, applied, lastIndex, lastTerm, stableIndex, verified } = status;
  const stable = stableIndex === lastIndex ? "" : ` stable ${stableIndex}`;
  const log = `log ${lastIndex}@${lastTerm}${stable}`;
  return `${role} term ${term} vote ${numberOf(vote)} leader ${numberOf(leader)} commit ${commit} applied ${applied} ${log} verified ${verified}`;
}

export function sayProgress(progress: ProgressStatus): string {
  const { id, state, match, next, paused, inflight, inflightBytes, learner } = progress;
  const flags = `${paused ? " paused" : ""}${learner ? " learner" : ""}`;
  return `${numberOf(id)}: ${state} match ${match} next ${next} in flight ${inflight} (${inflightBytes} bytes)${flags}`;
}
