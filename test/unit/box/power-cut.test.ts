import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import { release, updateKey } from "../../support/box/bundles.ts";
import { FakeBox, newVersion } from "../../support/box/fake-box.ts";

const KEY = updateKey();
const OLD = release({ version: "0.1.0", imageBytes: 1024 * 1024 });
const NEW = release({ version: "0.2.0", imageBytes: 1024 * 1024 + 4096 });
const NEWER = release({ version: "0.3.0", imageBytes: 1024 * 1024 - 4096 });
const [oldOne, newOne, newerOne] = [newVersion(KEY, OLD, 1), newVersion(KEY, NEW, 2), newVersion(KEY, NEWER, 3)];
const RELEASES = new Map([
  ["0.1.0", oldOne.sum],
  ["0.2.0", newOne.sum],
  ["0.3.0", newerOne.sum],
]);
/** Random cuts beside the ones at each step. */
const CUTS = 120;

/** 0.2.0 in B, good; A holds 0.1.0: the update to 0.3.0 has something to overwrite. */
async function updatedBox(): Promise<FakeBox> {
  const box = new FakeBox(KEY, OLD);
  assert.is(await box.install(newOne.bundle), "");
  await box.boot(RELEASES);
  await box.becomeGood();
  box.power.steps = 0;
  return box;
}

async function stepsOfUpdate(): Promise<number> {
  const box = await updatedBox();
  assert.is(await box.install(newerOne.bundle), "");
  return box.power.steps;
}

async function cutAndBoot(box: FakeBox, at: number, seed: number): Promise<void> {
  box.power.cutAt = at;
  const why = await box.install(newerOne.bundle);
  assert.match(why, /power is gone/);
  box.crash(createPrng(seed));
  await box.boot(RELEASES);
}

test("whatever step of an update the power goes at, GRUB tries a whole slot, and the update can be done again", async () => {
  const steps = await stepsOfUpdate();
  assert.ok(steps > 10, `an update has ${steps} steps`);
  for (let at = 0; at < steps; at++) {
    const box = await updatedBox();
    await cutAndBoot(box, at, at);
    assert.ok(["0.2.0", "0.3.0"].includes(box.running.release.version), `cut at ${at}`);
    if (box.running.release.version === "0.3.0") continue;
    await box.store.repair();
    assert.is(await box.install(newerOne.bundle), "", `again after a cut at ${at}`);
    await box.boot(RELEASES);
    assert.is(box.running.release.version, "0.3.0");
  }
});

test(`${CUTS} cuts at random, twenty of them one after the other on one box, each leaves a box that boots`, async () => {
  const steps = await stepsOfUpdate();
  const prng = createPrng(2026);
  let box = await updatedBox();
  for (let cut = 0; cut < CUTS; cut++) {
    if (cut % 20 === 0) box = await updatedBox();
    await cutAndBoot(box, prng.range(0, steps - 1), prng.uint32());
    if (prng.chance(0.5)) await box.store.repair();
    // On trial: an update would overwrite its way back.
    if (box.running.release.version === "0.3.0") box = await updatedBox();
  }
});

test("a cut in each write of the mark, the repair and the switch back leaves one state or the other", async () => {
  for (let at = 0; at < 4; at++)
    for (let seed = 0; seed < 20; seed++) {
      const box = await updatedBox();
      assert.is(await box.install(newerOne.bundle), "");
      await box.boot(RELEASES);
      box.power.steps = 0;
      box.power.cutAt = at;
      await box.becomeGood().catch(() => undefined);
      box.crash(createPrng(at * 100 + seed));
      await box.boot(RELEASES);
      assert.is(box.running.release.version, "0.3.0");
      box.power.cutAt = at;
      await box.store.repair().catch(() => undefined);
      box.crash(createPrng(at * 1000 + seed));
      await box.boot(RELEASES);
    }
});

test("from the clearing on, no half slot looks like an image to whoever asks no environment", async () => {
  // Mark: two writes, each with its sync; clear: two writes and a sync.
  const clearedAt = 7;
  const steps = await stepsOfUpdate();
  for (let at = clearedAt; at < steps; at++) {
    const box = await updatedBox();
    const target = box.other;
    await cutAndBoot(box, at, at * 7);
    const blocks = box.slots[target];
    const hasSuperblock = blocks.peek(0, 512).some((byte) => byte !== 0);
    const hasFooter = Buffer.from(blocks.peek(blocks.sizeBytes - 4096, 8)).toString() === "RFSLOT1\n";
    if (hasSuperblock && hasFooter) assert.ok(box.wholeRelease(target, RELEASES) !== undefined, `cut at ${at}`);
  }
});

test.run();
