// An image as one box of a cluster: two more run beside it as processes. time-limit: 1500 s
/**
 * Three machines in emulators leave nothing of two processors (appliance/DESIGN.md). One is enough for what an image does in
 * a cluster: it joins by a token, leads, hangs, is updated and loses its power, and no write is lost by any of it.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BootFacts } from "../../src/cli/ringfence/answers.ts";
import { isWhole, leaderOf, level, openStage, type Stage } from "../rack/product-stage.ts";
import { HANGS } from "../support/image/hangs.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";
import { Versions } from "../support/image/versions.ts";
import { PATIENT_CONF } from "../support/rack/box.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { bootOf, ours, whileWriting } from "./image-stage.ts";

/** The box that is a machine. */
const MACHINE = 2;
const image = await theImage();
const versions = new Versions(image);
let stage: Stage;

test.before(async () => {
  const machines = { image, emulated: 1, ...PATIENT_CONF };
  stage = await openStage({ name: "imgc", boxes: 3, hosts: 0, wholeMs: 2 * BOOT_MS, ...machines });
});
test.after(async () => {
  await stage?.down();
  versions.remove();
});

const machine = (): RackNode => stage.rack.box(MACHINE);

const boot = (): Promise<BootFacts | undefined> => bootOf(stage, machine());

const command = (...words: readonly string[]): Promise<string> => ours(stage, machine(), words);

/** It runs this version from this slot, in a cluster that is whole. */
async function runs(what: string, wanted: Pick<BootFacts, "slot" | "version">): Promise<void> {
  await level(stage, what, 4 * BOOT_MS, async () => {
    const now = await boot();
    return now?.slot === wanted.slot && now.version === wanted.version ? undefined : JSON.stringify(now ?? "no answer");
  });
  await isWhole(stage, stage.rack.boxes, BOOT_MS);
}

test("an image joins by a token, and comes back after its plug was pulled in the middle of writes", async () => {
  assert.match(JSON.stringify(await boot()), /"slot":"A".*"version":"0\.1\.0"/);
  await whileWriting(stage, "plug", async () => {
    await machine().powerCut();
    await Bun.sleep(5000);
    await machine().powerOn();
    await runs("it is back after a power cut", { slot: "A", version: "0.1.0" });
  });
});

test("an image that leads and hangs hard loses the VIP to another box, is reset by its watchdog, and follows again", async () => {
  await command("ringfence", "leader", "move", String(MACHINE));
  await level(stage, "the machine leads", 30_000, async () => {
    const leader = await leaderOf(stage);
    return leader === machine() ? undefined : leader.name;
  });
  await whileWriting(stage, "hang", async () => {
    // The answer does not come: the kernel stands still.
    void machine().exec(["sh", "-c", `sleep 1; ${HANGS[0].words}`]);
    await level(stage, "another box leads", 30_000, async () => {
      const leader = await leaderOf(stage, stage.rack.boxes.slice(0, MACHINE)).catch(() => undefined);
      return leader === undefined ? "none" : undefined;
    });
    await runs("it is back after its watchdog's reset", { slot: "A", version: "0.1.0" });
  });
});

test("a plug pulled in the middle of an update leaves the old version; the update is then taken, and proves itself", async () => {
  const bundle = versions.same({ version: "0.2.0" });
  await level(stage, "slot A is marked good", BOOT_MS, async () => {
    const text = await command("ringfence", "slot", "status");
    return /SLOT A .*good {2}<- runs/.test(text) ? undefined : text;
  });
  await whileWriting(stage, "update", async () => {
    const cut = command("ringfence", "update", "apply", bundle).then(
      () => "applied",
      (error: unknown) => String(error),
    );
    await Bun.sleep(8000);
    await machine().powerCut();
    // A box that is back within a minute would be sent all of it anew.
    assert.not.match(await cut, /^applied/);
    await machine().powerOn();
    await runs("it is back on the old version", { slot: "A", version: "0.1.0" });

    assert.match(await command("ringfence", "update", "apply", bundle, "--restart"), /0\.2\.0 is in slot B/);
    await runs("it is back on the new version", { slot: "B", version: "0.2.0" });
    await level(stage, "slot B is marked good", BOOT_MS, async () => {
      const text = await command("ringfence", "slot", "status");
      return /0\.2\.0 \(B\): has proved itself/.test(text) ? undefined : text;
    });
  });
});

test.run();
