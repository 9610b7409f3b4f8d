import { test } from "uvu";
import * as assert from "uvu/assert";
import { EMPTY_MEMBERSHIP, foundingChange } from "../../../src/raft/membership.ts";
import { encodeMembershipChange } from "../../../src/raft/membership-codec.ts";
import { FAST_TIMINGS, tickTimings } from "../../../src/raft/options.ts";
import type { MembershipChange, MembershipStep } from "../../../src/raft/types.ts";
import { bytes, id, member, membershipOf, TestBox, TestGroup } from "../../support/raft/group.ts";

const E = 600;
const simple = (...steps: MembershipStep[]): MembershipChange => ({ kind: "simple", steps });

// Rounds.

test("all heartbeats of a broadcast share one round, rounds rise, and the Ready names them for the lease", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  group.run(500);
  const rounds = leader.readies.flatMap((ready) => (ready.heartbeatRound === undefined ? [] : [ready]));
  assert.ok(rounds.length >= 5);
  let last = 0;
  for (const ready of rounds) {
    const round = ready.heartbeatRound?.round ?? 0;
    assert.ok(round > last);
    last = round;
    assert.is(ready.heartbeatRound?.promiseMs, E);
    const sent = ready.messages.filter((m) => m.kind === "heartbeat");
    assert.equal(
      sent.map((m) => m.kind === "heartbeat" && [m.to, m.round]),
      [
        [id(2), round],
        [id(3), round],
      ],
    );
  }
});

test("timings change for all and a longer promise is durable before a heartbeat asks for it", () => {
  const group = new TestGroup([1, 2, 3], { options: { timings: FAST_TIMINGS } });
  const leader = group.elect(1);
  assert.is(leader.hardState.promiseMs, FAST_TIMINGS.promiseMs);
  const slower = { electionTimeoutMs: [1300, 2000], heartbeatMs: 200, promiseMs: 1200, retryMs: [20, 150] } as const;
  leader.node.setTimings(slower, group.now);
  leader.node.tick(group.now + 50);
  const ready = leader.node.ready();
  assert.is(ready?.hardState?.promiseMs, 1200);
  assert.equal(
    ready?.messages.filter((m) => m.kind === "heartbeat"),
    [],
  );
  assert.is(ready?.messagesAfterAppend.filter((m) => m.kind === "heartbeat").length, 2);
});

test("a leader says changed timings at once: a slower heartbeat must not come after the followers' old time-outs", () => {
  const group = new TestGroup([1, 2, 3], { options: { timings: FAST_TIMINGS } });
  const leader = group.elect(1);
  group.run(100);
  const { term } = leader.node.status();
  const slower = { electionTimeoutMs: [3000, 4500], heartbeatMs: 500, promiseMs: 2900, retryMs: [20, 150] } as const;
  leader.node.setTimings(slower, group.now);
  group.run(4 * slower.heartbeatMs);
  // Followers that have not applied the entry yet still have time-outs below a heartbeat: the promise keeps them.
  assert.is(leader.node.status().role, "leader");
  assert.is(leader.node.status().term, term);
  assert.is(group.box(2).hardState.promiseMs, slower.promiseMs);
});

test("a follower that applies shorter timings still keeps the promise that it gave under the longer ones", () => {
  const group = new TestGroup([1, 2, 3]);
  group.elect(1);
  group.run(200);
  const follower = group.box(2);
  const promisedUntil = follower.node.status().promiseUntil;
  follower.node.setTimings(FAST_TIMINGS, group.now);
  assert.is(follower.node.status().promiseUntil, promisedUntil);
  assert.is(follower.hardState.promiseMs, E, "what a restart waits for is the largest promise ever");
  assert.is(follower.node.campaign(group.now).kind, "refused");
  // The leader still asks for the longer one, and gets it.
  group.run(150);
  assert.ok(follower.node.status().promiseUntil >= group.now + E - 110);
});

test("forgetting the leader is refused while leases are on", () => {
  const group = new TestGroup([1, 2, 3]);
  group.elect(1);
  assert.not(group.box(2).node.forgetLeader(group.now));
  const ticks = { ...tickTimings(10, 1), promiseMs: 0 };
  const without = new TestGroup([1, 2, 3], { options: { timings: ticks } });
  without.elect(1);
  assert.ok(without.box(2).node.forgetLeader(without.now));
  assert.is(without.box(2).node.status().leader, "");
});

// Transfer.

