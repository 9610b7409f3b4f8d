import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Append, Heartbeat, Message } from "../../../src/raft/messages.ts";
import type { LogEntry } from "../../../src/raft/types.ts";
import { bytes, entry, id, membershipOf, TestBox, TestGroup } from "../../support/raft/group.ts";

const isAppend = (message: Message): message is Append => message.kind === "append";

test("a heartbeat never commits a tail that this term's leader has not verified", () => {
  // OpenNebula's A1: the deposed leader A holds FAILED at 2; B leads and has ACKED there; B's heartbeat comes first.
  const failed = [entry(1, 1, "x=1"), entry(1, 2, "FAILED")];
  const a = new TestBox(1, [1, 2, 3], { entries: failed, hardState: { term: 1, commit: 1 } });
  a.node.tick(0);
  a.flush(0);
  a.node.step(
    { kind: "heartbeat", from: id(2), to: id(1), term: 2, round: 1, commit: 2, commitTerm: 2, promiseMs: 600 },
    10,
  );
  a.flush(10);
  assert.is(a.node.status().commit, 1);
  a.node.step(
    {
      kind: "append",
      from: id(2),
      to: id(1),
      term: 2,
      previousIndex: 1,
      previousTerm: 1,
      commit: 2,
      entries: [entry(2, 2, "ACKED")],
    },
    20,
  );
  a.flush(20);
  assert.equal(
    a.applied.map((e) => new TextDecoder().decode(e.data)),
    ["x=1", "ACKED"],
  );
});

test("a follower that was restarted after it acknowledged commits by the next heartbeat, without a new entry", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  leader.node.propose([bytes("x")], group.now);
  group.drop = (message) => message.to === id(2) && isAppend(message) && message.commit > 1;
  group.settle();
  const old = group.box(2);
  assert.equal([old.log.lastIndex(), old.node.status().commit], [2, 1]);
  group.drop = () => false;
  const hardState = { ...old.hardState, promiseMs: 0 };
  group.add(2, new TestBox(2, [1, 2, 3], { log: old.log, hardState, applied: 1 }));
  group.run(250);
  assert.is(group.box(2).node.status().commit, 2);
});

test("a heartbeat carries no more than what the follower is known to have", () => {
  const group = new TestGroup([1, 2, 3]);
  const seen: Heartbeat[] = [];
  const leader = group.elect(1);
  group.drop = (message) => {
    if (message.kind === "heartbeat") seen.push(message);
    return isAppend(message) && message.to === id(3);
  };
  for (let i = 0; i < 5; i++) leader.node.propose([bytes("x")], group.now);
  group.run(250);
  assert.is(leader.node.status().commit, 6);
  const last = (to: number): number => seen.filter((m) => m.to === id(to)).at(-1)?.commit ?? -1;
  assert.equal([last(2), last(3)], [6, 1]);
});

test("what was verified for one leader is not verified for the next", () => {
  const box = new TestBox(1, [1, 2, 3], {});
  box.node.tick(0);
  const append = (term: number, from: number): Append => ({
    kind: "append",
    from: id(from),
    to: id(1),
    term,
    previousIndex: 0,
    previousTerm: 0,
    commit: 0,
    entries: [entry(1, 1), entry(1, 2)],
  });
  box.node.step(append(1, 2), 10);
  box.flush(10);
  assert.is(box.node.status().verified, 2);
  box.node.step(
    { kind: "heartbeat", from: id(3), to: id(1), term: 2, round: 1, commit: 2, commitTerm: 2, promiseMs: 0 },
    20,
  );
  box.flush(20);
  assert.equal([box.node.status().verified, box.node.status().commit], [0, 0]);
});

test("a follower that is far behind, or has a foreign tail, is repaired in a few messages", () => {
  const shared = [1, 1, 1, 1].map((term, i) => entry(term, i + 1, "shared"));
  const tail = (term: number, count: number): LogEntry[] =>
    Array.from({ length: count }, (_, i) => entry(term, 5 + i, `tail ${term}`));
  const group = new TestGroup([1, 2, 3]);
  group.add(1, new TestBox(1, [1, 2, 3], { entries: [...shared, ...tail(4, 50)], hardState: { term: 4 } }));
  group.add(2, new TestBox(2, [1, 2, 3], { entries: [...shared, ...tail(2, 30)], hardState: { term: 4 } }));
  group.add(3, new TestBox(3, [1, 2, 3], { entries: shared.slice(0, 1), hardState: { term: 4 } }));
  let rejections = 0;
  group.drop = (message) => {
    if (message.kind === "append-response" && message.rejected) rejections++;
    return false;
  };
  const leader = group.elect(1);
  group.run(300);
  const terms = (box: TestBox): number[] => box.log.all.map((e) => e.term);
  assert.equal(terms(group.box(2)), terms(leader));
  assert.equal(terms(group.box(3)), terms(leader));
  assert.ok(rejections <= 4, `${rejections} rejections`);
});

test("appends to one follower stop at the in-flight limit, and an acknowledgement opens the window", () => {
  const group = new TestGroup([1, 2, 3], { options: { maxInflight: 3, maxSizePerMessage: 1 } });
  const leader = group.elect(1);
  const held: Message[] = [];
  group.drop = (message) => {
    if (message.kind !== "append-response" || message.from !== id(2)) return false;
    held.push(message);
    return true;
  };
  leader.node.propose(
    Array.from({ length: 10 }, () => bytes("x")),
    group.now,
  );
  group.settle();
  const progress = (): { inflight: number; paused: boolean; match: number } | undefined =>
    leader.node.status().progress.find((each) => each.id === id(2));
  assert.equal([progress()?.inflight, progress()?.paused], [3, true]);
  group.drop = () => false;
  for (const message of held) leader.node.step(message, group.now);
  group.settle();
  assert.equal([progress()?.inflight, progress()?.match], [0, leader.log.lastIndex()]);
});

