import { test } from "uvu";
import * as assert from "uvu/assert";
import { bootOrder, markGood, switchTo } from "../../../src/box/grub-env.ts";
import { NO_HEALTH, switchObstacle } from "../../../src/box/update/policy.ts";
import { bundleOf, contentOf, release, updateKey } from "../../support/box/bundles.ts";
import { FakeBox, newVersion, SLOT_BYTES } from "../../support/box/fake-box.ts";

const KEY = updateKey();
const OLD = release({ version: "0.1.0" });
const NEW = release({ version: "0.2.0" });
const { bundle, sum } = newVersion(KEY, NEW, 2);
const RELEASES = new Map([
  ["0.1.0", newVersion(KEY, OLD, 1).sum],
  ["0.2.0", sum],
]);

async function orderOf(box: FakeBox): Promise<string> {
  return bootOrder((await box.store.read()).env).join("");
}

test("an update goes to the other slot, is started on trial, and is good when its box is", async () => {
  const box = new FakeBox(KEY, OLD);
  assert.is(await box.install(bundle, { before: { ...NO_HEALTH, hasLeader: true } }), "");
  assert.is(await orderOf(box), "BA");
  assert.is(box.record?.outcome, "trial");
  assert.is(box.record?.before.hasLeader, true);
  assert.equal([box.record?.from.version, box.record?.to.version, box.record?.to.slot], ["0.1.0", "0.2.0", "B"]);
  await box.boot(RELEASES);
  assert.is(box.running.slot, "B");
  await box.becomeGood();
  assert.equal((await box.store.read()).env.slots.B, { isGood: true, tries: 0 });
});

test("a version that never becomes healthy is tried three times, then the old one runs again", async () => {
  const box = new FakeBox(KEY, OLD);
  await box.install(bundle);
  for (const slot of ["B", "B", "B", "A"]) {
    await box.boot(RELEASES);
    assert.is(box.running.slot, slot);
  }
});

test("a bad bundle makes no slot bootable, and says what is wrong with it", async () => {
  const other = updateKey();
  const content = contentOf(NEW, 2);
  const damaged = Uint8Array.from(bundle);
  damaged[damaged.length - 10] = (damaged[damaged.length - 10] ?? 0) ^ 1;
  const cases: readonly [string, Uint8Array, RegExp][] = [
    ["truncated", bundle.subarray(0, bundle.length - 5000), /ends after \d+ of 24576 bytes/],
    ["damaged", damaged, /not what its manifest says/],
    ["too long", Buffer.concat([bundle, Buffer.alloc(10)]), /goes on after/],
    ["another's key", bundleOf(other, NEW, content), /not signed by the key/],
    ["architecture", bundleOf(KEY, { ...NEW, architecture: "arm64" }, content), /for arm64, this box is x86_64/],
    [
      "too large",
      bundleOf(KEY, { ...NEW, imageBytes: SLOT_BYTES }, contentOf({ ...NEW, imageBytes: SLOT_BYTES })),
      /a slot of this box has/,
    ],
    ["older", bundleOf(KEY, { ...NEW, version: "0.0.9" }, content), /older than 0\.1\.0.*--downgrade/],
    ["replayed", bundleOf(KEY, { ...OLD, builtAt: OLD.builtAt - 1 }, content), /older than 0\.1\.0/],
    ["level", bundleOf(KEY, { ...NEW, featureLevelMin: 3 }, content), /needs feature level 3, and the cluster is at 1/],
  ];
  for (const [name, bytes, why] of cases) {
    const box = new FakeBox(KEY, OLD);
    assert.match(await box.install(bytes), why, name);
    assert.is(await orderOf(box), "A", name);
    assert.is(box.record, undefined, name);
    assert.is(box.wholeRelease("B", RELEASES), undefined, name);
    assert.is(await box.install(bundle), "", `${name}, then a good one`);
  }
});

