// An image as one box of a cluster: two more run beside it as processes. time-limit: 1500 s
/**
 * Three machines in emulators do not fit on two processors (appliance/DESIGN.md). One is enough for what an image does in
 * a cluster: it joins by a token, leads, hangs, is updated and loses its power, and no write is lost by any of it.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isWhole, leaderOf, level, openStage, type Stage, wrongWrites } from "../rack/product-stage.ts";
import { endpoint, statusOf } from "../support/demo/bootstrap.ts";
import { HANGS } from "../support/image/hangs.ts";
import { theImage } from "../support/image/image.ts";
import { BOOT_MS } from "../support/image/machine.ts";
import { Versions } from "../support/image/versions.ts";
import { PATIENT_CONF } from "../support/rack/box.ts";
import { must } from "../support/rack/command.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { inNamespace } from "../support/rack/switch.ts";
import { judgeHolders } from "../support/rack/watch/judge.ts";

/** The box that is a machine. */
const MACHINE = 2;
/** An update is sent, written and read back: a minute on a quiet machine. */
const COMMAND_MS = 600_000;
const WRITE_EVERY_MS = 500;
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

interface Boot {
  readonly slot: string;
  readonly version: string;
}

async function boot(): Promise<Boot | undefined> {
  const status = (await statusOf(stage.client, endpoint(machine()))) as { readonly boot?: Boot | null } | undefined;
  return status?.boot ?? undefined;
}

/** A command of ours from the operator's machine, against the box that is a machine. */
function ours(...words: readonly string[]): Promise<string> {
  const bun = [process.execPath, `${stage.rack.state.repository}/src/cli/main.ts`];
  const [user = "", password = ""] = stage.client.session.split(/:(.*)/s);
  const way = ["--endpoint", endpoint(machine()), "--user", user, "--password", password];
  return must([...inNamespace(stage.rack.place, "client"), ...bun, ...words, ...way], { timeoutMs: COMMAND_MS });
}

/** It runs this version from this slot, in a cluster that is whole. */
async function runs(what: string, wanted: Boot): Promise<void> {
  await level(stage, what, 4 * BOOT_MS, async () => {
    const now = await boot();
    return now?.slot === wanted.slot && now.version === wanted.version ? undefined : JSON.stringify(now ?? "no answer");
  });
  await isWhole(stage, stage.rack.boxes, BOOT_MS);
}

/** Writes go on meanwhile, by the VIP: none is refused, lost or done twice, and at no instant two boxes hold it. */
async function whileWriting(prefix: string, happens: () => Promise<void>): Promise<void> {
  const holders = await stage.rack.watchHolders();
  // As many as a machine in an emulator applies beside its boot.
  await stage.client.startWriting(1, prefix, { pauseMs: WRITE_EVERY_MS });
  await happens();
  const written = await stage.client.stopWriting();
  assert.ok(written.acknowledged.length > 0);
  assert.equal(await wrongWrites(stage, stage.rack.boxes, written), []);
  assert.is(judgeHolders(await holders.settled()).max, 1);
}

test("an image joins by a token, and comes back after its plug was pulled in the middle of writes", async () => {
  assert.match(JSON.stringify(await boot()), /"slot":"A".*"version":"0\.1\.0"/);
  await whileWriting("plug", async () => {
    await machine().powerCut();
    await Bun.sleep(5000);
    await machine().powerOn();
    await runs("it is back after a power cut", { slot: "A", version: "0.1.0" });
  });
});

test("an image that leads and hangs hard loses the VIP to another box, is reset by its watchdog, and follows again", async () => {
  await ours("ringfence", "leader", "move", String(MACHINE));
  await level(stage, "the machine leads", 30_000, async () => {
    const leader = await leaderOf(stage);
    return leader === machine() ? undefined : leader.name;
  });
  await whileWriting("hang", async () => {
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
    const text = await ours("ringfence", "slot", "status");
    return /SLOT A .*good {2}<- runs/.test(text) ? undefined : text;
  });
  await whileWriting("update", async () => {
    const cut = ours("ringfence", "update", "apply", bundle).then(
      () => "applied",
      (error: unknown) => String(error),
    );
    await Bun.sleep(8000);
    await machine().powerCut();
    await machine().powerOn();
    assert.not.match(await cut, /^applied/);
    await runs("it is back on the old version", { slot: "A", version: "0.1.0" });

    assert.match(await ours("ringfence", "update", "apply", bundle, "--restart"), /0\.2\.0 is in slot B/);
    await runs("it is back on the new version", { slot: "B", version: "0.2.0" });
    await level(stage, "slot B is marked good", BOOT_MS, async () => {
      const text = await ours("ringfence", "slot", "status");
      return /0\.2\.0 \(B\): has proved itself/.test(text) ? undefined : text;
    });
  });
});

test.run();
