// A new generation, step by step with a crash after each: it is entered once, by one number, and recorded once.
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Change, Outcome } from "../../../src/base/entry.ts";
import { createIdentity, loadIdentity, saveIdentity } from "../../../src/cluster/identity.ts";
import { joinTokenSchema, storeToken } from "../../../src/cluster/join-token.ts";
import { fenceSchema } from "../../../src/fence/record.ts";
import { type GenerationFact, generationSchema } from "../../../src/one/generation.ts";
import {
  beginGeneration,
  enterGeneration,
  markInForce,
  readGeneration,
  recordGeneration,
} from "../../../src/parts/generation.ts";
import { aloneMembership } from "../../../src/parts/start-membership.ts";
import { changeMembership, EMPTY_MEMBERSHIP } from "../../../src/raft/membership.ts";
import type { Member } from "../../../src/raft/types.ts";
import { SoloFrontEnd } from "../../support/solo-front-end.ts";

const cluster = { lineage: "0011223344556677", generation: 4 };
const fact: Omit<GenerationFact, "generation"> = {
  ...{ reason: "force-recover", by: "oneadmin", at: 1000, serverId: 1, name: "box1", commit: 90, lastIndex: 100 },
  former: [{ serverId: 0, name: "box0", peerAddress: "10.0.0.1:2636" }],
};

async function directory(): Promise<string> {
  const data = fs.mkdtempSync(path.join(os.tmpdir(), "generation-"));
  saveIdentity(data, await createIdentity(cluster));
  return data;
}

const identityOf = (data: string) => {
  const identity = loadIdentity(data);
  if (identity === undefined) throw new Error("no identity");
  return identity;
};

test("a box without a begun generation keeps its identity", async () => {
  const data = await directory();
  assert.equal(enterGeneration(data, identityOf(data)), identityOf(data));
  markInForce(data);
  assert.is(readGeneration(data), undefined);
  fs.rmSync(data, { recursive: true });
});

test("however often it starts, a box enters the generation once, as the same box", async () => {
  const data = await directory();
  const before = identityOf(data);
  assert.equal(beginGeneration(data, cluster, fact).cluster, { ...cluster, generation: 5 });
  for (let start = 0; start < 3; start++) {
    assert.is(readGeneration(data)?.isInForce, undefined, "until the log has it, each start does it again");
    assert.equal(enterGeneration(data, identityOf(data)), { ...before, cluster: { ...cluster, generation: 5 } });
    assert.equal(identityOf(data).cluster, { ...cluster, generation: 5 }, "durable before the log is touched");
  }
  markInForce(data);
  assert.is(readGeneration(data)?.isInForce, true, "and never again: others may have joined since");
  assert.equal(enterGeneration(data, identityOf(data)).cluster, { ...cluster, generation: 5 });
  fs.rmSync(data, { recursive: true });
});

test("the leader records it once, ends old tokens and disarms fencing; a crash before the file is gone does no harm", async () => {
  const box = await SoloFrontEnd.start({ schema: [...joinTokenSchema, ...fenceSchema, ...generationSchema] });
  const data = await directory();
  const propose = (_kind: string, change: Change): Promise<Outcome> => box.apply(...change.statements);
  const begun = beginGeneration(data, cluster, fact);
  await box.apply(...storeToken(1, "secret", 0).statements);
  const failing = (): Promise<Outcome> => Promise.resolve({ kind: "unknown", why: "leadership was lost" });
  let said = "";
  await recordGeneration(data, failing).catch((error: unknown) => {
    said = String(error);
  });
  assert.match(said, "Cannot record generation 5");
  assert.ok(readGeneration(data), "it is tried again by the next leadership");
  assert.equal(await recordGeneration(data, propose), begun.fact);
  assert.is(readGeneration(data), undefined);
  beginGeneration(data, cluster, fact);
  await recordGeneration(data, propose);
  const facts = await box.state.read("SELECT generation,fact FROM generation");
  assert.equal(facts, [[5, JSON.stringify(begun.fact)]]);
  assert.equal(await box.state.read("SELECT * FROM join_token"), []);
  assert.equal(await box.state.read("SELECT armed,changed_by FROM fence_setting"), [[0, "oneadmin"]]);
  assert.is(await recordGeneration(data, propose), undefined);
  // A person reads of it; the record itself stays.
  assert.is(await box.value("ringfence.recovery.acknowledge"), "1");
  assert.is(await box.value("ringfence.recovery.acknowledge"), "0");
  assert.equal(await box.state.read("SELECT generation,acknowledged_by FROM generation"), [[5, "oneadmin"]]);
  fs.rmSync(data, { recursive: true });
  await box.stop();
});

test("who goes on alone is the only voter from the log's last entry on", () => {
  const member = (raftId: string): Member => ({
    ...{ raftId, serverId: 0, name: "x", certificateHash: "00", peerAddress: "a:1" },
  });
  const [a, b] = ["00000000000000aa", "00000000000000bb"] as const;
  let value = EMPTY_MEMBERSHIP;
  for (const raftId of [a, b]) {
    const step = { kind: "simple", steps: [{ kind: "add-voter", member: member(raftId) }] } as const;
    const result = changeMembership(value, step);
    if (result.kind === "changed") value = result.membership;
  }
  const alone = aloneMembership({ value, index: 7 }, b, 50);
  assert.equal([alone.value.voters, alone.value.members.map((one) => one.raftId), alone.index], [[b], [b], 50]);
  assert.is(aloneMembership({ value, index: 70 }, b, 50).index, 70, "never before the membership that it replaces");
  assert.throws(() => aloneMembership({ value, index: 7 }, "00000000000000cc", 50), /no member/);
});

test.run();
