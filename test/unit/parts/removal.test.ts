import { test } from "uvu";
import * as assert from "uvu/assert";
import { handOver, type RemovalPorts, removeMember } from "../../../src/parts/removal.ts";
import type { Member } from "../../../src/raft/types.ts";

const [A, B, C, D] = ["a", "b", "c", "d"].map((letter) => letter.repeat(16)) as [string, string, string, string];
const member = (raftId: string, serverId: number): Member => ({
  ...{ raftId, serverId, name: `box${serverId}`, certificateHash: "", peerAddress: "" },
});
const MEMBERS = [member(A, 0), member(B, 1), member(C, 2), member(D, 3)];

function bed(options: { transfer?: () => string | undefined; refusals?: string[]; voters?: string[] } = {}) {
  const calls: string[] = [];
  const state = { leads: true, leader: A, reachable: [B, C, D], successor: B };
  const refusals = options.refusals ?? [];
  const ports: RemovalPorts = {
    self: A,
    members: () => MEMBERS,
    voters: () => options.voters ?? [A, B, C],
    answeredAgoMs: async () =>
      Object.fromEntries(MEMBERS.map(({ raftId }) => [raftId, state.reachable.includes(raftId) ? 0 : 50_000])),
    leads: () => state.leads,
    leader: () => state.leader,
    change: async (change) => {
      const refusal = refusals.shift();
      if (refusal !== undefined) return refusal;
      calls.push(JSON.stringify(change.kind === "simple" ? change.steps : change.kind));
      return undefined;
    },
    transfer: async (to) => {
      calls.push(`transfer ${to ?? ""}`);
      const why = options.transfer?.();
      if (why !== undefined) return why;
      setTimeout(() => Object.assign(state, { leads: false, leader: "" }), 20);
      setTimeout(() => Object.assign(state, { leader: state.successor }), 40);
      return undefined;
    },
  };
  return { ports, calls, state };
}

test("another box is removed by the leader", async () => {
  const { ports, calls } = bed();
  assert.is(await removeMember(ports, 1), undefined);
  assert.equal(calls, [`[{"kind":"remove","raftId":"${B}"}]`]);
});

test("a leader that is to go hands leadership on and removes nobody: the next leader does", async () => {
  const { ports, calls, state } = bed();
  assert.is(await removeMember(ports, 0), undefined);
  assert.is(state.leads, false, "it waited until it leads no more");
  assert.is(state.leader, B, "and until somebody else is known to lead");
  assert.equal(calls, ["transfer "]);
});

test("a leader that nobody can follow stays", async () => {
  const { ports, calls } = bed({ transfer: () => "there is no other voter" });
  assert.match(String(await removeMember(ports, 0)), "no other voter");
  assert.equal(calls, ["transfer "]);
});

test("a server that never joined has no member to remove", async () => {
  const { ports, calls } = bed();
  assert.is(await removeMember(ports, 7), undefined);
  assert.equal(calls, []);
});

test("a dead box goes; one that answers stays when those that are left would be no quorum", async () => {
  const { ports, calls, state } = bed();
  state.reachable = [B];
  assert.match(String(await removeMember(ports, 1)), /Without server 1, 1 of 2 servers answer: that is no quorum/);
  assert.match(String(await removeMember(ports, 0)), /no quorum/, "the leader does not go either");
  assert.equal(calls, []);
  assert.is(await removeMember(ports, 2), undefined);
  assert.equal(calls, [`[{"kind":"remove","raftId":"${C}"}]`]);
});

test("a learner is no part of a quorum: it always may go", async () => {
  const { ports, calls, state } = bed();
  state.reachable = [B];
  assert.is(await removeMember(ports, 3), undefined);
  assert.is(calls.length, 1);
});

test("another change is waited for; one that does not end is named", async () => {
  const short = bed({ refusals: ["one change at a time: that of entry 7 may not be in force yet"] });
  assert.is(await removeMember(short.ports, 1), undefined);
  assert.is(short.calls.length, 1);
  const long = bed({
    refusals: Array.from({ length: 1000 }, () => `one change at a time: ${C} has not caught up yet`),
  });
  assert.match(
    String(await removeMember(long.ports, 1)),
    /Server 1 cannot be removed now: one change at a time: server 2 \("box2"\) has not/,
  );
});

test("who led when it was asked and leads no more leaves it to the next leader", async () => {
  const { ports, calls } = bed({ refusals: ["not-leader"] });
  assert.is(await removeMember(ports, 1), undefined);
  assert.equal(calls, []);
});

test("moving leadership says where it is, and is done when another box leads", async () => {
  const { ports, state } = bed();
  assert.is(await handOver(ports, MEMBERS[0]), undefined);
  assert.equal([state.leads, state.leader], [true, A]);
  assert.is(await handOver(ports, MEMBERS[1]), undefined);
  assert.equal([state.leads, state.leader], [false, B]);
  const silent = bed({ transfer: () => `${C} does not answer` });
  assert.match(String(await handOver(silent.ports, MEMBERS[2])), /server 2 \("box2"\) does not answer/);
  const other = bed();
  other.state.successor = D;
  assert.match(String(await handOver(other.ports, MEMBERS[1])), /server 1 was asked, but server 3 leads now/);
});

test.run();
