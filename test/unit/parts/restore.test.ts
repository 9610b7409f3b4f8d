import * as fs from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createIdentity, loadIdentity, saveIdentity } from "../../../src/cluster/identity.ts";
import { readGeneration } from "../../../src/parts/generation.ts";
import { completeRestore, isRestoreRequested } from "../../../src/parts/restore.ts";
import { EMPTY_MEMBERSHIP } from "../../../src/raft/membership.ts";
import { decodeMembership, encodeMembership } from "../../../src/raft/membership-codec.ts";
import type { Member } from "../../../src/raft/types.ts";
import { openLog } from "../../../src/store/log/log.ts";
import { readBackupHeader, writeBackup } from "../../../src/store/snapshot/backup.ts";
import { openState } from "../../../src/store/state/state.ts";
import { Bed, CLUSTER, entriesOf, SEGMENT_BYTES } from "../../support/snapshot-bed.ts";

const bed = new Bed("restore");
const data = `${bed.root}/box`;
const backup = `${bed.root}/monday.backup`;
const member = (number: number): Member => ({
  ...{ raftId: String(number).padStart(16, "0"), serverId: number, certificateHash: "ab", name: `server-${number}` },
  peerAddress: `10.0.0.${number}:2636`,
});
const members = [member(0), member(1), member(2)];
let credentials: string[] = [];

test.before(async () => {
  await bed.box("leader", entriesOf(1, 30), 30);
  const state = await bed.openState("leader");
  const membership = { ...EMPTY_MEMBERSHIP, voters: members.map((one) => one.raftId), members };
  const snapshot = await bed.take("leader", state, {
    membership: Buffer.from(encodeMembership(membership)).toString("base64"),
  });
  await state.close();
  const clusterKey = Buffer.from("key").toString("base64");
  await writeBackup(backup, { manifest: snapshot.manifest, clusterKey, oneAuth: "oneadmin:old" }, snapshot.path);
});
test.after(() => fs.rmSync(bed.root, { recursive: true, force: true }));
test.before.each(() => {
  fs.rmSync(data, { recursive: true, force: true });
  fs.mkdirSync(data);
  credentials = [];
  bed.said.length = 0;
});

function layDown(request: object = {}, file = backup): void {
  fs.mkdirSync(`${data}/restore`, { recursive: true });
  fs.copyFileSync(file, `${data}/restore/backup`);
  fs.writeFileSync(`${data}/restore/request.json`, JSON.stringify(request));
}

const restore = (step?: (name: string) => void, serverId = -1): Promise<boolean> =>
  completeRestore({
    ...{ data, serverId, peerAddress: "10.0.0.9:2636", log: bed.log, step, segmentSizeBytes: SEGMENT_BYTES },
    writeCredentials: (line) => void credentials.push(line),
  });

/** The box that the backup was taken on, three generations later, with a state of its own. */
async function formerBox(): Promise<void> {
  const identity = await createIdentity({ lineage: CLUSTER.lineage, generation: 4 });
  saveIdentity(data, { ...identity, raftId: member(1).raftId });
  for (const name of ["log", "state", "snapshots"]) {
    fs.mkdirSync(`${data}/${name}`);
    fs.writeFileSync(`${data}/${name}/old`, "");
  }
  for (const name of ["bootstrap.json", "cluster.key", "stood-down.json"]) fs.writeFileSync(`${data}/${name}`, "{}");
}

async function isRestored(place: Member, generation: number, isKnown: boolean): Promise<void> {
  assert.not.ok(isRestoreRequested(data));
  assert.not.ok(fs.existsSync(`${data}/restore`));
  assert.not.ok(fs.existsSync(`${data}/stood-down.json`));
  const identity = loadIdentity(data);
  assert.equal(identity?.cluster, { lineage: CLUSTER.lineage, generation });
  assert.is(identity?.raftId === place.raftId, isKnown, "the others know it by its identity, a fresh box has its own");
  const { log, recovered } = await openLog(`${data}/log`, { writer: "inline", segmentSizeBytes: SEGMENT_BYTES });
  const value = decodeMembership(recovered.membership?.bytes ?? new Uint8Array());
  assert.equal(value.voters, [identity?.raftId]);
  assert.equal([value.members[0]?.serverId, value.members[0]?.name], [place.serverId, place.name]);
  assert.is(value.members[0]?.certificateHash, identity?.certificateHash);
  assert.equal([recovered.firstIndex, recovered.lastIndex, recovered.commit, log.term(30)], [31, 30, 30, 1]);
  await log.close();
  const state = await openState(`${data}/state`, { featureLevel: 1 });
  assert.is(state.appliedIndex, 30);
  await state.close();
  assert.is(fs.readFileSync(`${data}/cluster.key`, "utf8"), "key");
  const begun = readGeneration(data);
  assert.equal([begun?.fact.reason, begun?.fact.generation, begun?.isInForce], ["restore", generation, true]);
  assert.equal(
    begun?.fact.former.map((one) => one.serverId),
    [0, 1, 2].filter((id) => id !== place.serverId),
  );
}

