import { test } from "uvu";
import * as assert from "uvu/assert";
import { type RemovalPorts, removeMember } from "../../../src/parts/removal.ts";
import type { Member } from "../../../src/raft/types.ts";

const member = (raftId: string, serverId: number): Member => ({
  ...{ raftId, serverId, name: "x", certificateHash: "", peerAddress: "" },
});

function bed(transfer: () => string | undefined = () => undefined) {
  const calls: string[] = [];
  const state = { leads: true };
  const ports: RemovalPorts = {
    self: "a",
    members: () => [member("a", 0), member("b", 1)],
    leads: () => state.leads,
    change: async (change) => {
      calls.push(JSON.stringify(change.kind === "simple" ? change.steps : change.kind));
      return undefined;
    },
    transfer: async () => {
      calls.push("transfer");
      setTimeout(() => {
        state.leads = false;
      }, 30);
      return transfer();
    },
  };
  return { ports, calls, state };
}

test("another box is removed by the leader", async () => {
  const { ports, calls } = bed();
  assert.is(await removeMember(ports, 1), undefined);
  assert.equal(calls, ['[{"kind":"remove","raftId":"b"}]']);
});

test("a leader that is to go hands leadership on and removes nobody: the next leader does", async () => {
  const { ports, calls, state } = bed();
  assert.is(await removeMember(ports, 0), undefined);
  assert.is(state.leads, false, "it waited until it leads no more");
  assert.equal(calls, ["transfer"]);
});

test("a leader that nobody can follow stays", async () => {
  const { ports, calls } = bed(() => "there is no other voter");
  assert.match(String(await removeMember(ports, 0)), "no other voter");
  assert.equal(calls, ["transfer"]);
});

test("a server that never joined has no member to remove", async () => {
  const { ports, calls } = bed();
  assert.is(await removeMember(ports, 7), undefined);
  assert.equal(calls, []);
});

test.run();
