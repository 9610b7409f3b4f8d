import * as fs from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Incoming } from "../../../src/store/snapshot/incoming.ts";
import { parseManifest } from "../../../src/store/snapshot/manifest.ts";
import { obstacleToInstall } from "../../../src/store/snapshot/policy.ts";
import { openSqlitePackage } from "../../../src/store/state/sqlite-package.ts";
import type { StateHash } from "../../../src/store/state/types.ts";
import { Bed, CLUSTER, entriesOf, entryAt, MEMBERSHIP } from "../../support/snapshot-bed.ts";

const bed = new Bed("snapshot");
test.before.each(() => bed.clear());
test.after(() => fs.rmSync(bed.root, { recursive: true, force: true }));

/** The leader has applied 40 entries; its snapshot is of the 30th. */
async function leader(): Promise<{ snapshot: Awaited<ReturnType<Bed["take"]>>; at40: StateHash }> {
  await bed.box("leader", entriesOf(1, 30), 30);
  const state = await bed.openState("leader");
  const snapshot = await bed.take("leader", state);
  await state.apply(entriesOf(31, 40));
  const at40 = state.hash;
  await state.close();
  return { snapshot, at40 };
}

/** What a follower is after the installation and the entries that come then. */
async function goesOn(at40: StateHash): Promise<void> {
  const { log, recovered } = await bed.openLog("follower");
  assert.equal(recovered.damage, { kind: "none" });
  const state = await bed.openState("follower");
  assert.is(state.appliedIndex, 30);
  // Sessions are part of it: a repeated request executes nothing.
  assert.is(state.outcomeOf("box1:17")?.kind, "done");
  assert.ok(recovered.lastIndex >= 30);
  assert.equal(log.membershipAt(30), MEMBERSHIP);
  const rest = entriesOf(log.lastIndex() + 1, 40);
  await log.append({ entries: rest, commit: 40 });
  await state.apply(log.entries(31, 40, Number.POSITIVE_INFINITY));
  assert.equal(state.hash, at40, "the same state by another way");
  await state.close();
  await log.close();
}

class Crash extends Error {}

/** The power goes at each step in turn, once and once more. */
for (const step of ["marked", "decided", "cleared", "swapped"])
  test(`a crash when the installation has just ${step} is made good at the next start`, async () => {
    const { snapshot, at40 } = await leader();
    await bed.box("follower", entriesOf(1, 5), 5);
    await bed.receive("follower", snapshot);
    const crash = (name: string): void => {
      if (name === step) throw new Crash();
    };
    for (let life = 0; life < 2; life++)
      await bed.install("follower", crash).then(
        () => undefined,
        (error: unknown) => assert.instance(error, Crash),
      );
    await bed.install("follower");
    assert.is(await bed.install("follower"), undefined, "done once and for all");
    await goesOn(at40);
    assert.equal(fs.readdirSync(`${bed.root}/follower/snapshots`), []);
  });

test("what the log holds behind the snapshot's last entry stays; what contradicts it goes", async () => {
  const { snapshot, at40 } = await leader();
  await bed.box("follower", entriesOf(1, 36), 5);
  await bed.receive("follower", snapshot);
  assert.is(await bed.install("follower"), 30);
  const { log } = await bed.openLog("follower");
  assert.equal([log.firstIndex(), log.lastIndex()], [31, 36]);
  await log.close();
  await goesOn(at40);

  fs.rmSync(`${bed.root}/follower`, { recursive: true });
  await bed.box("follower", [...entriesOf(1, 10), ...entriesOf(11, 36, 2)], 5);
  await bed.receive("follower", snapshot);
  assert.is(await bed.install("follower"), 30);
  const { log: cut } = await bed.openLog("follower");
  assert.equal([cut.firstIndex(), cut.lastIndex(), cut.term(30)], [31, 30, 1]);
  await cut.close();
  await goesOn(at40);
});

