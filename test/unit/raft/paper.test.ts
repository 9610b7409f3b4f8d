/** One test for each sentence of the Raft paper's figure 2 that applies to a core without remote procedure calls. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Append, AppendResponse, Message, VoteRequest, VoteResponse } from "../../../src/raft/messages.ts";
import type { NodeSetup } from "../../support/raft/group.ts";
import { bytes, entry, id, TestBox, TestGroup } from "../../support/raft/group.ts";

const NOW = 10_000;

/** Box 1 of three, started long ago, without pre-vote so that elections are the paper's. */
function follower(setup: NodeSetup = {}): TestBox {
  const box = new TestBox(1, [1, 2, 3], {
    ...setup,
    options: { preVote: false, checkQuorum: false, ...setup.options },
  });
  box.node.tick(0);
  box.flush(0);
  return box;
}

function append(fields: Partial<Append>): Append {
  return {
    kind: "append",
    from: id(2),
    to: id(1),
    term: 1,
    previousIndex: 0,
    previousTerm: 0,
    commit: 0,
    entries: [],
    ...fields,
  };
}

function voteRequest(fields: Partial<VoteRequest>): VoteRequest {
  const term = fields.term ?? 1;
  return {
    kind: "vote-request",
    from: id(2),
    to: id(1),
    term,
    preVote: false,
    electionTerm: term,
    lastIndex: 0,
    lastTerm: 0,
    transfer: false,
    ...fields,
  };
}

function step(box: TestBox, message: Message, now = NOW): Message[] {
  box.node.step(message, now);
  return box.flush(now);
}

function one<K extends Message["kind"]>(messages: readonly Message[], kind: K): Extract<Message, { kind: K }> {
  const found = messages.filter((message): message is Extract<Message, { kind: K }> => message.kind === kind);
  const first = found[0];
  if (found.length !== 1 || first === undefined) throw new Error(`${found.length} messages of kind ${kind}`);
  return first;
}

const answered = (messages: readonly Message[]): AppendResponse => one(messages, "append-response");
const voted = (messages: readonly Message[]): VoteResponse => one(messages, "vote-response");

/** Box 1 as the leader of term 1 with its no-op (index 1) sent to boxes 2 and 3. */
function leader(setup: NodeSetup = {}): TestBox {
  const box = follower(setup);
  const { term } = box.node.status();
  box.node.campaign(NOW);
  box.flush(NOW);
  const vote = { kind: "vote-response", from: id(2), to: id(1), term: term + 1, preVote: false } as const;
  box.node.step({ ...vote, electionTerm: term + 1, granted: true, sticky: false }, NOW);
  return box;
}

const ack = (from: number, term: number, index: number): AppendResponse => {
  return {
    kind: "append-response",
    from: id(from),
    to: id(1),
    term,
    rejected: false,
    index,
    hintIndex: 0,
    hintTerm: 0,
  };
};

// Persistent state.

test("term, vote and entries are in the Ready, to be synced before the answers to the other boxes", () => {
  const box = follower();
  box.node.step(voteRequest({ term: 3 }), NOW);
  const ready = box.node.ready();
  assert.equal(ready?.hardState, { term: 3, vote: id(2), promiseMs: 0, commit: 0 });
  assert.ok(ready?.mustSync);
  assert.equal(ready?.messages, []);
  assert.is(ready?.messagesAfterAppend.length, 1);
});

// AppendEntries.

test("an append of an older term is refused with the newer term", () => {
  const box = follower({ hardState: { term: 5 } });
  const answer = answered(step(box, append({ term: 4 })));
  assert.ok(answer.rejected);
  assert.is(answer.term, 5);
});

test("an append is refused when the log has no entry at its previous index with its previous term", () => {
  const box = follower({ entries: [entry(1, 1), entry(1, 2)] });
  assert.ok(answered(step(box, append({ term: 3, previousIndex: 5, previousTerm: 1 }))).rejected);
  assert.ok(answered(step(box, append({ term: 3, previousIndex: 2, previousTerm: 2 }))).rejected);
  assert.not(answered(step(box, append({ term: 3, previousIndex: 2, previousTerm: 1 }))).rejected);
});

test("an entry that conflicts with a new one goes, and all that follow it", () => {
  const box = follower({ entries: [entry(1, 1), entry(1, 2), entry(1, 3)] });
  const answer = answered(step(box, append({ term: 2, previousIndex: 1, previousTerm: 1, entries: [entry(2, 2)] })));
  assert.equal([answer.rejected, answer.index, answer.hintIndex, answer.hintTerm], [false, 2, 0, 0]);
  assert.equal(
    box.log.all.map((e) => e.term),
    [1, 2],
  );
});

test("entries that are in the log already stay, and so does what follows them", () => {
  const box = follower({ entries: [entry(1, 1), entry(1, 2), entry(1, 3)] });
  step(box, append({ term: 2, previousIndex: 0, previousTerm: 0, entries: [entry(1, 1)] }));
  assert.is(box.log.lastIndex(), 3);
});

