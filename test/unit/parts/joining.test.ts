// The leader's side of a join on the real state database, with a membership that takes effect a moment later; and what a
// joiner leaves on its disk at each step.
import * as fs from "node:fs";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Change, encodeEntry, type Outcome } from "../../../src/base/entry.ts";
import type { JoinRequest } from "../../../src/cluster/hello.ts";
import { createIdentity, type Identity, loadIdentity } from "../../../src/cluster/identity.ts";
import { decodeJoinToken, JOIN_TOKEN_LIFE_MS, joinTokenSchema } from "../../../src/cluster/join-token.ts";
import type { MembershipAt } from "../../../src/cluster/ports.ts";
import { type HostPorts, JoinHost } from "../../../src/parts/admission.ts";
import { draftIdentity, storeMember } from "../../../src/parts/joining.ts";
import { changeMembership, soloMembership } from "../../../src/raft/membership.ts";
import type { Member, Membership } from "../../../src/raft/types.ts";
import { openState } from "../../../src/store/state/state.ts";
import type { State } from "../../../src/store/state/types.ts";

const LEADER = "00000000000000aa";
const member = (raftId: string, serverId: number): Member => ({
  ...{ raftId, serverId, name: `server-${serverId}` },
  ...{ certificateHash: "11".repeat(32), peerAddress: `10.0.0.${serverId + 1}:2636` },
});
const request = (secret: string, raftId: string, serverId = 1): JoinRequest => ({
  ...{ secret, serverId, raftId },
  ...{ certificateHash: "22".repeat(32), address: `10.0.0.${serverId + 1}:2636` },
});

const CLUSTER = { lineage: "0011223344556677", generation: 1 };

class Bed {
  membership: MembershipAt = { value: soloMembership(member(LEADER, 0)), index: 0 };
  nowMs = 1_000_000;
  leads = true;
  readonly alive = new Set([LEADER]);
  /** What the next changes of the membership are answered instead of being taken. */
  readonly refusals: string[] = [];
  /** Outcomes of the next entries; they are applied all the same. */
  readonly outcomes: Outcome[] = [];
  readonly host: JoinHost;
  readonly state: State;
  readonly #directory: string;

  private constructor(state: State, directory: string) {
    this.state = state;
    this.#directory = directory;
    const ports: HostPorts = {
      isLeader: () => this.leads,
      membership: () => this.membership,
      cluster: CLUSTER,
      read: (sql, values) => state.read(sql, values),
      propose: (kind, change) => this.#propose(kind, change),
      change: async (change) => {
        const refusal = this.refusals.shift();
        if (refusal !== undefined) return refusal;
        const result = changeMembership(this.membership.value, change);
        if (result.kind === "refused") return result.why;
        setTimeout(() => this.become(result.membership), 5);
        return undefined;
      },
      clusterKey: () => Buffer.from("k".repeat(32)),
      oneAuth: () => "oneadmin:secret",
      nowMs: () => this.nowMs,
      isAlive: async (raftId) => this.alive.has(raftId),
    };
    this.host = new JoinHost(ports);
  }

  static async open(): Promise<Bed> {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), "joining-"));
    const bed = new Bed(await openState(directory, { featureLevel: 1 }), directory);
    const tables = [...joinTokenSchema, { sql: "CREATE TABLE server(id INTEGER PRIMARY KEY, name TEXT)", values: [] }];
    const rows = [0, 1, 2].map((id) => ({ sql: "INSERT INTO server VALUES(?,?)", values: [id, `server-${id}`] }));
    await bed.#propose("set-up", { guards: [], statements: [...tables, ...rows], tags: [] });
    return bed;
  }

  become(value: Membership): void {
    this.membership = { value, index: this.membership.index + 1 };
  }

  async secret(serverId = 1): Promise<string> {
    const made = await this.host.createToken(serverId);
    if ("why" in made) throw new Error(made.why);
    return decodeJoinToken(made.token).secret;
  }

  ids(): string[] {
    return this.membership.value.members.map((one) => one.raftId);
  }

  async close(): Promise<void> {
    await this.state.close();
    fs.rmSync(this.#directory, { recursive: true });
  }

  async #propose(kind: string, change: Change): Promise<Outcome> {
    const index = this.state.appliedIndex + 1;
    const entry = { version: 1 as const, requestId: `bed:${index}`, kind, at: 0, ...change };
    const [applied] = await this.state.apply([{ index, term: 1, kind: "normal", data: encodeEntry(entry) }]);
    return this.outcomes.shift() ?? (applied as { outcome: Outcome }).outcome;
  }
}