test("a transfer hands over within one exchange, within everybody's promise, and loses no write", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  leader.node.propose([bytes("x")], group.now);
  group.settle();
  assert.is(leader.node.transferLeader(id(2), group.now).kind, "started");
  group.settle();
  assert.is(group.box(2).node.status().role, "leader");
  assert.is(leader.node.status().role, "follower");
  assert.equal(
    group.box(3).applied.map((e) => e.data.length),
    [0, 1, 0],
  );
});

test("the lease is released in the Ready of TimeoutNow, and no later round of the term counts", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  leader.flush(group.now);
  leader.node.transferLeader(id(2), group.now);
  const ready = leader.node.ready();
  assert.ok(ready?.releaseLease);
  assert.ok(ready?.messages.some((m) => m.kind === "timeout-now"));
  leader.node.tick(group.now + 100);
  const next = leader.node.ready();
  assert.is(next?.heartbeatRound, undefined);
  const asked = next?.messages.filter((m) => m.kind === "heartbeat") ?? [];
  assert.equal(
    asked.map((m) => m.kind === "heartbeat" && m.promiseMs),
    [0, 0],
  );
});

test("a transfer that fails after TimeoutNow ends in stepping down, not in resuming", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  group.drop = (message) => message.kind === "timeout-now";
  leader.node.transferLeader(id(2), group.now);
  group.run(645);
  assert.is(leader.node.status().role, "leader");
  group.run(5);
  assert.is.not(leader.node.status().role, "leader");
});

test("a learner is promoted at most 64 entries behind, and when it answered within E", () => {
  const asked = (behind: number, ageMs: number): string => {
    const group = new TestGroup([1, 2, 3], { membership: membershipOf([1, 2, 3], [4]) });
    group.add(4, new TestBox(4, [], { membership: membershipOf([1, 2, 3], [4]) }));
    const leader = group.elect(1);
    group.run(200);
    group.drop = (message) => message.to === id(4);
    for (let i = 0; i < behind; i++) leader.node.propose([bytes(`${i}`)], group.now);
    group.settle();
    const answeredAt = leader.node.status().progress[2]?.answeredAt ?? 0;
    const steps = [{ kind: "promote", raftId: id(4) }] as const;
    return leader.node.proposeMembership({ kind: "simple", steps }, answeredAt + ageMs).kind;
  };
  assert.equal([asked(64, 599), asked(65, 599), asked(64, 600)], ["accepted", "refused", "refused"]);
});

test("a round that has not left yet is taken back when the lease is released", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  group.now += 100;
  leader.node.tick(group.now);
  leader.node.transferLeader(id(2), group.now);
  const ready = leader.node.ready();
  assert.ok(ready?.releaseLease);
  assert.is(ready?.heartbeatRound, undefined);
});

test("leadership is offered to who answered within E, to the millisecond", () => {
  const started = (ageMs: number): string => {
    const group = new TestGroup([1, 2, 3]);
    const leader = group.elect(1);
    const answeredAt = leader.node.status().progress[0]?.answeredAt ?? 0;
    return leader.node.transferLeader(id(2), answeredAt + ageMs).kind;
  };
  assert.equal([599, 600].map(started), ["started", "refused"]);
});

test("a transfer waits for the target to catch up, refuses writes meanwhile, and is given up without harm", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  group.drop = (message) => message.kind === "append" && message.to === id(2);
  leader.node.propose([bytes("x")], group.now);
  group.settle();
  leader.node.transferLeader(id(2), group.now);
  group.settle();
  assert.is(leader.node.propose([bytes("y")], group.now).kind, "busy");
  assert.is(leader.node.status().transferTo, id(2));
  group.run(700);
  assert.equal([leader.node.status().role, leader.node.status().transferTo], ["leader", ""]);
  assert.not(leader.readies.some((ready) => ready.releaseLease));
  assert.is(leader.node.propose([bytes("y")], group.now).kind, "accepted");
});

test("the override of a transfer holds for one term: the next attempt carries none, and waits for the promise", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  group.run(200);
  const second = group.box(2);
  const { term } = leader.node.status();
  second.node.step({ kind: "timeout-now", from: id(1), to: id(2), term }, group.now);
  const first = second.flush(group.now).filter((m) => m.kind === "vote-request");
  assert.equal(
    first.map((m) => m.kind === "vote-request" && [m.term, m.transfer]),
    [
      [term + 1, true],
      [term + 1, true],
    ],
  );
  const startedAt = group.now;
  let now = startedAt;
  let later = second.flush(now);
  while (later.every((m) => m.kind !== "vote-request") && now < startedAt + 3000) {
    now += 5;
    second.node.tick(now);
    later = second.flush(now);
  }
  assert.ok(later.length > 0 && later.every((m) => m.kind === "vote-request" && !m.transfer));
  assert.ok(now - startedAt >= E - 100, `after ${now - startedAt} ms`);
});

