// Updates on real slots, with the real boot loader: what proves itself stays, what does not is left. time-limit: 1500 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, act, healthy, LOADER, run, slotsSay } from "../support/image/box.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";
import { makeStick, Versions } from "../support/image/versions.ts";

const image = await theImage();
const versions = new Versions(image);

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

test("an update is installed while the box runs, proves itself, and is marked good; an older bundle is refused", async () => {
  const box = await aBox(image);
  try {
    await box.powerOn();
    const { end } = await healthy(box);
    await slotsSay(box, /SLOT A .*good {2}<- runs, next/, BOOT_MS);
    const applied = await run(box, "ringfence", "update", "apply", versions.same({ version: "0.2.0" }), "--restart");
    assert.match(applied.text, /0\.2\.0 is in slot B/);
    assert.is((await healthy(box, end)).slot, "B");
    const text = await slotsSay(box, /UPDATE .*0\.1\.0 \(A\) -> 0\.2\.0 \(B\): has proved itself/, BOOT_MS);
    assert.match(text, /SLOT B .*0\.2\.0 .*good {2}<- runs, next/);
    const older = await run(box, "ringfence", "update", "apply", versions.same({ version: "0.1.9" }));
    assert.is(older.code, 255);
    assert.match(older.text, /0\.1\.9 is older than 0\.2\.0, which runs here: --downgrade/);
  } finally {
    await box.remove();
  }
});

test("a version whose userland does not start is tried three times, then what ran before runs again, and says so", async () => {
  const box = await aBox(image);
  try {
    await box.powerOn();
    const { end } = await healthy(box);
    await slotsSay(box, /SLOT A .*good {2}<- runs, next/, BOOT_MS);
    const bad = await versions.withoutUserland({ version: "0.3.0" });
    assert.match((await run(box, "ringfence", "update", "apply", bad, "--restart")).text, /0\.3\.0 is in slot B/);
    assert.is((await healthy(box, end)).slot, "A");
    const tried = [...box.text.slice(end).matchAll(new RegExp(LOADER, "g"))].map(
      ([, slot, count]) => `${slot}${count}`,
    );
    assert.equal(tried, ["B1", "B2", "B3", "A1"]);
    await slotsSay(box, /UPDATE .*FELL BACK: it did not come up: the boot loader went back/, BOOT_MS);
  } finally {
    await box.remove();
  }
});

test("a stick updates a box from its console, without anything else", async () => {
  const stick = versions.path("stick.img");
  await makeStick(stick, [versions.same({ version: "0.2.0" })], 128);
  const box = await aBox(image, { stick });
  try {
    await box.powerOn();
    const { end } = await healthy(box);
    await slotsSay(box, /SLOT A .*good {2}<- runs, next/, BOOT_MS);
    await box.say("sticks", /ringfence-0\.2\.0\.rfb, \d+ KiB[\s\S]*> $/);
    await act(box, "update ringfence-0.2.0.rfb", [], /Version 0\.2\.0 is in slot B/, BOOT_MS);
    assert.is((await healthy(box, end)).slot, "B");
  } finally {
    await box.remove();
  }
});

test("a factory reset leaves a new box, with both images as they were", async () => {
  const box = await aBox(image);
  try {
    await box.powerOn();
    const { end } = await healthy(box);
    await slotsSay(box, /SLOT A .*good {2}<- runs, next/, BOOT_MS);
    await act(box, "reset", ["erase"], /is a new box then/);
    await box.expect(/factory reset: erases \/dev\/vda5; both system images and the ESP are kept/, BOOT_MS, end);
    const again = await healthy(box, end);
    assert.is(again.slot, "A");
    await box.say("", /belongs to no cluster yet[\s\S]*> $/);
    // It is done once.
    await box.reset();
    const last = await healthy(box, again.end);
    assert.not.match(box.text.slice(again.end, last.end), /factory reset/);
  } finally {
    await box.remove();
  }
});

test.after(() => versions.remove());
test.run();