async function refusal(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return String(error);
  }
  throw new Error("it was not refused");
}

function bedTest(name: string, run: (bed: Bed) => Promise<void>): void {
  test(name, async () => {
    const bed = await Bed.open();
    try {
      await run(bed);
    } finally {
      await bed.close();
    }
  });
}

const [NEW, OTHER] = ["00000000000000bb", "00000000000000cc"] as const;

bedTest("a box with a token becomes a learner and is given what it starts from", async (bed) => {
  const answer = await bed.host.admit(request(await bed.secret(), NEW));
  assert.equal(bed.membership.value.learners, [NEW]);
  assert.equal(answer.membership, bed.membership);
  assert.is(Buffer.from(answer.clusterKey, "base64").toString(), "k".repeat(32));
  assert.is(bed.membership.value.members.find((one) => one.raftId === NEW)?.name, "server-1");
});

bedTest("a wrong secret, another server's token and an old token are refused with the reason", async (bed) => {
  const secret = await bed.secret();
  assert.match(await refusal(bed.host.admit(request("00", NEW))), "unknown");
  assert.match(await refusal(bed.host.admit(request(secret, NEW, 2))), "for server 1, not 2");
  bed.nowMs += JOIN_TOKEN_LIFE_MS + 1;
  assert.match(await refusal(bed.host.admit(request(secret, NEW))), "older than one hour");
  assert.equal(bed.ids(), [LEADER]);
});

bedTest("a newer token of the same server ends the older one", async (bed) => {
  const old = await bed.secret();
  const fresh = await bed.secret();
  assert.match(await refusal(bed.host.admit(request(old, NEW))), "replaced");
  await bed.host.admit(request(fresh, NEW));
});

bedTest("a token lets one box in: again if its answer was lost, and nobody else", async (bed) => {
  const secret = await bed.secret();
  await bed.host.admit(request(secret, NEW));
  const again = await bed.host.admit(request(secret, NEW));
  assert.equal(again.membership, bed.membership);
  assert.match(await refusal(bed.host.admit(request(secret, OTHER))), "used by another box");
  assert.equal(bed.ids(), [LEADER, NEW]);
});

bedTest("two boxes with one token at the same time: one is let in", async (bed) => {
  const secret = await bed.secret();
  const both = await Promise.allSettled([NEW, OTHER].map((raftId) => bed.host.admit(request(secret, raftId))));
  assert.equal(
    both.map((one) => one.status),
    ["fulfilled", "rejected"],
  );
  assert.equal(bed.ids(), [LEADER, NEW]);
});

bedTest("a leader that is lost while it lets a box in: the next one goes on with the same token", async (bed) => {
  const secret = await bed.secret();
  bed.outcomes.push({ kind: "unknown", why: "leadership was lost" });
  assert.match(await refusal(bed.host.admit(request(secret, NEW))), "try again");
  bed.leads = false;
  assert.match(await refusal(bed.host.admit(request(secret, NEW))), "does not lead");
  bed.leads = true;
  await bed.host.admit(request(secret, NEW));
  assert.equal(bed.ids(), [LEADER, NEW]);
});

bedTest(
  "a box that lost its disk takes its former self's place in one change; one that is alive keeps it",
  async (bed) => {
    const withTwo = changeMembership(bed.membership.value, {
      kind: "simple",
      steps: [{ kind: "add-voter", member: member(OTHER, 1) }],
    });
    if (withTwo.kind === "refused") throw new Error(withTwo.why);
    bed.become(withTwo.membership);
    bed.alive.add(OTHER);
    assert.match(await refusal(bed.secret()), "server 1 is alive");
    bed.alive.delete(OTHER);
    const secret = await bed.secret();
    bed.alive.add(OTHER);
    assert.match(await refusal(bed.host.admit(request(secret, NEW))), "server 1 is alive");
    assert.equal(bed.ids(), [LEADER, OTHER]);
    bed.alive.delete(OTHER);
    await bed.host.admit(request(secret, NEW));
    assert.equal(bed.ids(), [LEADER, NEW]);
    assert.equal(bed.membership.value.voters, [LEADER]);
    assert.equal(bed.membership.value.learners, [NEW]);
  },
);

