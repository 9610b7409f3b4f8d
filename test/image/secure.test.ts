// What was not signed is not booted on a secure image, and is not installed either. time-limit: 1200 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, healthy, run, slotsSay } from "../support/image/box.ts";
import { replaceSlot } from "../support/image/disk-file.ts";
import { theSecureImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";
import { Versions } from "../support/image/versions.ts";

const image = await theSecureImage();
const versions = new Versions(image);

test("a bundle without signatures is refused, and one with them is installed", async () => {
  const box = await aBox(image);
  try {
    await box.powerOn();
    const first = await healthy(box);
    assert.match(box.text, /slot A try 1, secure: healthy in \d+ s \(TEST key/);
    const plain = versions.same({ version: "0.2.0", bootKey: undefined });
    const refused = await run(box, "ringfence", "update", "apply", plain);
    assert.is(refused.code, 255);
    assert.match(refused.text, /0\.2\.0 is not installed: this box is secure: .* version 0\.2\.0 is not signed for it/);

    const signed = versions.same({ version: "0.2.0" });
    const { text } = await run(box, "ringfence", "update", "apply", signed, "--restart");
    assert.match(text, /0\.2\.0 is in slot B/, text);
    const second = await healthy(box, first.end);
    assert.is(second.slot, "B");
    await slotsSay(box, /SLOT B .*0\.2\.0 .*good {2}<- runs, next\nBOOT .*verified, secure/, BOOT_MS);
  } finally {
    await box.remove();
  }
});

test("an initramfs that was exchanged is not booted, and the other slot's kernel is told that the box is secure", async () => {
  const box = await aBox(image);
  try {
    replaceSlot(box.disk, "A", await versions.withAnotherInitramfs());
    await box.powerOn();
    const left = await box.expect(/bad signature[\s\S]*slot A has no initramfs that can be booted/, BOOT_MS);
    assert.is((await healthy(box, left)).slot, "B");
    assert.match(box.text.slice(left), /slot B try 1, secure: healthy/);
  } finally {
    await box.remove();
  }
});

test("a root of somebody else behind a kernel and an initramfs that are signed is left for the other slot", async () => {
  const box = await aBox(image);
  try {
    replaceSlot(box.disk, "A", versions.ofAnotherKey());
    await box.powerOn();
    const left = await box.expect(/slot A is damaged: its footer is not signed by the key of its initramfs/, BOOT_MS);
    assert.is((await healthy(box, left)).slot, "B");
  } finally {
    await box.remove();
  }
});

test.after(() => versions.remove());
test.run();
