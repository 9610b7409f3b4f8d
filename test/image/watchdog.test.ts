// The watchdog bites when the kernel or the supervisor hangs, within its time. time-limit: 900 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, consoleSays, healthy, openShell } from "../support/image/box.ts";
import { HANGS, HARDWARE_TIMEOUT_MS } from "../support/image/hangs.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";

const image = await theImage();

test("a kernel and a supervisor that hang are reset within T_hw, the box comes back and says what it was", async () => {
  const box = await aBox(image, { watchdog: "i6300esb" });
  try {
    await box.powerOn();
    let { end } = await healthy(box);
    for (const { name, words } of HANGS) {
      await openShell(box);
      const at = performance.now();
      box.type(`${words}\r`);
      const bite = await box.event("WATCHDOG", at, HARDWARE_TIMEOUT_MS);
      assert.ok(bite.at - at <= HARDWARE_TIMEOUT_MS * 1.1, `${name}: reset after ${bite.at - at} ms`);
      ({ end } = await healthy(box, end));
      await consoleSays(box, /last end[^\n]*watchdog/i, BOOT_MS);
    }
  } finally {
    await box.remove();
  }
});

test.run();