test("new entries are appended, and acknowledged only when they are durable", () => {
  const box = follower();
  box.node.step(append({ entries: [entry(1, 1, "a"), entry(1, 2, "b")] }), NOW);
  const ready = box.node.ready();
  assert.equal(
    ready?.entries.map((e) => e.index),
    [1, 2],
  );
  assert.equal(ready?.messages, []);
  assert.is(ready?.messagesAfterAppend[0]?.kind, "append-response");
});

test("a follower commits up to the leader's commit, but not beyond the last entry that this append verified", () => {
  const box = follower({ entries: [entry(1, 1), entry(1, 2), entry(1, 3)] });
  step(box, append({ term: 2, previousIndex: 1, previousTerm: 1, commit: 3 }));
  assert.is(box.node.status().commit, 1);
  step(box, append({ term: 2, previousIndex: 1, previousTerm: 1, commit: 2, entries: [entry(1, 2), entry(1, 3)] }));
  assert.is(box.node.status().commit, 2);
});

// RequestVote.

test("a vote is refused to an older term", () => {
  const box = follower({ hardState: { term: 5 } });
  const answer = voted(step(box, voteRequest({ term: 4 })));
  assert.not(answer.granted);
  assert.is(answer.term, 5);
});

test("one vote a term: the second candidate is refused, the first is told again, also after a restart", () => {
  const box = follower();
  assert.ok(voted(step(box, voteRequest({ term: 2 }))).granted);
  assert.not(voted(step(box, voteRequest({ term: 2, from: id(3) }))).granted);
  assert.ok(voted(step(box, voteRequest({ term: 2 }))).granted);
  const again = follower({ hardState: box.hardState });
  assert.not(voted(step(again, voteRequest({ term: 2, from: id(3) }))).granted);
  assert.ok(voted(step(again, voteRequest({ term: 2 }))).granted);
});

test("a vote is refused to a log that is less up to date, by term first and then by index", () => {
  const entries = [entry(1, 1), entry(2, 2)];
  const ask = (lastTerm: number, lastIndex: number): boolean =>
    voted(step(follower({ entries }), voteRequest({ term: 9, lastTerm, lastIndex }))).granted;
  assert.not(ask(1, 9));
  assert.not(ask(2, 1));
  assert.ok(ask(2, 2));
  assert.ok(ask(3, 1));
});

// Rules for all.

test("committed entries are handed out in order, each once", () => {
  const box = follower();
  step(box, append({ entries: [entry(1, 1, "a"), entry(1, 2, "b")], commit: 1 }));
  step(box, append({ previousIndex: 2, previousTerm: 1, commit: 2 }));
  assert.equal(
    box.applied.map((e) => e.index),
    [1, 2],
  );
});

test("a newer term in any message makes a follower of everybody", () => {
  const box = leader();
  assert.is(box.node.status().role, "leader");
  step(box, { ...ack(2, 7, 1), rejected: true });
  assert.equal([box.node.status().role, box.node.status().term], ["follower", 7]);
});

// Followers.

test("a follower that hears neither leader nor candidate for an election time-out becomes a candidate", () => {
  const box = follower();
  box.node.tick(649);
  box.flush(649);
  assert.is(box.node.status().role, "follower");
  box.node.tick(1001);
  box.flush(1001);
  // A tick that comes after a pause gives the sockets a moment first.
  box.node.tick(1160);
  box.flush(1160);
  assert.is(box.node.status().role, "candidate");
});

// Candidates.

test("a candidate raises its term, votes for itself and asks all others, and a vote of its own waits for the disk", () => {
  const box = follower({ hardState: { term: 4 } });
  box.node.campaign(NOW);
  const ready = box.node.ready();
  assert.equal(ready?.hardState, { term: 5, vote: id(1), promiseMs: 600, commit: 0 });
  assert.equal(ready?.messages, []);
  assert.equal(
    ready?.messagesAfterAppend.map((m) => [m.kind, m.to]),
    [
      ["vote-request", id(2)],
      ["vote-request", id(3)],
    ],
  );
});

test("a candidate with the votes of a majority leads, and not before its own vote is durable", () => {
  const box = follower();
  box.node.campaign(NOW);
  const ready = box.node.ready();
  const vote = { kind: "vote-response", to: id(1), term: 1, preVote: false, electionTerm: 1, granted: true } as const;
  box.node.step({ ...vote, from: id(2), sticky: false }, NOW);
  assert.is(box.node.status().role, "candidate");
  box.node.appended(ready?.sequence ?? 0, NOW);
  assert.is(box.node.status().role, "leader");
});

test("the same vote twice is one vote", () => {
  const box = new TestBox(1, [1, 2, 3, 4, 5], { options: { preVote: false } });
  box.node.tick(0);
  box.node.campaign(NOW);
  box.flush(NOW);
  const vote = { kind: "vote-response", to: id(1), term: 1, preVote: false, electionTerm: 1, granted: true } as const;
  for (let i = 0; i < 3; i++) box.node.step({ ...vote, from: id(2), sticky: false }, NOW);
  assert.is(box.node.status().role, "candidate");
  box.node.step({ ...vote, from: id(3), sticky: false }, NOW);
  assert.is(box.node.status().role, "leader");
});

