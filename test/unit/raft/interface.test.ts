// What a caller may say, and what it may not: the edges of the interface.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bytes, id, membershipOf, TestBox, TestGroup } from "../../support/raft/group.ts";

test("time that goes back ends the process", () => {
  const box = new TestBox(1, [1, 2, 3]);
  box.node.tick(10);
  box.node.tick(10);
  assert.throws(() => box.node.tick(9), /time went back from 10 to 9 ms/);
});

test("what is meant for another box, or claims to be from this one, is nothing", () => {
  const box = new TestBox(1, [1, 2, 3]);
  box.node.tick(0);
  const heartbeat = { kind: "heartbeat", term: 7, round: 1, commit: 0, commitTerm: 0, promiseMs: 600 } as const;
  box.node.step({ ...heartbeat, from: id(2), to: id(3) }, 1);
  box.node.step({ ...heartbeat, from: id(1), to: id(1) }, 2);
  assert.is(box.node.status().term, 0);
  box.node.step({ ...heartbeat, from: id(2), to: id(1) }, 3);
  assert.equal([box.node.status().term, box.node.status().leader], [7, id(2)]);
});

test("a proposal of nothing is a programmer's error", () => {
  const box = new TestBox(1, [1]);
  box.node.tick(0);
  box.flush(0);
  assert.throws(() => box.node.propose([], 1), /nothing was given/);
});

test("a read is refused without a leader, by who does not lead, and beyond 4096 that wait", () => {
  const alone = new TestBox(1, [1, 2, 3]);
  alone.node.tick(0);
  assert.equal(alone.node.readIndex(5, 0), { kind: "refused", why: "no leader is known" });
  // A follower that still takes it for the leader asks it: the answer names no index, and is no read state there.
  const asked = { kind: "read-index-request", from: id(2), to: id(1), term: 0, context: 5 } as const;
  alone.node.step(asked, 1);
  const refusal = alone.flush(1)[0];
  assert.equal(refusal, { kind: "read-index-response", from: id(1), to: id(2), term: 0, context: 5, index: 0 });
  const other = new TestBox(2, [1, 2, 3]);
  other.node.tick(0);
  if (refusal !== undefined) other.node.step(refusal, 1);
  other.flush(1);
  assert.equal(other.readStates, []);

  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  const kinds = Array.from({ length: 4097 }, (_, context) => leader.node.readIndex(context, group.now).kind);
  assert.is(kinds.indexOf("refused"), 4096);
  group.settle();
  assert.is(leader.readStates.length, 4096);
});

test("a change is put into force only while its entry is being applied", () => {
  const box = new TestBox(1, [1]);
  box.node.tick(0);
  box.flush(0);
  const { applied } = box.node.status();
  for (const index of [applied, applied + 1]) {
    assert.throws(() => box.node.applyMembership(index, { kind: "leave-joint" }, 1), /is being applied/);
  }
});

test("what is said of a snapshot counts on a leader, for a follower that waits for one", () => {
  const group = new TestGroup([1, 2, 3], { membership: membershipOf([1, 2, 3], [4]) });
  const leader = group.elect(1);
  leader.node.propose([bytes("a"), bytes("b")], group.now);
  group.settle();
  leader.log.compact({ index: 2, term: leader.node.status().term, membership: membershipOf([1, 2, 3], [4]) });
  const learner = () => leader.node.status().progress[2];
  // Box 4 is there, empty, and needs what was purged.
  group.add(4, new TestBox(4, [], { membership: membershipOf([1, 2, 3], [4]) }));
  group.run(300);
  assert.equal([learner()?.state, learner()?.match], ["snapshot", 0]);
  leader.node.reportUnreachable(id(4));
  assert.is(learner()?.state, "snapshot");
  leader.node.reportSnapshot(id(2), true);
  assert.is(leader.node.status().progress[0]?.state, "replicate");
  leader.node.reportSnapshot(id(4), false);
  assert.equal([learner()?.state, learner()?.next, learner()?.paused], ["probe", 1, true]);
});

test("an installed snapshot is verified, and told to the leader with no hint of anything missing", () => {
  const group = new TestGroup([1, 2, 3]);
  group.elect(1);
  const third = group.box(3);
  const { term } = third.node.status();
  third.flush(group.now);
  third.log.compact({ index: 5, term, membership: membershipOf([1, 2, 3]) });
  third.node.restore({ index: 5, term, membership: membershipOf([1, 2, 3]) }, group.now);
  assert.is(third.node.status().verified, 5);
  assert.equal(third.flush(group.now), [
    {
      kind: "append-response",
      from: id(3),
      to: id(1),
      term,
      rejected: false,
      index: 5,
      hintIndex: 0,
      hintTerm: 0,
    },
  ]);
});

test("forgetting is refused while a leader asks for any promise at all", () => {
  const box = new TestBox(1, [1, 2, 3], { options: { electionTick: 2 } });
  box.node.tick(0);
  assert.not(box.node.forgetLeader(0));
});

test.run();
