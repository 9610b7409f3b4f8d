// Three images as a cluster: an update of all of them to another feature level, with plugs pulled in it. time-limit: 3000 s
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
const RAISE = ["ringfence", "level", "raise", "--yes"];
let stage: Stage;
let bundle: string;

test.before(async () => {
  bundle = await versions.ofNextLevel({ version: "0.2.0" });
  const machines = { image, ...PATIENT_CONF };
  stage = await openStage({ name: "imgr", boxes: 3, hosts: 0, wholeMs: 6 * BOOT_MS, ...machines });
});
test.after(async () => {
  await stage?.down();
  versions.remove();
});

/** What a command says, also when it fails: it is waited for later. */
function wordsOf(command: Promise<string>): Promise<string> {
  return command.catch(String);
}

async function versionOf(box: RackNode): Promise<string> {
  const boot = await bootOf(stage, box);
  return boot === undefined ? "no answer" : `${boot.version} in ${boot.slot}`;
}

async function allRun(wanted: string): Promise<void> {
  await level(stage, `all boxes run ${wanted}`, BOOT_MS, async () => {
    const versions = await Promise.all(stage.rack.boxes.map(versionOf));
    return versions.every((version) => version === wanted) ? undefined : versions.join(", ");
  });
}

test("an update of all boxes stops where a plug is pulled, goes on when asked again, and costs no write; its level waits for the other slots", async () => {
  const roll = ["ringfence", "update", "apply", bundle, "--cluster"];
  await level(stage, "slot A of each box is marked good", 2 * BOOT_MS, async () => {
    const texts = await Promise.all(stage.rack.boxes.map((box) => ours(stage, box, ["ringfence", "slot", "status"])));
    return texts.every((text) => /SLOT A .*good {2}<- runs/.test(text)) ? undefined : texts.join("\n");
  });
  await whileWriting(stage, "roll", async () => {
    const leader = await leaderOf(stage);
    // A box that only follows is updated first, by number.
    const first = stage.rack.boxes.find((box) => box !== leader) ?? leader;
    const broken = wordsOf(ours(stage, leader, roll, ROLL_MS));
    await Bun.sleep(8000);
    await first.powerCut();
    // A box that is back within a minute would be sent all of it anew.
    const stopped = await broken;
    assert.match(stopped, /Failed to open TCP connection|No route to host|No answer/, stopped);
    await first.powerOn();
    await isWhole(stage, stage.rack.boxes, 2 * BOOT_MS);
    await allRun("0.1.0 in A");

    const going = wordsOf(ours(stage, leader, roll, ROLL_MS));
    await level(stage, "the first box tries the new version", 3 * BOOT_MS, async () =>
      /ringfence: slot B, try 1/.test(readFileSync(serialLog(stage.rack.place, first.name), "utf8"))
        ? undefined
        : "not yet",
    );
    // In the middle of the boot that is to prove it.
    await Bun.sleep(20_000);
    await first.powerCut();
    await first.powerOn();
    await level(stage, "the first box runs the new version", 4 * BOOT_MS, async () => {
      const version = await versionOf(first);
      return version === "0.2.0 in B" ? undefined : version;
    });
    // One box knows a level that the others do not: they work together, at the old one.
    assert.match(await wordsOf(ours(stage, first, RAISE)), /The feature level stays/);
    const ended = await going;
    assert.match(ended, /All boxes run 0\.2\.0/, ended);
    await isWhole(stage, stage.rack.boxes, 2 * BOOT_MS);
    await allRun("0.2.0 in B");
  });
  // The other slot of each still has the old image, and a box must be able to go back to it.
  const stays = await wordsOf(ours(stage, await leaderOf(stage), RAISE));
  for (const { name } of stage.rack.boxes)
    assert.match(stays, new RegExp(`${name} may fall back to its other slot, whose image knows level 1`));
});

test.run();