test("a vote for another election does not count", () => {
  const box = follower();
  box.node.campaign(NOW);
  box.flush(NOW);
  const vote = { kind: "vote-response", from: id(2), to: id(1), term: 1, preVote: false, granted: true } as const;
  box.node.step({ ...vote, electionTerm: 0, sticky: false }, NOW);
  assert.is(box.node.status().role, "candidate");
});

test("a candidate that hears the leader of its term follows it", () => {
  const box = follower();
  box.node.campaign(NOW);
  box.flush(NOW);
  step(box, append({ term: 1 }));
  assert.equal([box.node.status().role, box.node.status().leader], ["follower", id(2)]);
});

test("a candidate whose time-out passes starts a new election in a new term", () => {
  const box = follower();
  box.node.campaign(NOW);
  box.flush(NOW);
  for (let now = NOW; now <= NOW + 1000; now += 10) box.node.tick(now);
  assert.equal([box.node.status().role, box.node.status().term], ["candidate", 2]);
});

// Leaders.

test("a new leader sends heartbeats at once and again before followers time out", () => {
  const box = leader();
  const first = box.flush(NOW).filter((m) => m.kind === "heartbeat");
  assert.equal(
    first.map((m) => m.to),
    [id(2), id(3)],
  );
  box.node.tick(NOW + 100);
  assert.is(box.flush(NOW + 100).filter((m) => m.kind === "heartbeat").length, 2);
});

test("a leader takes an entry into its log and answers nothing until it is committed and applied", () => {
  const group = new TestGroup([1, 2, 3]);
  const first = group.elect(1);
  const result = first.node.propose([bytes("x")], group.now);
  assert.equal(result, { kind: "accepted", firstIndex: 2, term: first.node.status().term });
  assert.is(first.applied.length, 1);
  group.settle();
  assert.is(first.applied.length, 2);
});

test("a leader sends a follower what it lacks, from its next index on", () => {
  const box = leader({ entries: [entry(1, 1)], hardState: { term: 1 } });
  const sent = box.flush(NOW).filter((m): m is Append => m.kind === "append");
  assert.equal(
    sent.map((m) => [m.to, m.previousIndex, m.previousTerm, m.entries.length]),
    [
      [id(2), 1, 1, 1],
      [id(3), 1, 1, 1],
    ],
  );
});

test("an acknowledgement moves match and next", () => {
  const box = leader();
  box.flush(NOW);
  step(box, ack(2, 1, 1));
  const [second] = box.node.status().progress;
  assert.equal([second?.match, second?.next, second?.state], [1, 2, "replicate"]);
});

test("a rejection moves next back to where the logs may agree, and asks again", () => {
  const box = leader({ entries: [1, 1, 1, 2, 2, 2].map((term, i) => entry(term, i + 1)), hardState: { term: 2 } });
  box.flush(NOW);
  const rejection = { ...ack(2, 3, 6), rejected: true, hintIndex: 5, hintTerm: 1 };
  const again = step(box, rejection).filter((m): m is Append => m.kind === "append");
  assert.equal(
    again.map((m) => [m.previousIndex, m.previousTerm]),
    [[3, 1]],
  );
});

test("a leader commits what a majority holds durably, itself included only when its own disk has it", () => {
  const box = new TestBox(1, [1, 2, 3, 4, 5], { options: { preVote: false } });
  box.node.tick(0);
  box.node.campaign(NOW);
  box.flush(NOW);
  const vote = { kind: "vote-response", to: id(1), term: 1, preVote: false, electionTerm: 1, granted: true } as const;
  for (const from of [2, 3]) box.node.step({ ...vote, from: id(from), sticky: false }, NOW);
  const ready = box.node.ready();
  for (const from of [2, 3]) box.node.step(ack(from, 1, 1), NOW);
  assert.is(box.node.status().commit, 0);
  box.log.write(ready?.entries ?? []);
  box.node.appended(ready?.sequence ?? 0, NOW);
  assert.is(box.node.status().commit, 1);
});

test("a leader never commits an older term's entry by counting, only behind one of its own (figure 8)", () => {
  const box = leader({ entries: [entry(1, 1), entry(2, 2)], hardState: { term: 3 } });
  box.flush(NOW);
  step(box, ack(2, 4, 2));
  assert.is(box.node.status().commit, 0);
  step(box, ack(2, 4, 3));
  assert.is(box.node.status().commit, 3);
});

test("an acknowledgement of an older term counts for nothing", () => {
  const box = leader({ hardState: { term: 3 } });
  box.flush(NOW);
  step(box, ack(2, 3, 1));
  assert.is(box.node.status().commit, 0);
});

test.run();
