// A slot that the disk has damaged is left for the other one, by itself. time-limit: 1500 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, healthy } from "../support/image/box.ts";
import { damageSlot } from "../support/image/disk-file.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";

const image = await theImage();
const MIB = 1024 * 1024;

test("a slot whose file system is gone is passed over by the boot loader", async () => {
  const box = await aBox(image);
  try {
    damageSlot(box.disk, "A", 0, 4096);
    await box.powerOn();
    assert.is((await healthy(box)).slot, "B");
    assert.match(box.text, /slot A cannot be booted/);
  } finally {
    await box.remove();
  }
});

test("a slot with bad blocks is noticed while it boots, checked, and left", async () => {
  const box = await aBox(image);
  try {
    // Where kernel and initramfs are not: the program itself is hit, in every megabyte.
    for (let at = 20 * MIB; at < 70 * MIB; at += MIB) damageSlot(box.disk, "A", at, 64);
    await box.powerOn();
    const checked = await box.expect(/checks slot A/, 2 * BOOT_MS);
    await box.expect(/slot A is damaged: a block is not what it was/, BOOT_MS, checked);
    assert.is((await healthy(box, checked)).slot, "B");
  } finally {
    await box.remove();
  }
});

test("a box without a usable data partition comes up in recovery mode and says why", async () => {
  const box = await aBox(image);
  try {
    box.damageData();
    await box.powerOn();
    await box.expect(/recovery mode, with nothing kept/, BOOT_MS);
    await box.expect(/try 1, recovery mode: (not )?healthy/, 2 * BOOT_MS);
    await box.say("", /recovery mode[\s\S]*> $/);
  } finally {
    await box.remove();
  }
});

test.run();