test("an older version is installed when a person insists and the cluster's level is known to allow it", async () => {
  const old = bundleOf(KEY, { ...NEW, version: "0.0.9" }, contentOf(NEW, 2));
  const downgrade = { allowsDowngrade: true };
  assert.is(await new FakeBox(KEY, OLD).install(old, downgrade), "");
  assert.match(await new FakeBox(KEY, OLD).install(old, { ...downgrade, levelInForce: 2 }), /there is no way back/);
  assert.match(await new FakeBox(KEY, OLD).install(old, { ...downgrade, levelInForce: undefined }), /not known/);
});

test("a secure box takes only what its boot loader would start, and any other box takes that too", async () => {
  const [own, other] = ["a", "b"].map((digit) => digit.repeat(40)) as [string, string];
  const signedBy = (bootKey: string | undefined) => bundleOf(KEY, { ...NEW, bootKey }, contentOf(NEW, 2));
  const secure = { bootKey: own };
  assert.match(
    await new FakeBox(KEY, OLD).install(signedBy(undefined), secure),
    /only what the OpenPGP key a{40} has signed, and version 0\.2\.0 is not signed for it/,
  );
  assert.match(await new FakeBox(KEY, OLD).install(signedBy(other), secure), /0\.2\.0 is signed by b{40}/);
  assert.is(await new FakeBox(KEY, OLD).install(signedBy(own), secure), "");
  assert.is(await new FakeBox(KEY, OLD).install(signedBy(own)), "");
  assert.match(String(switchObstacle(NEW, 1, own)), /is not signed for it/);
});

test("an update on trial is not overwritten by the next one: the other slot is its way back", async () => {
  const box = new FakeBox(KEY, OLD);
  await box.install(bundle);
  await box.boot(RELEASES);
  assert.match(await box.install(newVersion(KEY, release({ version: "0.3.0" }), 3).bundle), /0\.2\.0 runs on trial/);
});

test("write errors, a bad sector and a stop end with an empty slot that is not tried", async () => {
  const failing = new FakeBox(KEY, OLD);
  failing.slots.B.failsFrom = 4096;
  assert.match(await failing.install(bundle), /EIO.*and the slot cannot be emptied: EIO/);
  assert.is(await orderOf(failing), "A");

  const bad = new FakeBox(KEY, OLD);
  bad.slots.B.badSector = 20;
  assert.match(await bad.install(bundle), /does not hold what was written/);
  assert.is(await orderOf(bad), "A");

  const stopped = new FakeBox(KEY, OLD);
  let abort: () => void = () => undefined;
  const big = newVersion(KEY, { ...NEW, imageBytes: 1024 * 1024 + 8192 }, 2).bundle;
  const installation = await stopped.installation(big, { progressed: () => abort() });
  abort = () => installation.abort();
  const why = await installation.run().then(
    () => "",
    (error: unknown) => (error as Error).message,
  );
  assert.match(why, /it was stopped/);
  assert.is(await orderOf(stopped), "A");
  for (const at of [0, SLOT_BYTES - 4096]) assert.ok(stopped.slots.B.peek(at, 4096).every((byte) => byte === 0));
});

test("both copies of the environment lost: what runs is what boots, and an update makes them anew", async () => {
  const box = new FakeBox(KEY, OLD);
  for (const file of [box.esp.files.env1, box.esp.files.env2]) file.put(0, new Uint8Array(1024));
  assert.is(await orderOf(box), "A");
  assert.is((await box.store.repair()).wasWhole, false);
  assert.is((await box.store.repair()).wasWhole, true);
  assert.is(await box.install(bundle), "");
  await box.boot(RELEASES);
  assert.is(box.running.slot, "B");
});

test("a try that GRUB counted in env1 alone is kept by the next change", async () => {
  const box = new FakeBox(KEY, OLD);
  await box.install(bundle);
  await box.boot(RELEASES);
  const { env, isWhole } = await box.store.read();
  assert.equal([env.slots.B.tries, isWhole], [1, false]);
  assert.is((await box.store.change((now) => ({ ...now, mode: "recovery" }))).slots.B.tries, 1);
  assert.is((await box.store.read()).isWhole, true);
  assert.is(switchTo(markGood(env, "B"), "B").slots.B.isGood, false);
});

test.run();