test("TimeoutNow of an older term starts nothing", () => {
  const group = new TestGroup([1, 2, 3]);
  group.elect(1);
  const { term } = group.elect(1).node.status();
  group.box(2).node.step({ kind: "timeout-now", from: id(3), to: id(2), term: term - 1 }, group.now);
  assert.is(group.box(2).node.status().role, "follower");
});

test("leadership goes to voters that answer, not to learners, strangers or the dead", () => {
  const group = new TestGroup([1, 2], { membership: membershipOf([1, 2, 3], [4]) });
  const leader = group.elect(1);
  assert.match(JSON.stringify(leader.node.transferLeader(id(4), group.now)), /not a voter/);
  assert.match(JSON.stringify(leader.node.transferLeader(id(9), group.now)), /not a voter/);
  group.run(700);
  assert.match(JSON.stringify(leader.node.transferLeader(id(3), group.now)), /does not answer/);
});

// Reads.

test("a read is answered after a quorum has confirmed the leadership, on a follower too", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  leader.node.propose([bytes("x")], group.now);
  group.settle();
  leader.node.readIndex(7, group.now);
  group.box(3).node.readIndex(8, group.now);
  group.settle();
  assert.equal(leader.readStates, [{ context: 7, index: 2 }]);
  assert.equal(group.box(3).readStates, [{ context: 8, index: 2 }]);
});

test("reads between two Readys share one round", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  for (let context = 1; context <= 5; context++) leader.node.readIndex(context, group.now);
  const sent = leader.flush(group.now).filter((m) => m.kind === "heartbeat");
  assert.is(sent.length, 2);
});

test("a leader that is cut off answers no read", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  group.isolate(1);
  leader.node.readIndex(1, group.now);
  group.run(2000);
  assert.equal(leader.readStates, []);
});

test("a read waits until an entry of the leader's own term is committed", () => {
  const group = new TestGroup([1, 2, 3]);
  group.drop = (message) => message.kind === "append";
  const leader = group.elect(1);
  leader.node.readIndex(1, group.now);
  group.run(250);
  assert.equal(leader.readStates, []);
  group.drop = () => false;
  group.run(250);
  assert.equal(leader.readStates, [{ context: 1, index: 1 }]);
});

test("an answer to an older round does not confirm a read", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  group.drop = (message) => message.kind === "heartbeat";
  leader.node.readIndex(1, group.now);
  group.settle();
  const { term } = leader.node.status();
  const answer = { kind: "heartbeat-response", from: id(2), to: id(1), term, promiseMs: E } as const;
  leader.node.step({ ...answer, round: 1 }, group.now);
  group.settle();
  assert.equal(leader.readStates, []);
  leader.node.step({ ...answer, round: 2 }, group.now);
  group.settle();
  assert.equal(leader.readStates, [{ context: 1, index: 1 }]);
});

// Membership.

test("a box joins as a learner, catches up, is promoted and votes", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  leader.node.propose([bytes("x")], group.now);
  group.settle();
  const fourth = group.add(4, new TestBox(4, [], { membership: membershipOf([1, 2, 3]) }));
  assert.is(
    leader.node.proposeMembership(simple({ kind: "add-learner", member: member(4) }), group.now).kind,
    "accepted",
  );
  group.run(300);
  assert.is(fourth.node.status().commit, leader.node.status().commit);
  assert.is(fourth.node.status().role, "learner");
  assert.is(leader.node.proposeMembership(simple({ kind: "promote", raftId: id(4) }), group.now).kind, "accepted");
  group.run(300);
  assert.is(fourth.node.status().role, "follower");
  for (const box of group.boxes.values()) assert.equal(box.node.status().membership, membershipOf([1, 2, 3, 4]));
});

test("a learner that has not caught up is not promoted", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  leader.node.proposeMembership(simple({ kind: "add-learner", member: member(4) }), group.now);
  group.settle();
  const result = leader.node.proposeMembership(simple({ kind: "promote", raftId: id(4) }), group.now);
  assert.match(JSON.stringify(result), /not caught up/);
});

