// time-limit: 180 s
/**
 * An operator edits oned.conf on one box after the other: the timings change for all, once most boxes ask for it, under
 * writes, without a second holder, and they are what they are after a box is restarted with a file that says otherwise.
 */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { timingsFromText } from "../../src/config/timings.ts";
import { command, endpoint, statusOf } from "../support/demo/bootstrap.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { judgeHolders } from "../support/rack/watch/judge.ts";
import { isWhole, leaderOf, level, openStage, restartPrograms, type Stage, wrongWrites } from "./product-stage.ts";

let stage: Stage;

test.before(async () => {
  stage = await openStage({ name: "tmgs", boxes: 3, hosts: 0, profile: "default" });
});
test.after(async () => {
  await stage?.down();
});

/** What each box has in force. */
async function profiles(): Promise<readonly string[]> {
  const views = await Promise.all(stage.rack.boxes.map((box) => statusOf(stage.client, endpoint(box))));
  return views.map((view) => timingsFromText(view?.cluster.timings ?? "")?.profile ?? "none");
}

function areInForce(profile: string): Promise<void> {
  return level(stage, `${profile} is in force on all boxes`, 20_000, async () => {
    const all = await profiles();
    return all.every((one) => one === profile) ? undefined : all.join();
  });
}

/** As an operator does it: the file, then a restart of the box's programs. */
async function edit(box: RackNode, profile: string): Promise<void> {
  const { stdout } = await box.exec(["cat", "/etc/one/oned.conf"]);
  const text = stdout.replace(/PROFILE = "[a-z]+"/, `PROFILE = "${profile}"`);
  assert.match(text, `PROFILE = "${profile}"`);
  await box.exec(["sh", "-c", "cat >/etc/one/oned.conf"], { stdin: text });
  await restartPrograms(stage, box);
  await isWhole(stage, stage.rack.boxes);
}

async function leaseMs(): Promise<number> {
  const leader = await leaderOf(stage);
  let largest = 0;
  for (let look = 0; look < 10; look++) {
    largest = Math.max(largest, (await statusOf(stage.client, endpoint(leader)))?.cluster.leaseMs ?? 0);
    await Bun.sleep(10);
  }
  return largest;
}

test("files are edited box by box: two of three decide, one says otherwise and is named, and there is one holder", async () => {
  const [first, second, third] = stage.rack.boxes as [RackNode, RackNode, RackNode];
  await areInForce("default");
  assert.ok((await leaseMs()) > 200, "the lease is that of the default profile");
  const holders = await stage.rack.watchHolders();
  await stage.client.startWriting(4, "timings");
  await edit(first, "fast");
  assert.equal(await profiles(), ["default", "default", "default"]);
  const status = await command(second, ["ringfence", "status"]);
  assert.match(status, /its oned\.conf asks for fast .*: in force when most boxes ask for it/);
  await edit(second, "fast");
  await areInForce("fast");
  // The third box's file still says default: it goes by what is in force all the same, also after a restart, and as leader.
  await restartPrograms(stage, third);
  await isWhole(stage, stage.rack.boxes);
  await areInForce("fast");
  // With so short time-outs a loaded machine has elections of its own: it is moved until it is there.
  await level(stage, "the third box leads", 20_000, async () => {
    if ((await leaderOf(stage)) === third) return undefined;
    return JSON.stringify(await stage.client.call("ringfence.leader.move", [2]));
  });
  await isWhole(stage, stage.rack.boxes);
  await level(stage, "the lease is that of the fast profile", 5000, async () => {
    const ms = await leaseMs();
    assert.ok(ms <= 150, `lease ${ms} ms`);
    return ms > 0 ? undefined : "none";
  });
  // And back.
  await edit(first, "default");
  await areInForce("default");
  await level(stage, "the lease is the default profile's again", 5000, async () => {
    const ms = await leaseMs();
    return ms > 200 ? undefined : `${ms} ms`;
  });
  const written = await stage.client.stopWriting();
  assert.ok(written.acknowledged.length > 50, `${written.acknowledged.length} writes`);
  assert.equal(await wrongWrites(stage, stage.rack.boxes, written), []);
  const verdict = judgeHolders(await holders.stop());
  assert.is(verdict.max, 1, JSON.stringify(verdict.overlaps.slice(0, 3)));
});

test.run();
