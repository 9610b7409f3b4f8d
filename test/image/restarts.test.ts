// A slot's tries are counted and taken back. time-limit: 900 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, healthy, run, slotsSay } from "../support/image/box.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";

const image = await theImage();

test("a good boot takes its try back, so that any number of boots stays on the slot", async () => {
  const box = await aBox(image);
  try {
    let from = 0;
    for (let boot = 0; boot < 4; boot++) {
      if (boot === 0) await box.powerOn();
      // In order: three resets in a row are the loop breaker's.
      else await run(box, "ringfence", "box", "restart", "--yes");
      const { slot, end } = await healthy(box, from);
      assert.is(slot, "A");
      from = end;
      await slotsSay(box, /SLOT A .*good {2}<- runs, next/, BOOT_MS);
    }
    assert.not.match(box.text, /slot A, try 2/);
  } finally {
    await box.remove();
  }
});

test.run();