test("a box becomes the first one of a new generation, and what it had is kept once", async () => {
  await formerBox();
  layDown();
  assert.is(await restore(), true);
  await isRestored(member(1), 5, true);
  assert.equal(credentials, ["oneadmin:old"]);
  assert.equal(fs.readdirSync(`${data}/former`).sort(), [
    ...["bootstrap.json", "cluster.key", "identity.json", "log", "snapshots", "state", "stood-down.json"],
  ]);
  assert.is(await restore(), false, "once");
});

test("whatever step it is broken off at, the next starts make it whole", async () => {
  const steps: string[] = [];
  await formerBox();
  layDown();
  await restore((name) => steps.push(name));
  assert.ok(steps.length > 15);
  for (const at of steps) {
    fs.rmSync(data, { recursive: true });
    fs.mkdirSync(data);
    await formerBox();
    layDown();
    const crash = (name: string): void => {
      if (name === at) throw new Error("crash");
    };
    for (let life = 0; life < 2; life++) await restore(crash).catch(() => undefined);
    await restore();
    await isRestored(member(1), 5, true);
    assert.ok(fs.existsSync(`${data}/former/log/old`), `${at}: what it had is kept`);
    assert.not.ok(fs.existsSync(`${data}/log/old`), at);
  }
});

test("a fresh box is told which server it is, by its configuration or by hand; else it asks", async () => {
  layDown();
  assert.is(await restore(), false);
  assert.match(bed.said.join("\n"), /say which server this box is \(--server\): the backup has 0 \(server-0\), 1 /);
  assert.equal(fs.readdirSync(data), [], "nothing has changed");
  layDown();
  assert.is(await restore(undefined, 2), true);
  await isRestored(member(2), 2, false);
  fs.rmSync(data, { recursive: true });
  fs.mkdirSync(data);
  layDown({ serverId: 0 });
  assert.is(await restore(undefined, 2), true);
  await isRestored(member(0), 2, false);
});

test("a backup that is no good changes nothing", async () => {
  await formerBox();
  const before = fs.readdirSync(data).sort();
  const bytes = fs.readFileSync(backup);
  bytes[bytes.length - 3000] = (bytes[bytes.length - 3000] ?? 0) ^ 1;
  const broken = `${bed.root}/broken.backup`;
  for (const content of [bytes, bytes.subarray(0, bytes.length - 1), Buffer.from("no backup\n"), Buffer.from("")]) {
    fs.writeFileSync(broken, content);
    layDown({}, broken);
    assert.is(await restore(), false);
    assert.equal(fs.readdirSync(data).sort(), before);
  }
  assert.match(bed.said.join("\n"), /not restored: .*sha256/);
});

test("a copy that was broken off before it was asked for is cleared away", async () => {
  fs.mkdirSync(`${data}/restore`);
  fs.writeFileSync(`${data}/restore/backup`, "half");
  assert.is(await restore(), false);
  assert.equal(fs.readdirSync(data), []);
});

test("a backup says what it is, and is not there before it is whole", async () => {
  const { manifest, oneAuth } = readBackupHeader(backup);
  assert.equal([manifest.index, oneAuth], [30, "oneadmin:old"]);
  assert.is(fs.statSync(backup).mode & 0o777, 0o600);
  const gone = `${bed.root}/gone.backup`;
  await writeBackup(gone, { manifest, clusterKey: "", oneAuth: undefined }, `${bed.root}/no-such-file`).then(
    () => assert.unreachable(),
    () => undefined,
  );
  assert.equal(
    fs.readdirSync(bed.root).filter((name) => name.startsWith("gone")),
    [],
  );
});

test.run();
