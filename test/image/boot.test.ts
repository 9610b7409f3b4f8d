// An image boots on the machines that people have, and its console answers. time-limit: 1500 s
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Disk } from "../../appliance/emulator.ts";
import { aBox, healthy, openShell } from "../support/image/box.ts";
import { theImage } from "../support/image/image.ts";

const image = await theImage();

test("BIOS, virtio: the box comes up healthy and its recovery console answers on the serial line", async () => {
  const box = await aBox(image);
  try {
    await box.powerOn();
    const { slot } = await healthy(box);
    assert.is(slot, "A");
    await box.expect(/TEST key/, 1000);
    await box.say("", /slot +A: [\s\S]*ringfence> $/);
    await box.say("help", /more lines: Enter, or q to stop -- $/);
    await box.say("", /shell[\s\S]*ringfence> $/);
    await openShell(box);
    // The root cannot be written, what has to be kept lies on the data partition, and the data grew to the disk's end.
    await box.say("touch /usr/x", /Read-only file system[\s\S]*# $/);
    await box.say("grep -c ' /data ext4 rw' /proc/mounts", /\n1\r[\s\S]*# $/);
    await box.say("cat /run/one/boot.json", /"slot":"A","try":1,"mode":"normal".*"verity":true[\s\S]*# $/);
    await box.say("onezone show 0 | grep -c leader", /\n1\r[\s\S]*# $/, 60_000);
  } finally {
    await box.remove();
  }
});

for (const [isUefi, disk] of [
  [true, "nvme"],
  [false, "ahci"],
  [true, "usb"],
] as const satisfies readonly (readonly [boolean, Disk])[]) {
  test(`${isUefi ? "UEFI" : "BIOS"}, ${disk}: the box comes up healthy`, async () => {
    const box = await aBox(image, { isUefi, disk });
    try {
      await box.powerOn();
      await healthy(box);
    } finally {
      await box.remove();
    }
  });
}

test.run();
