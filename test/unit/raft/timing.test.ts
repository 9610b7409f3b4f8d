// When things happen, to the millisecond: each box draws its time-outs in the middle of their ranges.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeMembershipChange } from "../../../src/raft/membership-codec.ts";
import type { Heartbeat, Message, VoteResponse } from "../../../src/raft/messages.ts";
import { DEFAULT_TIMINGS, FAST_TIMINGS } from "../../../src/raft/options.ts";
import type { Role } from "../../../src/raft/types.ts";
import type { NodeSetup } from "../../support/raft/group.ts";
import { entry, id, member, TestBox } from "../../support/raft/group.ts";

const MIDDLE = { fraction: () => 0.5 };
/** The middle of the default election time-outs, 650 … 1000 ms, and of the pauses before another try, 20 … 150 ms. */
const TIMEOUT_MS = 825;
const RETRY_MS = 85;

function boxOf(setup: NodeSetup = {}, voters: readonly number[] = [1, 2, 3]): TestBox {
  const box = new TestBox(1, voters, { random: MIDDLE, ...setup });
  box.node.tick(0);
  box.flush(0);
  return box;
}

/** The first millisecond from `from` on at whose tick the box has the role; −1 when it has not by `until`. */
function whenIs(box: TestBox, role: Role, from: number, until: number): number {
  for (let now = from; now <= until; now++) {
    box.node.tick(now);
    box.flush(now);
    if (box.node.status().role === role) return now;
  }
  return -1;
}

function heartbeat(promiseMs: number, term = 1, round = 1): Heartbeat {
  return { kind: "heartbeat", from: id(2), to: id(1), term, round, commit: 0, commitTerm: 0, promiseMs };
}

function refusal(from: number, sticky: boolean, term = 0): VoteResponse {
  const answer = { kind: "vote-response", from: id(from), to: id(1), term, preVote: true } as const;
  return { ...answer, electionTerm: 1, granted: false, sticky };
}

const granted = (from: number, term: number): VoteResponse => {
  const answer = { kind: "vote-response", from: id(from), to: id(1), term, preVote: false } as const;
  return { ...answer, electionTerm: term, granted: true, sticky: false };
};

const step = (box: TestBox, message: Message, now: number): Message[] => {
  box.node.step(message, now);
  return box.flush(now);
};

/** Box 1 as the leader of term 1 since `now`, heard by nobody yet. */
function leaderAt(now: number, setup: NodeSetup = {}): TestBox {
  const box = boxOf({ ...setup, options: { preVote: false, ...setup.options } });
  box.node.campaign(now);
  box.flush(now);
  step(box, granted(2, 1), now);
  assert.is(box.node.status().role, "leader");
  return box;
}

test("a silent leader is given a whole time-out", () => {
  const box = boxOf();
  assert.is(whenIs(box, "pre-candidate", 1, 2000), TIMEOUT_MS);
  const heard = boxOf();
  step(heard, heartbeat(600), 300);
  assert.is(whenIs(heard, "pre-candidate", 301, 2000), 300 + TIMEOUT_MS);
});

test("who is bound longer than its time-out stands a drawn pause after the promise ends", () => {
  const box = boxOf({ options: { timings: FAST_TIMINGS } });
  step(box, heartbeat(600), 0);
  // The middle of the fast profile's pauses, 5 … 40 ms, is 22.5 ms.
  assert.is(whenIs(box, "pre-candidate", 1, 2000), 600 + 23);
});

test("who may not stand yet looks again after a drawn pause, not at each tick", () => {
  const change = encodeMembershipChange({ kind: "simple", steps: [{ kind: "add-learner", member: member(4) }] });
  const log = [{ ...entry(1, 1), kind: "membership" as const, data: change }, entry(1, 2)];
  const box = new TestBox(1, [1, 2, 3], { random: MIDDLE, entries: log, hardState: { term: 1, commit: 2 } });
  box.node.tick(0);
  const ready = box.node.ready();
  for (let now = 1; now <= TIMEOUT_MS; now++) box.node.tick(now);
  box.process(ready as NonNullable<typeof ready>, TIMEOUT_MS);
  assert.is(whenIs(box, "pre-candidate", TIMEOUT_MS + 1, 2000), TIMEOUT_MS + RETRY_MS);
});

test("a refused round is tried again a pause after the first refusal, however many follow", () => {
  const box = boxOf({}, [1, 2, 3, 4, 5]);
  box.node.campaign(0);
  box.flush(0);
  step(box, refusal(2, false), 10);
  step(box, refusal(3, false), 40);
  step(box, refusal(4, false), 70);
  assert.is(box.node.status().role, "follower");
  assert.is(whenIs(box, "pre-candidate", 71, 2000), 10 + RETRY_MS);
});

