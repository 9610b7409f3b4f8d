// Three images as a cluster: an update of all of them, with plugs pulled in it. time-limit: 3000 s
/**
 * Three machines in emulators take two processors when they idle (appliance/DESIGN.md), so nothing else may run beside this.
 */
import { readFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isWhole, leaderOf, level, openStage, type Stage } from "../rack/product-stage.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";
import { Versions } from "../support/image/versions.ts";
import { PATIENT_CONF } from "../support/rack/box.ts";
import { serialLog } from "../support/rack/box-image.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { bootOf, ours, whileWriting } from "./image-stage.ts";

/** Three boots one after the other, each with an update before it. */
const ROLL_MS = 20 * 60_000;
const image = await theImage();
const versions = new Versions(image);
let stage: Stage;

test.before(async () => {
  const machines = { image, ...PATIENT_CONF };
  stage = await openStage({ name: "imgr", boxes: 3, hosts: 0, wholeMs: 6 * BOOT_MS, ...machines });
});
test.after(async () => {
  await stage?.down();
  versions.remove();
});

async function versionOf(box: RackNode): Promise<string> {
  const boot = await bootOf(stage, box);
  return boot === undefined ? "no answer" : `${boot.version} in ${boot.slot}`;
}

test("an update of the cluster stops where a plug is pulled, goes on when it is asked again, and costs no write", async () => {
  const bundle = versions.same({ version: "0.2.0" });
  const roll = ["ringfence", "update", "apply", bundle, "--cluster"];
  await level(stage, "slot A of each box is marked good", 2 * BOOT_MS, async () => {
    const texts = await Promise.all(stage.rack.boxes.map((box) => ours(stage, box, ["ringfence", "slot", "status"])));
    return texts.every((text) => /SLOT A .*good {2}<- runs/.test(text)) ? undefined : texts.join("\n");
  });
  await whileWriting(stage, "roll", async () => {
    const leader = await leaderOf(stage);
    // A box that only follows is updated first, by number.
    const first = stage.rack.boxes.find((box) => box !== leader) ?? leader;
    const broken = ours(stage, leader, roll, ROLL_MS).then(
      () => "went on",
      (error: unknown) => String(error),
    );
    await Bun.sleep(8000);
    await first.powerCut();
    await first.powerOn();
    assert.match(await broken, /not known any more|does not answer|No answer/);
    await isWhole(stage, stage.rack.boxes, 2 * BOOT_MS);
    assert.equal(await Promise.all(stage.rack.boxes.map(versionOf)), Array(3).fill("0.1.0 in A"));

    const going = ours(stage, leader, roll, ROLL_MS);
    await level(stage, "the first box tries the new version", 3 * BOOT_MS, async () =>
      /ringfence: slot B, try 1/.test(readFileSync(serialLog(stage.rack.place, first.name), "utf8"))
        ? undefined
        : "not yet",
    );
    // In the middle of the boot that is to prove it.
    await Bun.sleep(20_000);
    await first.powerCut();
    await first.powerOn();
    assert.match(await going, /All boxes run 0\.2\.0/);
    await isWhole(stage, stage.rack.boxes, 2 * BOOT_MS);
    assert.equal(await Promise.all(stage.rack.boxes.map(versionOf)), Array(3).fill("0.2.0 in B"));
  });
});

test.run();
