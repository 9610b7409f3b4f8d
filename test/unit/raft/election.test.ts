import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Message, VoteRequest } from "../../../src/raft/messages.ts";
import type { NodeSetup } from "../../support/raft/group.ts";
import { bytes, entry, id, membershipOf, TestBox, TestGroup } from "../../support/raft/group.ts";

const E = 600;

function request(fields: Partial<VoteRequest>): VoteRequest {
  const term = fields.term ?? 1;
  const preVote = fields.preVote ?? false;
  const electionTerm = preVote ? term + 1 : term;
  const base = { kind: "vote-request", from: id(2), to: id(1), lastIndex: 99, lastTerm: 99, transfer: false } as const;
  return { ...base, ...fields, term, preVote, electionTerm };
}

function heartbeat(term: number, promiseMs = E, round = 1): Message {
  return { kind: "heartbeat", from: id(3), to: id(1), term, round, commit: 0, commitTerm: 0, promiseMs };
}

function box(setup: NodeSetup = {}): TestBox {
  const made = new TestBox(1, [1, 2, 3], setup);
  made.node.tick(0);
  made.flush(0);
  return made;
}

function ask(made: TestBox, fields: Partial<VoteRequest>, now: number): { granted: boolean; sticky: boolean } {
  made.node.step(request(fields), now);
  const [answer] = made.flush(now).filter((m) => m.kind === "vote-response");
  if (answer?.kind !== "vote-response") throw new Error("no answer");
  return { granted: answer.granted, sticky: answer.sticky };
}

test("a pre-vote raises nobody's term and takes nobody's vote", () => {
  const made = box({ hardState: { term: 3 } });
  assert.ok(ask(made, { preVote: true, term: 6 }, 10).granted);
  assert.equal([made.node.status().term, made.node.status().vote], [3, ""]);
  assert.is(made.readies.filter((ready) => ready.hardState !== undefined).length, 0);
});

test("a box that is cut off asks for pre-votes for ever and comes back without deposing the leader", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  const term = leader.node.status().term;
  group.isolate(3);
  group.run(10_000);
  assert.is(group.box(3).node.status().role, "pre-candidate");
  assert.is(group.box(3).node.status().term, term);
  group.drop = () => false;
  group.run(2000);
  assert.equal([leader.node.status().role, leader.node.status().term], ["leader", term]);
  assert.is(group.box(3).node.status().leader, id(1));
});

test("who hears a leader refuses votes, says that it is for that reason, and keeps its term", () => {
  const made = box();
  made.node.step(heartbeat(2), 100);
  made.flush(100);
  assert.equal(ask(made, { term: 9 }, 100 + E - 1), { granted: false, sticky: true });
  assert.is(made.node.status().term, 2);
  assert.equal(ask(made, { term: 9 }, 100 + E), { granted: true, sticky: false });
});

test("the override of a transfer breaks stickiness", () => {
  const made = box();
  made.node.step(heartbeat(2), 100);
  made.flush(100);
  assert.ok(ask(made, { term: 3, transfer: true }, 150).granted);
});

test("after a restart a voter votes for nobody, itself included, for as long as it ever promised", () => {
  const made = box({ hardState: { term: 4, promiseMs: 5000 } });
  assert.equal(ask(made, { term: 5 }, 4999), { granted: false, sticky: true });
  assert.is(made.node.campaign(4999).kind, "refused");
  assert.ok(ask(made, { term: 5 }, 5000).granted);
});

test("the pump may shorten the quarantine by the uptime", () => {
  const made = box({ hardState: { term: 4, promiseMs: 5000 }, startupPromiseMs: 100 });
  assert.ok(ask(made, { term: 5 }, 100).granted);
});

test("a promise is kept across a change of roles and terms", () => {
  const made = box();
  made.node.step(heartbeat(2), 100);
  made.flush(100);
  made.node.step({ ...heartbeat(7, 0), from: id(2) }, 200);
  made.flush(200);
  assert.is(made.node.campaign(699).kind, "refused");
  assert.is(made.node.campaign(700).kind, "started");
});

test("an answer names its round and the promise; a larger one is durable before the answer leaves", () => {
  const made = box({ hardState: { promiseMs: 600 }, startupPromiseMs: 0 });
  made.node.step(heartbeat(1, 600, 7), 10);
  const first = made.node.ready();
  made.node.appended(first?.sequence ?? 0, 10);
  made.node.step(heartbeat(1, 600, 8), 20);
  const second = made.node.ready();
  assert.equal(
    second?.messages.map((m) => m.kind === "heartbeat-response" && [m.round, m.promiseMs]),
    [[8, 600]],
  );
  made.node.step(heartbeat(1, 900, 9), 30);
  const third = made.node.ready();
  assert.equal(third?.messages, []);
  assert.is(third?.hardState?.promiseMs, 900);
  assert.equal(
    third?.messagesAfterAppend.map((m) => m.kind === "heartbeat-response" && m.promiseMs),
    [900],
  );
});

test("who steps down keeps its own promise from that moment", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  const at = group.now;
  leader.node.step({ ...heartbeat(99, 0), from: id(2) }, at);
  assert.is(leader.node.campaign(at + E - 1).kind, "refused");
  assert.is(leader.node.campaign(at + E).kind, "started");
});

test("a leader that no quorum answers steps down within E", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  group.run(200);
  group.isolate(1);
  group.run(E + 20);
  assert.is.not(leader.node.status().role, "leader");
});