test("one refusal for stickiness makes the round wait for a whole time-out, whatever the others say", () => {
  for (const order of [
    [true, false, false],
    [false, true, false],
    [false, false, true],
  ]) {
    const box = boxOf({}, [1, 2, 3, 4, 5]);
    box.node.campaign(0);
    box.flush(0);
    order.forEach((sticky, at) => void step(box, refusal(at + 2, sticky), 10));
    assert.is(whenIs(box, "pre-candidate", 11, 2000), TIMEOUT_MS);
  }
});

test("what was refused in one round is forgotten in the next", () => {
  const box = boxOf({}, [1, 2, 3, 4, 5]);
  box.node.campaign(0);
  box.flush(0);
  for (const from of [2, 3, 4]) step(box, refusal(from, true), 10);
  assert.is(whenIs(box, "pre-candidate", 11, 2000), TIMEOUT_MS);
  for (const from of [2, 3, 4]) step(box, refusal(from, false), TIMEOUT_MS + 10);
  assert.is(whenIs(box, "pre-candidate", TIMEOUT_MS + 11, 3000), TIMEOUT_MS + 10 + RETRY_MS);
});

test("heartbeats are due each interval", () => {
  const box = leaderAt(0);
  const at: number[] = [];
  for (let now = 1; now <= 350; now++) {
    box.node.tick(now);
    if (box.flush(now).some((message) => message.kind === "heartbeat")) at.push(now);
  }
  assert.equal(at, [100, 200, 300]);
});

test("a leader steps down exactly when no quorum has answered for E", () => {
  const box = leaderAt(0);
  step(box, { kind: "heartbeat-response", from: id(3), to: id(1), term: 1, round: 1, promiseMs: 600 }, 40);
  for (let now = 1; now < 640; now++) if (now >= 40) box.node.tick(now);
  assert.is(box.node.status().role, "leader");
  box.node.tick(640);
  assert.is(box.node.status().role, "follower");
});

test("an answer to an append keeps a leader in office as an answer to a heartbeat does", () => {
  for (const rejected of [true, false]) {
    const box = leaderAt(0);
    const answer = { kind: "append-response", from: id(3), to: id(1), term: 1, rejected, index: 0 } as const;
    step(box, { ...answer, hintIndex: 0, hintTerm: 0 }, 40);
    for (let now = 41; now < 640; now++) box.node.tick(now);
    assert.is(box.node.status().role, "leader");
    box.node.tick(640);
    assert.is(box.node.status().role, "follower");
  }
});

test("without leases a leader is believed, and believes itself, for the least time-out", () => {
  const timings = { ...DEFAULT_TIMINGS, promiseMs: 0 };
  const box = leaderAt(0, { options: { timings } });
  assert.is(whenIs(box, "follower", 1, 2000), 650);
  const follower = boxOf({ options: { timings } });
  step(follower, heartbeat(0), 100);
  const asks = (now: number): boolean => {
    const request = { kind: "vote-request", from: id(3), to: id(1), term: 1, preVote: true, electionTerm: 2 } as const;
    const [answer] = step(follower, { ...request, lastIndex: 0, lastTerm: 0, transfer: false }, now);
    return answer?.kind === "vote-response" && answer.granted;
  };
  assert.equal([749, 750].map(asks), [false, true]);
});

const newerTerm = (term: number): Message => {
  const answer = { kind: "append-response", from: id(3), to: id(1), term, rejected: true } as const;
  return { ...answer, index: 0, hintIndex: 0, hintTerm: 0 };
};

test("who released the lease keeps no promise of its own when it steps down", () => {
  const box = leaderAt(0);
  step(
    box,
    { kind: "append-response", from: id(2), to: id(1), term: 1, rejected: false, index: 1, hintIndex: 0, hintTerm: 0 },
    0,
  );
  assert.is(box.node.transferLeader(id(2), 10).kind, "started");
  assert.ok(box.node.ready()?.releaseLease);
  step(box, newerTerm(2), 20);
  assert.ok(box.node.status().promiseUntil <= 20);
  const kept = leaderAt(0);
  step(kept, newerTerm(2), 20);
  assert.is(kept.node.status().promiseUntil, 620);
});

test("a leader that was deposed hands out no round any more, and no transfer", () => {
  const box = leaderAt(0);
  box.node.tick(100);
  box.node.transferLeader(id(2), 100);
  assert.is(box.node.readIndex(7, 100).kind, "started");
  box.node.step(newerTerm(2), 101);
  assert.is(box.node.ready()?.heartbeatRound, undefined);
  // Nor does it go on asking for the round that its reads waited for.
  assert.not(box.node.hasReady());
  assert.is(box.node.status().transferTo, "");
});

