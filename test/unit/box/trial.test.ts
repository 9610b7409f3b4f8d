import { test } from "uvu";
import * as assert from "uvu/assert";
import { bootOrder } from "../../../src/box/grub-env.ts";
import { type Health, NO_HEALTH, STEADY_MS, TRIAL_MS } from "../../../src/box/update/policy.ts";
import { TrialWatch } from "../../../src/box/update/trial.ts";
import { release, updateKey } from "../../support/box/bundles.ts";
import { FakeBox, newVersion } from "../../support/box/fake-box.ts";

const KEY = updateKey();
const OLD = release({ version: "0.1.0" });
const NEW = release({ version: "0.2.0", build: "b".repeat(40) });
const { bundle, sum } = newVersion(KEY, NEW, 2);
const RELEASES = new Map([
  ["0.1.0", newVersion(KEY, OLD, 1).sum],
  ["0.2.0", sum],
]);
const WELL: Health = { ...NO_HEALTH, isMember: true, isAnswering: true, hasLeader: true, applied: 9, commit: 9 };
const DEAF: Health = { ...WELL, hasLeader: false };

/** A box whose clock a test moves, with the watch of its current boot. */
class Bed {
  readonly box = new FakeBox(KEY, OLD);
  health: Health = WELL;
  now = 0;
  reboots = 0;

  watch(): TrialWatch {
    const { box } = this;
    return new TrialWatch({
      env: box.store,
      running: { slot: box.running.slot, build: box.running.release.build },
      record: () => box.record,
      keep: (record) => {
        box.record = record;
      },
      health: async () => this.health,
      isWhole: async (slot) => box.wholeRelease(slot, RELEASES) !== undefined,
      now: () => this.now,
      bootMs: () => this.now,
      reboot: () => this.reboots++,
      log: (text) => box.log.push(text),
    });
  }

  /** Looks each second for `ms`; whether the watch was over before. */
  async look(watch: TrialWatch, ms: number): Promise<boolean> {
    for (const end = this.now + ms; this.now <= end; this.now += 1000) if (await watch.look()) return true;
    return false;
  }

  async boot(): Promise<TrialWatch> {
    this.now = 0;
    await this.box.boot(RELEASES);
    return this.watch();
  }

  async order(): Promise<string> {
    return bootOrder((await this.box.store.read()).env).join("");
  }
}

test("any number of good boots stays on the slot: each takes its try back", async () => {
  const bed = new Bed();
  for (let boot = 0; boot < 10; boot++) {
    const watch = await bed.boot();
    assert.is(bed.box.running.slot, "A");
    assert.ok(await bed.look(watch, 2 * STEADY_MS));
    const { env, isWhole } = await bed.box.store.read();
    assert.equal([env.slots.A, isWhole], [{ isGood: true, tries: 0 }, true]);
  }
});

test("under load a box is always some entries behind, and proves itself; one that stands still does not", async () => {
  for (const [pace, isProven] of [
    [100, true],
    [50, false],
  ] as const) {
    const bed = new Bed();
    await bed.box.install(bundle, { before: WELL });
    const watch = await bed.boot();
    // A hundred entries a second: of each look's, the last ones are not applied yet, or ever fewer are.
    const looks = async (): Promise<boolean> => {
      for (let second = 0; second < 40; second++) {
        bed.health = { ...WELL, commit: 1000 + 100 * second, applied: 990 + pace * second };
        if (await bed.look(watch, 0)) return true;
      }
      return false;
    };
    assert.is(await looks(), isProven, `${pace} entries applied a second`);
  }
});

test("a slot that was good is asked for its front-end only: a cluster without quorum is not its fault", async () => {
  const bed = new Bed();
  bed.health = DEAF;
  assert.ok(await bed.look(await bed.boot(), 2 * STEADY_MS));
  bed.health = { ...WELL, isAnswering: false };
  assert.not.ok(await bed.look(await bed.boot(), 2 * TRIAL_MS));
  assert.is(bed.reboots, 0);
});

test("an update that works is marked good, not before it was healthy for a while, and it is on the record", async () => {
  const bed = new Bed();
  await bed.box.install(bundle, { before: WELL });
  bed.health = DEAF;
  const watch = await bed.boot();
  assert.is(bed.box.running.slot, "B");
  assert.not.ok(await bed.look(watch, 60_000));
  assert.match(watch.missing.join(), /knows no leader/);
  bed.health = WELL;
  assert.not.ok(await bed.look(watch, STEADY_MS - 2000));
  assert.ok(await bed.look(watch, 5000));
  assert.equal([bed.box.record?.outcome, await bed.order()], ["good", "BA"]);
});

test("an update that does not become healthy is left for what ran before, with the reason", async () => {
  const bed = new Bed();
  await bed.box.install(bundle, { before: WELL });
  bed.health = DEAF;
  await bed.look(await bed.boot(), TRIAL_MS + 2000);
  assert.ok(bed.reboots > 0);
  assert.equal([bed.box.record?.outcome, await bed.order()], ["fallback", "A"]);
  assert.match(bed.box.record?.why ?? "", /knows no leader/);
  await bed.boot();
  assert.is(bed.box.running.release.version, "0.1.0");
});

test("an update that the boot loader has left is put on the record by what runs then", async () => {
  const bed = new Bed();
  await bed.box.install(bundle, { before: WELL });
  for (let boot = 0; boot < 3; boot++) await bed.boot();
  const watch = await bed.boot();
  assert.is(bed.box.running.slot, "A");
  assert.ok(await bed.look(watch, 2 * STEADY_MS));
  assert.is(bed.box.record?.outcome, "fallback");
  assert.match(bed.box.record?.why ?? "", /boot loader went back/);
});

test("a slot on trial is not left when there is nothing to go back to", async () => {
  const bed = new Bed();
  await bed.box.install(bundle, { before: WELL });
  bed.health = DEAF;
  const watch = await bed.boot();
  bed.box.slots.A.put(0, new Uint8Array(4096));
  await bed.look(watch, TRIAL_MS + 60_000);
  assert.equal([bed.reboots, await bed.order()], [0, "BA"]);
});

test.run();