test("learners do not keep a leader in office, and are asked for no vote", () => {
  const group = new TestGroup([1, 2]);
  for (const number of [1, 2, 3]) {
    group.add(number, new TestBox(number, [], { membership: membershipOf([1, 2], [3]) }));
  }
  const seen: Message[] = [];
  group.drop = (message) => {
    seen.push(message);
    return false;
  };
  const leader = group.elect(1);
  assert.not(seen.some((message) => message.kind === "vote-request" && message.to === id(3)));
  assert.is(group.box(3).node.status().role, "learner");
  group.drop = (message) => message.from === id(2) || message.to === id(2);
  group.run(2 * E);
  assert.is.not(leader.node.status().role, "leader");
});

test("election time-outs are drawn anew for each attempt and differ between boxes", () => {
  const starts = new Set<number>();
  for (let seed = 1; seed <= 40; seed++) {
    const made = new TestBox(1, [1, 2, 3], { seed });
    made.node.tick(0);
    let now = 0;
    while (made.node.status().role !== "pre-candidate") {
      now += 5;
      made.node.tick(now);
    }
    starts.add(now);
    assert.ok(now >= 650 && now <= 1005);
  }
  assert.ok(starts.size > 20, `only ${starts.size} different time-outs`);
});

test("a round that is refused, and by nobody for stickiness, is retried after 20 to 150 ms", () => {
  const made = box({ options: { preVote: false } });
  made.node.campaign(1000);
  made.flush(1000);
  const refusal = {
    kind: "vote-response",
    to: id(1),
    term: 1,
    preVote: false,
    electionTerm: 1,
    granted: false,
  } as const;
  made.node.step({ ...refusal, from: id(2), sticky: false }, 1001);
  let now = 1001;
  while (made.node.status().term === 1 && now < 3000) {
    now += 5;
    made.node.tick(now);
  }
  assert.ok(now >= 1021 && now <= 1156, `retried after ${now - 1001} ms`);
});

test("a round that somebody refused because a leader lives is retried after a whole time-out", () => {
  const made = box({ options: { preVote: false } });
  made.node.campaign(1000);
  made.flush(1000);
  const refusal = {
    kind: "vote-response",
    to: id(1),
    term: 1,
    preVote: false,
    electionTerm: 1,
    granted: false,
  } as const;
  made.node.step({ ...refusal, from: id(2), sticky: false }, 1001);
  made.node.step({ ...refusal, from: id(3), sticky: true }, 1002);
  let now = 1002;
  while (made.node.status().term === 1 && now < 3000) {
    now += 5;
    made.node.tick(now);
  }
  assert.ok(now >= 1650, `retried after ${now - 1002} ms`);
});

test("a box that knows a committed change it has not applied does not stand", () => {
  const change = { ...entry(1, 2), kind: "membership" as const };
  const made = box({ entries: [entry(1, 1), change], hardState: { term: 1, commit: 2 }, applied: 2 });
  assert.is(made.node.campaign(5000).kind, "started");
  const behind = new TestBox(1, [1, 2, 3], {
    entries: [entry(1, 1), change],
    hardState: { term: 1, commit: 2 },
    applied: 1,
  });
  assert.match(JSON.stringify(behind.node.campaign(5000)), /not replayed/);
});

test("a box that was removed, or has not joined, does not stand", () => {
  const made = new TestBox(9, [1, 2, 3]);
  made.node.tick(0);
  assert.is(made.node.status().role, "learner");
  assert.match(JSON.stringify(made.node.campaign(5000)), /not a voter/);
});

test("a lonely voter leads at once, but not within the quarantine", () => {
  const solo = new TestGroup([1]);
  solo.run(20);
  assert.is(solo.leader()?.id, id(1));
  const again = new TestGroup([1], { hardState: { promiseMs: E } });
  again.run(E - 10);
  assert.is(again.leader(), undefined);
  again.run(40);
  assert.is(again.leader()?.id, id(1));
});

test("a leader's own no-op comes first, and what older terms left is committed with it", () => {
  const group = new TestGroup([1, 2, 3], { entries: [entry(1, 1, "old")], hardState: { term: 1 } });
  const leader = group.elect(2);
  assert.equal(
    leader.applied.map((e) => [e.index, e.term, e.data.length]),
    [
      [1, 1, 3],
      [2, leader.node.status().term, 0],
    ],
  );
  assert.ok(leader.node.status().ownTermCommitted);
});

test("a pause is not taken for a silent leader: the sockets are read first", () => {
  const group = new TestGroup([1, 2, 3]);
  group.elect(1);
  group.run(300);
  const sleeper = group.box(2);
  const late = group.now + 5000;
  sleeper.node.tick(late);
  assert.is(sleeper.node.status().role, "follower");
});

test("five boxes elect one leader after each loss of one, and nothing acknowledged is lost", () => {
  const group = new TestGroup([1, 2, 3, 4, 5]);
  group.run(2500);
  for (let round = 0; round < 4; round++) {
    const leader = group.leader();
    if (leader === undefined) throw new Error("no leader");
    leader.node.propose([bytes(`round ${round}`)], group.now);
    group.settle();
    group.isolate(Number.parseInt(leader.id, 16));
    group.run(3000);
    group.drop = () => false;
    group.run(1000);
  }
  const texts = [...group.boxes.values()].map((each) =>
    each.applied.filter((e) => e.data.length > 0).map((e) => new TextDecoder().decode(e.data)),
  );
  for (const text of texts) assert.equal(text, ["round 0", "round 1", "round 2", "round 3"]);
});

test.run();