test("no change while another may be in flight, nor before an entry of the own term is committed", () => {
  const group = new TestGroup([1, 2, 3]);
  group.drop = (message) => message.kind === "append";
  const leader = group.elect(1);
  const add = simple({ kind: "add-learner", member: member(4) });
  assert.match(JSON.stringify(leader.node.proposeMembership(add, group.now)), /own term/);
  group.drop = () => false;
  group.run(200);
  assert.is(leader.node.proposeMembership(add, group.now).kind, "accepted");
  const second = leader.node.proposeMembership(simple({ kind: "remove", raftId: id(3) }), group.now);
  assert.match(JSON.stringify(second), /one change at a time/);
  group.settle();
  assert.is(leader.node.proposeMembership(simple({ kind: "remove", raftId: id(3) }), group.now).kind, "accepted");
});

test("a leader that is removed steps down when the change is applied, and the others go on", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  leader.node.proposeMembership(simple({ kind: "remove", raftId: id(1) }), group.now);
  group.settle();
  assert.is(leader.node.status().role, "learner");
  group.run(3000);
  const next = group.leader();
  assert.ok(next !== undefined && next !== leader);
  assert.equal(next?.node.status().membership, membershipOf([2, 3]));
});

test("a box with an empty data directory elects nobody, itself least of all", () => {
  // OpenNebula's A11: a blank server that was given an id saw no others, needed no votes and took the VIP.
  const blank = new TestGroup([], {});
  blank.add(1, new TestBox(1, [], { membership: EMPTY_MEMBERSHIP }));
  blank.run(5000);
  assert.equal([blank.box(1).node.status().role, blank.box(1).node.status().term], ["learner", 0]);
});

test("a joiner learns the whole membership from the founding entry on", () => {
  const data = encodeMembershipChange(foundingChange(member(1)));
  const founded = { term: 1, index: 1, kind: "membership", data } as const;
  const group = new TestGroup([], {});
  const setup = { entries: [founded], hardState: { term: 1, commit: 1 }, applied: 1, membershipIndex: 1 };
  const founder = group.add(1, new TestBox(1, [1], setup));
  group.run(50);
  const joiner = group.add(2, new TestBox(2, [], { membership: EMPTY_MEMBERSHIP }));
  founder.node.proposeMembership(simple({ kind: "add-learner", member: member(2) }), group.now);
  group.run(300);
  founder.node.proposeMembership(simple({ kind: "promote", raftId: id(2) }), group.now);
  group.run(300);
  assert.equal(joiner.node.status().membership, membershipOf([1, 2]));
  assert.is(joiner.node.status().role, "follower");
});

test("a removed box cannot disturb those that stayed", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  group.drop = (message) => message.to === id(3);
  leader.node.proposeMembership(simple({ kind: "remove", raftId: id(3) }), group.now);
  group.run(100);
  const { term } = leader.node.status();
  group.drop = () => false;
  group.run(5000);
  assert.equal([leader.node.status().role, leader.node.status().term], ["leader", term]);
});

test("a joint change needs both majorities and is left by the leader itself", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  for (const number of [4, 5]) group.add(number, new TestBox(number, [], { membership: membershipOf([1, 2, 3]) }));
  const steps: MembershipStep[] = [
    { kind: "remove", raftId: id(3) },
    { kind: "add-voter", member: member(4) },
    { kind: "add-voter", member: member(5) },
  ];
  assert.is(leader.node.proposeMembership({ kind: "enter-joint", steps, autoLeave: true }, group.now).kind, "accepted");
  group.run(500);
  const { membership } = leader.node.status();
  assert.equal([membership.voters, membership.votersOutgoing], [[id(1), id(2), id(4), id(5)], []]);
});

test("a restart with a newer membership record than the state does not go back through older memberships", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  leader.node.proposeMembership(simple({ kind: "add-learner", member: member(4) }), group.now);
  group.settle();
  leader.node.proposeMembership(simple({ kind: "remove", raftId: id(4) }), group.now);
  group.settle();
  const again = new TestBox(1, [1, 2, 3], {
    log: leader.log,
    hardState: leader.hardState,
    applied: 1,
    membershipIndex: 3,
    membership: membershipOf([1, 2, 3]),
  });
  again.node.tick(0);
  for (let ready = again.node.ready(); ready !== undefined; ready = again.node.ready()) {
    again.process(ready, 0);
    assert.equal(again.node.status().membership, membershipOf([1, 2, 3]));
  }
  assert.is(again.node.status().applied, 3);
});

test.run();
