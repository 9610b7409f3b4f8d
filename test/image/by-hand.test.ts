// What a person in front of a box does to its disk: an update from a stick, a factory reset. time-limit: 1200 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, act, consoleSays, healthy, slotsSay } from "../support/image/box.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";
import { makeStick, Versions } from "../support/image/versions.ts";

const image = await theImage();
const versions = new Versions(image);

test("a stick updates a box from its console; a factory reset then leaves a new box, with both images as they were", async () => {
  const stick = versions.path("stick.img");
  await makeStick(stick, [versions.same({ version: "0.2.0" })], 128);
  const box = await aBox(image, { stick });
  try {
    await box.powerOn();
    const first = await healthy(box);
    await slotsSay(box, /SLOT A .*good {2}<- runs, next/, BOOT_MS);
    await box.say("sticks", /ringfence-0\.2\.0\.rfb, \d+ KiB[\s\S]*> $/);
    await act(box, "update ringfence-0.2.0.rfb", [], /Version 0\.2\.0 is in slot B/, BOOT_MS);
    const second = await healthy(box, first.end);
    assert.is(second.slot, "B");
    await slotsSay(box, /SLOT B .*good {2}<- runs, next/, BOOT_MS);

    await act(box, "reset", ["erase"], /is a new box then/);
    const erased = await box.expect(
      /factory reset: erases \/dev\/vda5; both system images and the ESP are kept/,
      BOOT_MS,
      second.end,
    );
    const third = await healthy(box, erased);
    assert.is(third.slot, "B");
    await consoleSays(box, /belongs to no cluster yet/, BOOT_MS);
    // It is done once.
    await box.reset();
    const last = await healthy(box, third.end);
    assert.not.match(box.text.slice(third.end, last.end), /factory reset/);
  } finally {
    await box.remove();
  }
});

test.after(() => versions.remove());
test.run();