test("the in-flight limit holds by bytes too", () => {
  const group = new TestGroup([1, 2, 3], { options: { maxInflightBytes: 500, maxSizePerMessage: 200 } });
  const leader = group.elect(1);
  group.drop = (message) => message.kind === "append-response" && message.from === id(2);
  leader.node.propose(
    Array.from({ length: 20 }, () => bytes("x".repeat(100))),
    group.now,
  );
  group.settle();
  const progress = leader.node.status().progress.find((each) => each.id === id(2));
  assert.ok((progress?.inflightBytes ?? 0) <= 500 + 200, `${progress?.inflightBytes} bytes`);
  assert.ok(progress?.paused);
});

test("a lost append, or a lost answer, is noticed within two heartbeats and made good", () => {
  const group = new TestGroup([1, 2, 3], { options: { maxInflight: 2 } });
  const leader = group.elect(1);
  group.drop = (message) => message.kind === "append" && message.to === id(2);
  for (let i = 0; i < 5; i++) {
    leader.node.propose([bytes("x")], group.now);
    group.settle();
  }
  group.drop = () => false;
  group.run(350);
  assert.is(group.box(2).log.lastIndex(), leader.log.lastIndex());
  group.drop = (message) => message.kind === "append-response" && message.from === id(2);
  for (let i = 0; i < 5; i++) {
    leader.node.propose([bytes("y")], group.now);
    group.settle();
  }
  group.drop = () => false;
  group.run(350);
  assert.is(leader.node.status().progress.find((each) => each.id === id(2))?.match, leader.log.lastIndex());
});

test("a leader with too much uncommitted says busy, and takes proposals again when it is committed", () => {
  const group = new TestGroup([1, 2, 3], { options: { maxUncommittedBytes: 1000 } });
  const leader = group.elect(1);
  group.drop = () => true;
  assert.is(leader.node.propose([bytes("x".repeat(900))], group.now).kind, "accepted");
  assert.is(leader.node.propose([bytes("x".repeat(900))], group.now).kind, "busy");
  group.settle();
  group.drop = () => false;
  group.run(300);
  assert.is(leader.node.propose([bytes("x".repeat(900))], group.now).kind, "accepted");
});

test("one proposal larger than the limit still goes into an empty pipe", () => {
  const group = new TestGroup([1, 2, 3], { options: { maxUncommittedBytes: 100 } });
  const leader = group.elect(1);
  assert.is(leader.node.propose([bytes("x".repeat(5000))], group.now).kind, "accepted");
});

test("a follower says who leads instead of taking a proposal", () => {
  const group = new TestGroup([1, 2, 3]);
  group.elect(1);
  assert.equal(group.box(2).node.propose([bytes("x")], group.now), { kind: "not-leader", leader: id(1) });
});

test("proposals between two Readys share one append", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  for (let i = 0; i < 4; i++) leader.node.propose([bytes(`${i}`)], group.now);
  const appends = (leader.node.ready()?.messages ?? []).filter(isAppend);
  assert.equal(
    appends.map((m) => m.entries.length),
    [4, 4],
  );
});

test("a follower that needs purged entries gets a snapshot, said once, and goes on behind it", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  group.isolate(3);
  for (let i = 0; i < 10; i++) leader.node.propose([bytes(`${i}`)], group.now);
  group.settle();
  const meta = { index: 8, term: leader.node.status().term, membership: membershipOf([1, 2, 3]) };
  leader.log.compact(meta);
  group.drop = () => false;
  group.run(400);
  const needed = leader.readies.flatMap((ready) => ready.snapshotNeeded);
  assert.equal(needed, [id(3)]);
  const third = group.box(3);
  third.log.compact(meta);
  third.node.restore(meta, group.now);
  leader.node.reportSnapshot(id(3), true);
  group.run(300);
  assert.is(third.node.status().commit, leader.node.status().commit);
  assert.equal(third.applied.map((e) => e.index).at(-1), 11);
});

test("an older snapshot than what is committed changes nothing", () => {
  const group = new TestGroup([1, 2, 3]);
  const leader = group.elect(1);
  leader.node.propose([bytes("x")], group.now);
  group.settle();
  const before = group.box(2).node.status();
  group.box(2).node.restore({ index: 1, term: 1, membership: membershipOf([2]) }, group.now);
  assert.equal(group.box(2).node.status(), before);
});

test("a synchronous caller needs ready and advance only", () => {
  const box = new TestBox(1, [1], {});
  let now = 0;
  const applied: number[] = [];
  const drain = (): void => {
    for (let ready = box.node.ready(); ready !== undefined; ready = box.node.ready()) {
      box.log.write(ready.entries);
      for (const committed of ready.committedEntries) applied.push(committed.index);
      box.node.advance(now);
    }
  };
  while (box.node.status().role !== "leader") {
    now += 10;
    box.node.tick(now);
    drain();
  }
  box.node.propose([bytes("x")], now);
  drain();
  assert.equal(applied, [1, 2]);
  assert.not(box.node.hasReady());
});

test("the same state, input and random source give the same output", () => {
  const run = (): string => {
    const group = new TestGroup([1, 2, 3]);
    group.run(1500);
    group.leader()?.node.propose([bytes("x")], group.now);
    group.run(500);
    return JSON.stringify([...group.boxes.values()].map((box) => box.readies));
  };
  assert.is(run(), run());
});

test.run();
