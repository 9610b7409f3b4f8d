// An image boots on the machines that people have. time-limit: 1200 s
import { test } from "uvu";
import type { Disk } from "../../appliance/emulator.ts";
import { aBox, healthy } from "../support/image/box.ts";
import { theImage } from "../support/image/image.ts";

const image = await theImage();

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