test("a state that is lost or unreadable is replaced", async () => {
  const { snapshot, at40 } = await leader();
  await bed.box("follower", entriesOf(1, 36), 36);
  fs.writeFileSync(`${bed.root}/follower/state/state.db`, "no database any more");
  await bed.receive("follower", snapshot);
  assert.is(await bed.install("follower"), 30);
  await goesOn(at40);
});

test("what a killed process left beside its database is not played into the new one", async () => {
  const { snapshot, at40 } = await leader();
  await bed.box("follower", entriesOf(1, 5), 5);
  const directory = `${bed.root}/follower/state`;
  const state = await bed.openState("follower");
  await state.apply(entriesOf(6, 9));
  fs.cpSync(directory, `${bed.root}/killed`, { recursive: true });
  await state.close();
  fs.rmSync(directory, { recursive: true });
  fs.renameSync(`${bed.root}/killed`, directory);
  assert.ok(fs.statSync(`${directory}/state.db-wal`).size > 0);
  await bed.receive("follower", snapshot);
  assert.is(await bed.install("follower"), 30);
  assert.not.ok(fs.existsSync(`${directory}/state.db-wal`));
  await goesOn(at40);
});

test("an older snapshot than what is applied is never installed, unless somebody wants just that", async () => {
  const { snapshot, at40 } = await leader();
  await bed.box("follower", entriesOf(1, 36), 33);
  await bed.receive("follower", snapshot);
  assert.is(await bed.install("follower"), undefined);
  assert.match(bed.said.join("\n"), /thrown away: it is of index 30, 33 is applied already/);
  const state = await bed.openState("follower");
  assert.is(state.appliedIndex, 33);
  await state.close();
  await bed.receive("follower", snapshot, true);
  assert.is(await bed.install("follower"), 30, "forced: the log brings the rest again");
  await goesOn(at40);
});