bedTest("a damaged member takes its own place as somebody new, once, and nobody else's", async (bed) => {
  const withTwo = changeMembership(bed.membership.value, {
    kind: "simple",
    steps: [{ kind: "add-voter", member: member(OTHER, 1) }],
  });
  if (withTwo.kind === "refused") throw new Error(withTwo.why);
  bed.become(withTwo.membership);
  const asking = { ...request("", NEW), serverId: -1 };
  assert.match(await refusal(bed.host.admit(asking)), "no member");
  assert.match(await refusal(bed.host.admit({ ...asking, replaces: "00000000000000dd" })), "no member");
  bed.alive.add(OTHER);
  assert.match(await refusal(bed.host.admit({ ...asking, replaces: OTHER })), "server 1 is alive");
  bed.alive.delete(OTHER);
  const answer = await bed.host.admit({ ...asking, replaces: OTHER });
  assert.equal(bed.ids(), [LEADER, NEW]);
  assert.equal(
    answer.membership.value.members.map((one) => [one.raftId, one.serverId, one.name]),
    [
      [LEADER, 0, "server-0"],
      [NEW, 1, "server-1"],
    ],
  );
  assert.equal(bed.membership.value.learners, [NEW]);
  // The answer was lost: it asks as who it is now, and is in.
  assert.equal((await bed.host.admit(asking)).membership, bed.membership);
  assert.match(await refusal(bed.host.admit({ ...asking, certificateHash: "33".repeat(32) })), "no member");
});

bedTest("the leader does not let a box take its own place", async (bed) => {
  assert.match(await refusal(bed.secret(0)), "server 0 is alive");
});

bedTest("two boxes cannot have one address", async (bed) => {
  const secret = await bed.secret();
  const asking = { ...request(secret, NEW), address: "10.0.0.1:2636" };
  assert.match(await refusal(bed.host.admit(asking)), "that of server 0");
});

bedTest("a change in flight is waited for", async (bed) => {
  const secret = await bed.secret();
  bed.refusals.push("another change may be in flight", "another change may be in flight");
  await bed.host.admit(request(secret, NEW));
  assert.equal(bed.refusals, []);
  assert.equal(bed.ids(), [LEADER, NEW]);
});

bedTest("whoever reaches the port can ask, but only some at once", async (bed) => {
  const asked = Array.from({ length: 50 }, () => bed.host.admit(request("00", NEW)));
  const reasons = (await Promise.allSettled(asked)).map((one) => (one.status === "rejected" ? String(one.reason) : ""));
  assert.ok(reasons.filter((reason) => reason.includes("too many boxes")).length >= 40);
  await bed.host.admit(request(await bed.secret(), NEW));
});

function files() {
  const data = fs.mkdtempSync(path.join(os.tmpdir(), "joiner-"));
  fs.writeFileSync(`${data}/token`, "rf1.x");
  return { data, joinToken: `${data}/token`, clusterKey: `${data}/cluster.key` };
}

test("a joiner that restarts before it had its answer asks as the same box, and belongs to no cluster yet", async () => {
  const at = files();
  const first = await draftIdentity(at);
  assert.equal(await draftIdentity(at), first);
  assert.is(loadIdentity(at.data), undefined);
  assert.is(fs.statSync(`${at.data}/joining`).mode & 0o777, 0o700);
  assert.is(fs.statSync(`${at.data}/joining/identity.json`).mode & 0o777, 0o600);
  fs.rmSync(at.data, { recursive: true });
});

test("the identity is stored last: a joiner without its membership is still a joiner", async () => {
  const at = files();
  const draft = await draftIdentity(at);
  const identity: Identity = { ...draft, cluster: { lineage: "0011223344556677", generation: 1 } };
  const answer = {
    membership: { value: soloMembership(member(LEADER, 0)), index: 3 },
    cluster: CLUSTER,
    clusterKey: Buffer.from("k".repeat(32)).toString("base64"),
  };
  const crash = (): never => {
    throw new Error("power cut");
  };
  assert.throws(() => storeMember(at, identity, answer, crash), /power cut/);
  assert.is(loadIdentity(at.data), undefined);
  assert.ok(fs.existsSync(at.joinToken));
  let kept: MembershipAt | undefined;
  storeMember(at, await draftIdentity(at), answer, (membership) => {
    kept = membership;
  });
  assert.equal(kept, answer.membership);
  assert.is(loadIdentity(at.data)?.raftId, draft.raftId);
  assert.is(fs.statSync(at.clusterKey).mode & 0o777, 0o600);
  assert.ok(!fs.existsSync(at.joinToken));
  assert.ok(!fs.existsSync(`${at.data}/joining`), "a wiped box must find no trace of who it was");
  fs.rmSync(at.data, { recursive: true });
});

test("every identity is another one", async () => {
  const [one, two] = [await createIdentity(null), await createIdentity(null)];
  assert.is.not(one.raftId, two.raftId);
  assert.is.not(one.certificateHash, two.certificateHash);
});

test.run();
