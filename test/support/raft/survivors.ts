import type { Mutation } from "./mutations.ts";

interface Survivors {
  readonly file: string;
  readonly why: string;
  /** Lines as they are; every change of them is meant, or only the one that makes it `after`. */
  readonly lines: readonly (string | { readonly before: string; readonly after: string })[];
}

/** Changes of the core that no test notices, with the reason why each is no mistake. */
const SURVIVORS: readonly Survivors[] = [
  {
    file: "core.ts",
    why: "set before it is read: at the first input, at a candidacy or at the start of a leadership",
    lines: [
      "sequence = 0;",
      "leaderHeardAt = 0;",
      "refused = false;",
      "ownVoteSequence = 0;",
      "heartbeatDue = 0;",
      "quorumCheckNotBefore = 0;",
      "ownTermFirstIndex = 0;",
      "pendingMembershipIndex = 0;",
      "uncommittedBytes = 0;",
      "leaderPromiseMs = 0;",
      "leaseReleased = false;",
      "transferDeadline = 0;",
    ],
  },
  {
    file: "core.ts",
    why: "the first synced write names the commit index once more",
    lines: ["this.syncedCommit = config.hardState.commit;"],
  },
  {
    file: "core.ts",
    why: "read on leaders only, who set it",
    lines: ["this.ownTermFirstIndex = 0;"],
  },
  {
    file: "core.ts",
    why: "made anew in the next line",
    lines: ["this.progress = [];"],
  },
  {
    file: "core.ts",
    why: "unreachable: each voter has its progress",
    lines: ["return progress === undefined ? 0 : measure(progress);"],
  },
  {
    file: "core.ts",
    why: "the planted mistake's own code",
    lines: ['if (this.is("quorum-off-by-one") && this.membership.voters.length > 2) {'],
  },
  {
    file: "log-view.ts",
    why: "nothing is asked of the reader, or found, then",
    lines: ["if (lo > last) return [];", { before: "if (lo < this.#first) {", after: "if (lo <= this.#first) {" }],
  },
  {
    file: "change.ts",
    why: "the role is the resting one either way; only the time-out is not drawn anew",
    lines: [
      {
        before: 'if (core.role === "candidate" || core.role === "pre-candidate") {',
        after: 'if (core.role === "candidate" && core.role === "pre-candidate") {',
      },
    ],
  },
  {
    file: "log-view.ts",
    why: "short cuts: nothing moves, or is counted, then; counting once more gives the same",
    lines: [
      { before: "if (index <= this.#commit) return;", after: "if (index < this.#commit) return;" },
      { before: "if (this.#submitted === this.#last) return [];", after: "" },
      { before: "if (stable === this.#stable) return false;", after: "if (stable === this.#stable) return true;" },
      { before: "if (stable === this.#stable) return false;", after: "" },
    ],
  },
  {
    file: "log-view.ts",
    why: "a cut at the first entry in memory empties it either way",
    lines: [{ before: "if (index >= this.#first) {", after: "if (index > this.#first) {" }],
  },
  {
    file: "progress.ts",
    why: "an old acknowledgement again counts the same quorum again; next is behind what was sent already",
    lines: [
      { before: "const isNew = index > this.match;", after: "const isNew = index >= this.match;" },
      {
        before: "if (this.next <= index) this.next = index + 1;",
        after: "if (this.next < index) this.next = index + 1;",
      },
    ],
  },
  {
    file: "log-view.ts",
    why: "held or not, a log that ends with the snapshot ends there; one entry more in memory, or the same one way or other",
    lines: [
      { before: "if (index > this.#last) return false;", after: "if (index >= this.#last) return false;" },
      "if (count <= 0) return;",
      "if (count >= this.#recent.length) this.#recent = [];",
    ],
  },
  {
    file: "log-view.ts",
    why: "the size only grows, so nothing behind it fits",
    lines: [
      {
        before: "if (size > maxBytes && result.length > 0) break;",
        after: "if (size > maxBytes && result.length > 0) continue;",
      },
    ],
  },
  {
    file: "log-view.ts",
    why: "what is dropped from memory afterwards moves it to the right place; one byte more is a byte",
    lines: [
      { before: "this.#first = meta.index + 1;", after: "this.#first = meta.index;" },
      { before: "this.#applyingBytes = 0;", after: "this.#applyingBytes = 1;" },
    ],
  },
  {
    file: "log-view.ts",
    why: "memory is dropped by the next hand-out or the next end of a write",
    lines: [{ before: "this.#forget();", after: "" }],
  },
  {
    file: "log-view.ts",
    why: "one byte more a Ready, freed with it",
    lines: [{ before: "let sizeBytes = 0;", after: "let sizeBytes = 1;" }],
  },
  {
    file: "log-view.ts",
    why: "an assertion's edge: nobody says the same index twice",
    lines: [
      {
        before: `assert(index >= this.#applied && index <= this.#offered, \`applied \${index}: \${this.#offered} was handed out\`);`,
        after: `assert(index > this.#applied && index <= this.#offered, \`applied \${index}: \${this.#offered} was handed out\`);`,
      },
    ],
  },
  {
    file: "progress.ts",
    why: "a lost message is looked for one heartbeat earlier than need be, at most",
    lines: ["this.matchAtHeartbeat = -1;"],
  },
  {
    file: "node.ts",
    why: "the first tick is no pause, of 0 ms or 1; the same promise is stored once more; nothing to apply is applied",
    lines: [
      "const elapsed = core.now < 0 ? 0 : now - core.now;",
      "if (timings.promiseMs > core.promiseMs) {",
      {
        before: "if (core.log.offered > core.log.applied) applied(core.log.offered, now);",
        after: "if (core.log.offered >= core.log.applied) applied(core.log.offered, now);",
      },
    ],
  },
  {
    file: "node.ts",
    why: "entries up to a snapshot are not applied any more in this process; the next one is told where the record stands",
    lines: ["core.membershipIndex = Math.max(core.membershipIndex, meta.index);"],
  },
  {
    file: "node.ts",
    why: "nothing is drawn earlier than the first input draws it again",
    lines: [
      {
        before: "else if (core.electionDeadline < Number.POSITIVE_INFINITY) core.drawElectionDeadline();",
        after: "else if (core.electionDeadline <= Number.POSITIVE_INFINITY) core.drawElectionDeadline();",
      },
    ],
  },
  {
    file: "node.ts",
    why: "the leader is noted a moment later, by the handler of its message",
    lines: ['const isFromLeader = message.kind === "append" || message.kind === "heartbeat";'],
  },
  {
    file: "progress.ts",
    why: "read only in the state that sets it; one empty append more at most",
    lines: ["this.pendingSnapshot = 0;", "this.checkDue = false;"],
  },
  {
    file: "progress.ts",
    why: "whoever makes one says it again",
    lines: ["this.learner = learner;"],
  },
  {
    file: "log-view.ts",
    why: "does not compile: it would have no value",
    lines: [{ before: "this.#submitted = this.#last;", after: "" }],
  },
  {
    file: "log-view.ts",
    why: "one term more is remembered than is asked for; a last entry that goes or stays ends the log at the same place",
    lines: [
      { before: "this.#tailFirst = this.#commit + 1;", after: "this.#tailFirst = this.#commit;" },
      {
        before:
          "for (let index = this.#tailFirst; index <= this.#last; index++) this.#tailTerms.push(reader.term(index) ?? -1);",
        after:
          "for (let index = this.#tailFirst; index < this.#last; index++) this.#tailTerms.push(reader.term(index) ?? -1);",
      },
    ],
  },
  {
    file: "replication.ts",
    why: "short cuts: what is not of the own term, or is committed, changes nothing further down",
    lines: ["if (!core.isLeader) return;", "if (!Number.isFinite(index) || index <= core.log.commit) return;"],
  },
  {
    file: "replication.ts",
    why: "an assertion of what its callers have seen to, or a value that is never missing",
    lines: [
      `assert(index <= core.log.lastIndex, \`a quorum acknowledged \${index}, the log ends at \${core.log.lastIndex}\`);`,
      {
        before: "while (core.uncommitted.length > 0 && (core.uncommitted[0]?.index ?? 0) <= index) {",
        after: "while (core.uncommitted.length > 0 && (core.uncommitted[0]?.index ?? 1) <= index) {",
      },
      {
        before: "core.uncommittedBytes -= core.uncommitted.shift()?.sizeBytes ?? 0;",
        after: "core.uncommittedBytes -= core.uncommitted.shift()?.sizeBytes ?? 1;",
      },
    ],
  },
  {
    file: "core.ts",
    why: "a leader promises for longer than it need, at most; leaderships with another E are rare",
    lines: ["this.leaderPromiseMs = 0;"],
  },
  {
    file: "core.ts",
    why: "a promise of 0 ms ends when it begins",
    lines: [
      {
        before:
          'if (this.isLeader && !this.leaseReleased && this.leaderPromiseMs > 0 && !this.is("vote-within-promise")) {',
        after:
          'if (this.isLeader && !this.leaseReleased && this.leaderPromiseMs >= 0 && !this.is("vote-within-promise")) {',
      },
    ],
  },
  {
    file: "core.ts",
    why: "a round of votes clears them when it begins",
    lines: ["this.votes.clear();"],
  },
  {
    file: "election.ts",
    why: "unreachable: what is after applied is never purged; a refusal is the safe side",
    lines: ["if (last === undefined) return true;"],
  },
  {
    file: "election.ts",
    why: "counting one's own vote again gives the same count",
    lines: ["core.ownVoteSequence = -1;"],
  },
  {
    file: "election.ts",
    why: "for boxes that are no voters: they would ask at each tick, and be refused",
    lines: ["core.drawElectionDeadline();"],
  },
  {
    file: "election.ts",
    why: "whoever wins has been a follower before, which cleared the same; here once more, to be read in one place",
    lines: ["core.endLeadership();"],
  },
  {
    file: "election.ts",
    why: "the planted mistake's own code",
    lines: [
      'if (core.is("pre-vote-raises-the-term") && message.preVote && message.electionTerm > core.term) {',
      "core.becomeFollower(message.electionTerm, NOBODY);",
      'if (!core.is("duplicate-vote-counted-twice") || !message.granted) return;',
      "if (core.votes.has(id)) continue;",
      "core.votes.set(id, true);",
      "break;",
    ],
  },
  {
    file: "inflight.ts",
    why: "a ring may begin anywhere",
    lines: ["#head = 0;", "this.#head = 0;"],
  },
  {
    file: "inflight.ts",
    why: "an empty one holds 0 bytes, and a limit below 1 byte is refused (options.ts)",
    lines: [
      {
        before: "return this.#count === this.#indexes.length || (this.#count > 0 && this.#bytes >= this.#bytesMax);",
        after: "return this.#count === this.#indexes.length || (this.#count >= 0 && this.#bytes >= this.#bytesMax);",
      },
    ],
  },
  {
    file: "quorum.ts",
    why: "short cuts: the long way gives the same",
    lines: [
      "if (count === 1) return measure(voters[0] as RaftId);",
      "if (membership.votersOutgoing.length === 0) return incoming;",
    ],
  },
  {
    file: "quorum.ts",
    why: "nobody's value sorts behind all that count; equal values may stand in any order",
    lines: [
      { before: "for (let i = 0; i < count; i++) {", after: "for (let i = 0; i <= count; i++) {" },
      "while (at > 0 && (sorted[at - 1] as number) < value) {",
    ],
  },
  {
    file: "heartbeat.ts",
    why: "the planted mistake's own code",
    lines: ['return core.is("mixed-promises-counted") ? Math.max(askedMs, promiseMs) : promiseMs;'],
  },
  {
    file: "reads.ts",
    why: "the index is taken when the round leaves",
    lines: ["core.reads.push({ from, context, index: 0, round: 0 });"],
  },
  {
    file: "reads.ts",
    why: "with nothing waiting, or nothing confirmed, nothing is done; reads stand in the order of their rounds",
    lines: [
      "if (core.reads.length === 0) return;",
      "if (read.round === 0 || read.round > confirmed) break;",
      "if (done > 0) core.reads.splice(0, done);",
    ],
  },
  {
    file: "change.ts",
    why: "a process applies each index once, and a change that was applied does not fit a second time",
    lines: ["if (index <= core.membershipIndex) return core.membership;", "core.membershipIndex = index;"],
  },
  {
    file: "membership.ts",
    why: "no two members have one id",
    lines: ["members: [...draft.members.values()].sort((a, b) => (a.raftId < b.raftId ? -1 : 1)),"],
  },
  {
    file: "replication.ts",
    why: "unreachable: with the previous entry's term known the next entry is there; a snapshot is the safe side",
    lines: [
      {
        before:
          "previousTerm === undefined || (!empty && entries.length === 0 && progress.next <= core.log.lastIndex);",
        after: "previousTerm === undefined || (!empty && entries.length === 0 && progress.next < core.log.lastIndex);",
      },
    ],
  },
  {
    file: "replication.ts",
    why: "unreachable: a follower's log begins with what is committed, which no leader's term is below",
    lines: ["hintTerm: core.log.term(hintIndex) ?? 0,"],
  },
  {
    file: "replication.ts",
    why: "the planted mistake's own code",
    lines: [
      'if (core.is("append-always-truncates") && message.previousIndex < log.lastIndex) {',
      "log.truncate(Math.max(message.previousIndex, log.commit) + 1);",
      'const index = core.is("match-from-what-was-sent") ? Math.max(message.index, progress.next - 1) : message.index;',
    ],
  },
];

export function explanationOf(file: string, mutation: Mutation): string | undefined {
  return SURVIVORS.find((each) => each.file === file && each.lines.some((line) => isMeant(line, mutation)))?.why;
}

function isMeant(line: Survivors["lines"][number], { before, after }: Mutation): boolean {
  return typeof line === "string" ? line === before : line.before === before && line.after === after;
}