test("another cluster's snapshot, and one of another generation, are not installed", async () => {
  await bed.box("leader", entriesOf(1, 30), 30);
  const state = await bed.openState("leader");
  for (const other of [{ lineage: "ffffffffffffffff" }, { generation: 2 }]) {
    await bed.box("follower", entriesOf(1, 5), 5);
    await bed.receive("follower", await bed.take("leader", state, other));
    assert.is(await bed.install("follower"), undefined);
    fs.rmSync(`${bed.root}/follower`, { recursive: true });
  }
  await state.close();
  assert.match(bed.said.join("\n"), /another cluster's/);
  assert.match(bed.said.join("\n"), /generation 2, 1 is in force/);
});

test("which snapshot may be installed: none that leaves a gap or contradicts what is committed", () => {
  const log = {
    firstIndex: () => 11,
    term: (index: number) => (index >= 10 && index <= 20 ? 2 : undefined),
  };
  const position = { applied: 12, log, commit: 15 };
  const may = (index: number, term: number, isForced = false): boolean =>
    obstacleToInstall({ index, term }, position, isForced) === undefined;
  assert.is(may(13, 2), true);
  assert.is(may(12, 2), false, "applied already");
  assert.is(may(12, 2, true), true);
  assert.is(may(10, 2, true), true, "the log goes on right behind it");
  assert.is(may(9, 2, true), false, "a gap");
  assert.is(may(13, 1), false, "committed with another term here");
  assert.is(may(16, 1), true, "uncommitted here: it conflicts and goes");
  assert.is(may(50, 3), true);
});

test("a snapshot that was broken off goes on where it was, by its hash; another one begins anew", async () => {
  const { snapshot } = await leader();
  const bytes = fs.readFileSync(snapshot.path);
  const directory = `${bed.root}/follower/snapshots`;
  const received = { manifest: snapshot.manifest, isForced: false };
  const first = await Incoming.open(directory, received, openSqlitePackage);
  await first.append(bytes.subarray(0, 9000));
  await first.leave();
  const second = await Incoming.open(directory, received, openSqlitePackage);
  assert.is(second.sizeBytes, 9000);
  await second.leave();
  const manifest = { ...snapshot.manifest, sha256: "0".repeat(64) };
  const other = await Incoming.open(directory, { manifest, isForced: false }, openSqlitePackage);
  assert.is(other.sizeBytes, 0);
  await other.leave();
});

test("one wrong bit, a missing piece or a manifest that is not the database's: not made ready, and begun anew", async () => {
  const { snapshot } = await leader();
  const bytes = fs.readFileSync(snapshot.path);
  const directory = `${bed.root}/follower/snapshots`;
  const flipped = Buffer.from(bytes);
  flipped[9000] = (flipped[9000] ?? 0) ^ 1;
  const cases: readonly [Buffer, Partial<typeof snapshot.manifest>, RegExp][] = [
    [flipped, {}, /sha256/],
    [bytes.subarray(0, 9000), {}, /9000 bytes are not/],
    [bytes, { index: 29 }, /is at 30 of term 1, the manifest says 29/],
    [bytes, { term: 2 }, /manifest says 30 of term 2/],
  ];
  for (const [content, change, why] of cases) {
    const manifest = { ...snapshot.manifest, ...change };
    const incoming = await Incoming.open(directory, { manifest, isForced: false }, openSqlitePackage);
    assert.is(incoming.sizeBytes, 0);
    await incoming.append(content);
    await incoming.finish().then(
      () => assert.unreachable(),
      (error: Error) => assert.match(error.message, why),
    );
    assert.is(await bed.install("follower"), undefined);
  }
});

test("a copy is of one index, whatever is written meanwhile, and the writer goes on", async () => {
  await bed.box("leader", entriesOf(1, 30), 30);
  const state = await bed.openState("leader");
  let written = 30;
  let isTaking = true;
  const writing = (async () => {
    while (isTaking) await state.apply([entryAt(++written)]);
  })();
  const { manifest, path } = await bed.take("leader", state);
  isTaking = false;
  await writing;
  assert.ok(written > 31, "the writer went on");
  const copy = await openSqlitePackage(path, "read");
  assert.equal(await copy.all("SELECT count(*) AS n, max(id) AS last FROM item", []), [
    [manifest.index - 1, manifest.index],
  ]);
  await copy.close();
  await state.close();
});

test("two snapshots are kept, the newest is found again after a restart, an unfinished one is not", async () => {
  await bed.box("leader", entriesOf(1, 30), 30);
  const state = await bed.openState("leader");
  for (let index = 31; index <= 34; index++) {
    await state.apply([entryAt(index)]);
    await bed.take("leader", state);
  }
  await state.close();
  const directory = `${bed.root}/leader/snapshots`;
  assert.is(fs.readdirSync(directory).length, 4, fs.readdirSync(directory).join());
  assert.is(bed.library("leader").newest()?.manifest.index, 34);
  for (const name of fs.readdirSync(directory))
    if (name.endsWith("34-000000000001.json")) fs.rmSync(`${directory}/${name}`);
  assert.is(bed.library("leader").newest()?.manifest.index, 33);
});

test("a manifest is read back, and nonsense is not", async () => {
  const { snapshot } = await leader();
  const text = JSON.stringify(snapshot.manifest);
  assert.equal(parseManifest(text), snapshot.manifest);
  assert.is(snapshot.manifest.lineage, CLUSTER.lineage);
  for (const wrong of [
    "{",
    "null",
    text.replace('"format":1', '"format":2'),
    text.replace('"index":30', '"index":-1'),
    text.replace('"membershipIndex":2', '"membershipIndex":31'),
    text.replace(/"sha256":"."/, '"sha256":""'),
    text.replace(/"sha256":"[0-9a-f]{64}"/, '"sha256":"beef"'),
  ].filter((one) => one !== text))
    assert.throws(() => parseManifest(wrong), /Cannot read the snapshot's manifest/);
});

test.run();
