// The plug is pulled again and again, while a box boots and while it updates itself. What the machine has given to its
// disk is kept: this is about order and leftovers, not about a disk that loses what it said it has. time-limit: 1200 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../src/base/prng.ts";
import { aBox, healthy, makeTemplate, run, slotsSay } from "../support/image/box.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS, type Machine } from "../support/image/machine.ts";
import { Versions } from "../support/image/versions.ts";

const image = await theImage();
const versions = new Versions(image);
/** That of a failed run again: `SEED=7 bun test/image/power-cuts.test.ts`. */
const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e6));

const CUTS = 20;
/** Each so-manieth boot is let come up, and cut in the middle of an update; the others are cut in the boot. */
const UPDATE_EVERY = 5;
/** From the firmware's first instant to about where main starts, in the emulator. */
const BOOT_CUT_MS_MAX = 30_000;
/** The bytes of an update come for some 15 s here; what is later meets its restart, or the boot on trial. */
const UPDATE_CUT_MS_MAX = 30_000;

/** Templates by name, as the front-end tells them. */
async function templates(box: Machine): Promise<string> {
  return (await run(box, "onetemplate", "list")).text;
}

async function write(box: Machine, name: string): Promise<void> {
  assert.match(await makeTemplate(box, name), /^ID: \d+/);
}

test(`${CUTS} power cuts in a row, in boots and in updates, cost a box neither its slots nor what was acknowledged`, async () => {
  console.log(`seed ${seed}`);
  const random = createPrng(seed);
  const bundle = versions.same({ version: "0.2.0" });
  // With a watchdog: its loop breaker must take no power cut for a reset.
  const box = await aBox(image, { watchdog: "i6300esb" });
  const written: string[] = [];
  try {
    for (let cut = 0; cut < CUTS; cut++) {
      const from = box.text.length;
      await box.powerOn();
      if (cut % UPDATE_EVERY > 0) {
        const afterMs = random.range(500, BOOT_CUT_MS_MAX);
        await Bun.sleep(afterMs);
        console.log(`cut ${cut + 1}: ${afterMs} ms into a boot`);
      } else {
        const { slot } = await healthy(box, from);
        written.push(`before-${cut}`);
        await write(box, `before-${cut}`);
        const afterMs = random.range(500, UPDATE_CUT_MS_MAX);
        const update = run(box, "ringfence", "update", "apply", bundle, "--restart");
        await Promise.race([Bun.sleep(afterMs), update]);
        console.log(`cut ${cut + 1}: ${afterMs} ms into an update, on slot ${slot}`);
        await box.powerCut();
        // Its front-end is gone: whatever it says now, it ends.
        await update;
      }
      await box.powerCut();
    }
    const from = box.text.length;
    await box.powerOn();
    const { slot } = await healthy(box, from);
    assert.not.match(box.text, /is damaged|recovery mode|no slot came up/);
    await slotsSay(box, new RegExp(`SLOT ${slot} .*good {2}<- runs, next`), BOOT_MS);
    const kept = await templates(box);
    for (const name of written) assert.ok(kept.includes(name), `${name} was acknowledged and is gone:\n${kept}`);
    await write(box, "after");
  } finally {
    await box.remove();
  }
});

test.after(() => versions.remove());
test.run();
