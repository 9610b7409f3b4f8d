// The watchdog bites when the kernel or the supervisor hangs, within its time. time-limit: 1500 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, healthy, openShell } from "../support/image/box.ts";
import { HANGS, HARDWARE_TIMEOUT_MS } from "../support/image/hangs.ts";
import { theImage } from "../support/image/image.ts";

const image = await theImage();

for (const { name, words } of HANGS) {
  test(`${name}: the box is reset within T_hw and comes back`, async () => {
    const box = await aBox(image, { watchdog: "i6300esb" });
    try {
      await box.powerOn();
      await healthy(box);
      await openShell(box);
      const from = box.text.length;
      const at = performance.now();
      box.type(`${words}\r`);
      const bite = await box.event("WATCHDOG", at, HARDWARE_TIMEOUT_MS);
      assert.ok(bite.at - at <= HARDWARE_TIMEOUT_MS * 1.1, `reset after ${bite.at - at} ms`);
      await healthy(box, from);
      await box.say("", /last end[^\n]*watchdog/i);
    } finally {
      await box.remove();
    }
  });
}

test.run();
