import { test } from "uvu";
import * as assert from "uvu/assert";
import { type ResetPorts, resetMember } from "../../../src/parts/server-reset.ts";

const member = (serverId: number) => ({
  ...{ raftId: `raft-${serverId}`, serverId, certificateHash: "", peerAddress: "", name: `server-${serverId}` },
});

function bed(): { ports: ResetPorts; sent: string[] } {
  const sent: string[] = [];
  const ports: ResetPorts = {
    self: "raft-0",
    members: () => [member(0), member(1), member(2)],
    reachable: async () => ["raft-1"],
    send: (raftId) => void sent.push(raftId),
  };
  return { ports, sent };
}

test("a server that answers is sent the state", async () => {
  const { ports, sent } = bed();
  assert.is(await resetMember(ports, 1), undefined);
  assert.equal(sent, ["raft-1"]);
});

test("the leader, a server that is off and one that does not exist are not", async () => {
  const { ports, sent } = bed();
  assert.match((await resetMember(ports, 0)) ?? "", /leads/);
  assert.match((await resetMember(ports, 2)) ?? "", /does not answer/);
  assert.match((await resetMember(ports, 7)) ?? "", /SERVER not found in zone/);
  assert.equal(sent, []);
});

test.run();