test("a newer term leaves a follower's time-out alone, and gives a candidate a new one", () => {
  const follower = boxOf();
  step(follower, newerTerm(5), 100);
  assert.is(whenIs(follower, "pre-candidate", 101, 3000), TIMEOUT_MS);
  for (const preVote of [true, false]) {
    const box = boxOf({ options: { preVote } });
    const role = preVote ? "pre-candidate" : "candidate";
    assert.is(whenIs(box, role, 1, 3000), TIMEOUT_MS);
    step(box, newerTerm(5), 900);
    assert.is(box.node.status().role, "follower");
    assert.is(whenIs(box, role, 901, 3000), 900 + TIMEOUT_MS);
  }
});

test("a promise binds until its last millisecond", () => {
  const box = boxOf();
  step(box, heartbeat(600), 100);
  assert.is(box.node.status().promiseUntil, 700);
  assert.is(box.node.campaign(699).kind, "refused");
  assert.is(box.node.campaign(700).kind, "started");
});

test("a promise is the longer one of what is asked and one's own, and at most a minute", () => {
  const answered = (asked: number): number => {
    const [answer] = step(boxOf(), heartbeat(asked), 0).filter((message) => message.kind === "heartbeat-response");
    return answer?.kind === "heartbeat-response" ? answer.promiseMs : -1;
  };
  assert.equal([0, 1, 600, 601, 60_000, 60_001].map(answered), [0, 600, 600, 601, 60_000, 60_000]);
});

test("an E of one tick is a promise, too", () => {
  const box = new TestBox(1, [1], { random: MIDDLE, options: { electionTick: 2 } });
  for (let tick = 0; tick < 10; tick++) {
    box.node.tick(tick);
    box.flush(tick);
  }
  assert.is(box.readies.find((ready) => ready.heartbeatRound !== undefined)?.heartbeatRound?.promiseMs, 1);
  const leader = leaderAt(0, { options: { electionTick: 2 } });
  assert.is(whenIs(leader, "follower", 1, 10), 1);
  assert.is(leader.node.status().promiseUntil, 2);
});

test("a later, shorter promise does not shorten an earlier one", () => {
  const box = boxOf();
  step(box, heartbeat(5000), 0);
  step(box, heartbeat(600, 1, 2), 10);
  assert.is(box.node.status().promiseUntil, 5000);
});

test("a tick that comes late by more than half a time-out is a pause, and gives time for another try's pause", () => {
  const half = DEFAULT_TIMINGS.electionTimeoutMs[0] / 2;
  const standsAfter = (gap: number): number => {
    const box = boxOf();
    for (let now = 1; now <= TIMEOUT_MS - 10; now++) box.node.tick(now);
    return whenIs(box, "pre-candidate", TIMEOUT_MS - 10 + gap, 3000) - (TIMEOUT_MS - 10 + gap);
  };
  assert.equal([half, half + 1].map(standsAfter), [0, RETRY_MS]);
});

test("after a pause a leader lets one heartbeat interval pass before it judges itself", () => {
  const box = leaderAt(0);
  box.node.tick(1000);
  assert.is(box.node.status().role, "leader");
  assert.is(whenIs(box, "follower", 1001, 3000), 1100);
});

test("a restarted voter waits for its promise from its first input on, and a lonely one stands right then", () => {
  const box = new TestBox(1, [1], { random: MIDDLE, hardState: { promiseMs: 600 } });
  box.node.tick(1000);
  box.flush(1000);
  assert.is(box.node.status().promiseUntil, 1600);
  assert.is(whenIs(box, "leader", 1001, 3000), 1600);
});

test("a candidate's own vote counts when its write is durable, not with an earlier one's end", () => {
  const box = boxOf({ options: { preVote: false } });
  const append = { kind: "append", from: id(2), to: id(1), term: 1, previousIndex: 0, previousTerm: 0 } as const;
  box.node.step({ ...append, commit: 0, entries: [entry(1, 1)] }, 1);
  const first = box.node.ready();
  box.node.campaign(2);
  // Its Ready is not even taken when the earlier write ends.
  box.node.appended(first?.sequence ?? 0, 3);
  box.node.step(granted(3, 2), 4);
  assert.is(box.node.status().role, "candidate");
  const second = box.node.ready();
  box.node.appended(first?.sequence ?? 0, 5);
  assert.is(box.node.status().role, "candidate");
  box.node.appended(second?.sequence ?? 0, 6);
  assert.is(box.node.status().role, "leader");
});

test.run();
