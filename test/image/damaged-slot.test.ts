// A slot that the disk has damaged is left for the other one, by itself. time-limit: 1500 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import { aBox, healthy, LOADER, openShell, slotsSay } from "../support/image/box.ts";
import { damageSlot, mendSlot } from "../support/image/disk-file.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";

const image = await theImage();
const MIB = 1024 * 1024;

/** Where kernel and initramfs are not: the program itself is hit, in every megabyte. */
const PROGRAM_MIB = { from: 20, to: 70 } as const;

function damageProgram(disk: string, slot: "A" | "B"): void {
  for (let at = PROGRAM_MIB.from; at < PROGRAM_MIB.to; at++) damageSlot(disk, slot, at * MIB, 64);
}

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
    damageProgram(box.disk, "A");
    await box.powerOn();
    const checked = await box.expect(/checks slot A/, 2 * BOOT_MS);
    await box.expect(/slot A is damaged: a block is not what it was/, BOOT_MS, checked);
    assert.is((await healthy(box, checked)).slot, "B");
  } finally {
    await box.remove();
  }
});

test("a slot that goes bad while it runs is noticed as soon as that is read, and left", async () => {
  const box = await aBox(image);
  try {
    await box.powerOn();
    const first = await healthy(box);
    assert.is(first.slot, "A");
    await openShell(box);
    const { from, to } = PROGRAM_MIB;
    // The last word is for what is not in memory yet; whatever is read first ends this boot.
    const damage = `dd if=/dev/zero of=/dev/vda3 bs=64 count=1 seek=$((at * 16384)) conv=notrunc,fsync 2>/dev/null`;
    const words = `for at in $(seq ${from} ${to - 1}); do ${damage}; done; echo 3 >/proc/sys/vm/drop_caches; cat /usr/bin/*`;
    const at = performance.now();
    box.type(`${words} >/dev/null\r`);
    // By itself, and at once: the console's answer to a hang would be the watchdog's, and there is none.
    await box.event("RESET", at, BOOT_MS);
    const checked = await box.expect(/checks slot A/, 3 * BOOT_MS, first.end);
    await box.expect(/slot A is damaged: a block is not what it was/, BOOT_MS, checked);
    assert.is((await healthy(box, checked)).slot, "B");
  } finally {
    await box.remove();
  }
});

test("with both slots damaged the boot loader tries each, waits, begins anew, and a slot that is whole again comes up", async () => {
  const box = await aBox(image);
  try {
    for (const slot of ["A", "B"] as const) damageProgram(box.disk, slot);
    await box.powerOn();
    const exhausted = await box.expect(/no slot came up; tries again in 30 s, in recovery mode/, 6 * BOOT_MS);
    const tried = [...box.text.matchAll(new RegExp(LOADER, "g"))].map(([, slot]) => slot);
    for (const slot of ["A", "B"]) assert.ok(tried.includes(slot), `${slot} was not tried: ${tried.join(" ")}`);
    const again = await box.expect(/slot [AB], try 1/, BOOT_MS, exhausted);
    await box.powerCut();
    // The disk can be read again: a cable, a controller.
    mendSlot(image, box.disk, "B");
    await box.powerOn();
    await healthy(box, again);
    await slotsSay(box, /SLOT B .*good {2}<- runs, next/, BOOT_MS);
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
