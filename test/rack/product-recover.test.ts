// time-limit: 240 s
/** The quorum is lost for good: one box goes on alone as a new generation, and the others stand down when they hear it. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { command, endpoint, statusOf } from "../support/demo/bootstrap.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { judgeHolders } from "../support/rack/watch/judge.ts";
import { giveToken, isWhole, leaderOf, level, logOf, openStage, type Stage, wrongWrites } from "./product-stage.ts";

let stage: Stage;
let boxes: readonly RackNode[];

test.before(async () => {
  stage = await openStage({ name: "mrec", boxes: 3, hosts: 0 });
  boxes = stage.rack.boxes;
});
test.after(async () => {
  await stage?.down();
});

const recover = (box: RackNode, name = box.name) => box.exec(["ringfence", "force-recover", "--yes", name]);

/** A quorum that is only late elects again by itself: the command wants a silence of 10 s, and says so. */
async function recoverWhenSilent(box: RackNode): Promise<string> {
  let said = "";
  await level(stage, `${box.name} goes on alone`, 60_000, async () => {
    const result = await recover(box);
    said = result.stdout + result.stderr;
    return result.code === 0 ? undefined : said;
  });
  return said;
}

async function standsDown(box: RackNode, generation: number): Promise<void> {
  await level(stage, `${box.name} stands down`, 30_000, async () => {
    const { stdout, stderr } = await box.exec(["ringfence", "status"]);
    const said = stdout + stderr;
    return said.includes(`goes on as generation ${generation}`) && said.includes("waits to be joined again")
      ? undefined
      : said;
  });
}

async function joinAgain(survivor: RackNode, number: number): Promise<void> {
  const box = stage.rack.box(number);
  await giveToken(box, (await command(survivor, ["ringfence", "join-token", String(number)])).trim());
}

test("it is refused while a quorum answers, by another name, and from afar", async () => {
  const follower = boxes.find((box) => box !== boxes[0]) ?? stage.rack.box(1);
  await leaderOf(stage);
  const result = await recover(follower);
  assert.is.not(result.code, 0);
  assert.match(result.stderr, /Nothing was done: .*leads: there is nothing to recover from/);
  const afar = await stage.client.call("ringfence.recovery.force", [follower.name, "0".repeat(32)], {
    url: endpoint(follower),
  });
  assert.match(JSON.stringify(afar), /done on the box itself/);
});

test("one of three survives: it goes on alone, the others stand down when they are back, and all is there again", async () => {
  const holders = await stage.rack.watchHolders();
  await stage.client.startWriting(2, "before");
  await Bun.sleep(1000);
  const before = await stage.client.stopWriting();
  const survivor = boxes.find((box) => box !== boxes[0]) ?? stage.rack.box(1);
  const dead = boxes.filter((box) => box !== survivor);
  for (const box of dead) await box.powerCut();
  await level(stage, "the survivor has no leader", 20_000, async () => {
    const said = await recover(survivor);
    return /wait until/.test(said.stderr) ? undefined : said.stderr;
  });
  const wrongName = await survivor.exec(["sh", "-c", "sleep 11; ringfence force-recover --yes box9"], {
    timeoutMs: 30_000,
  });
  assert.match(wrongName.stderr, /Nothing was done: this box is "box1", not "box9"/);
  assert.match(wrongName.stderr, /You answer for one thing.*"box0" and "box2" are switched off/s);
  await recoverWhenSilent(survivor);
  const status = await command(survivor, ["ringfence", "status"]);
  assert.match(status, /RECOVERED.*generation 2: box1 went on alone, by oneadmin.*left behind: box0, box2/s);
  assert.match(status, /fencing is disarmed/);
  await stage.client.startWriting(2, "after");
  for (const box of dead) await box.powerOn();
  for (const box of dead) await standsDown(box, 2);
  assert.is(await leaderOf(stage, [survivor]), survivor);
  const after = await stage.client.stopWriting();
  assert.ok(after.acknowledged.length > 50, `${after.acknowledged.length} writes`);
  await joinAgain(survivor, 0);
  await joinAgain(survivor, 2);
  await isWhole(stage, boxes, 60_000);
  const written = {
    acknowledged: [...before.acknowledged, ...after.acknowledged],
    refused: [...before.refused, ...after.refused],
  };
  assert.equal(await wrongWrites(stage, boxes, written), []);
  assert.is(judgeHolders(await holders.stop()).max, 1);
  await command(survivor, ["ringfence", "recovery", "acknowledge"]);
  await level(stage, "the line is gone on every box", 10_000, async () => {
    const said = await Promise.all(boxes.map((box) => command(box, ["ringfence", "status"])));
    return said.some((text) => text.includes("RECOVERED")) ? said.join("\n") : undefined;
  });
});

test("a majority that was alive behind a cut stands down as soon as it hears the higher generation; a killed main goes on", async () => {
  const leader = await leaderOf(stage);
  const survivor = boxes.find((box) => box !== leader) ?? leader;
  const others = boxes.filter((box) => box !== survivor);
  await stage.rack.partition([survivor], others);
  await stage.rack.partition(others, [survivor]);
  // It starts again by itself; killed at random moments meanwhile, it ends in the same generation.
  const killer = (async () => {
    await level(
      stage,
      "the decision is on disk",
      60_000,
      async () => (/generation 3/.test(logOf(stage.rack, survivor)) ? undefined : "not yet"),
      5,
    );
    for (let round = 0; round < 6; round++) {
      await Bun.sleep(Math.random() * 400);
      if (survivor.processes().some((one) => one.name === "main")) survivor.kill("main");
    }
  })();
  await Promise.all([recoverWhenSilentOrBroken(survivor), killer]);
  await level(stage, "the survivor leads generation 3", 60_000, async () => {
    const view = await statusOf(stage.client, endpoint(survivor));
    const said = JSON.stringify(view);
    return view?.cluster.role === "leader" && said.includes('"generation":3') ? undefined : said;
  });
  assert.is((await statusOf(stage.client, endpoint(others[0] ?? leader)))?.cluster.members.length, 3);
  await stage.rack.heal();
  for (const box of others) await standsDown(box, 3);
  const holders = await stage.rack.watchHolders();
  await Bun.sleep(2000);
  assert.is(judgeHolders(await holders.stop()).max, 1);
  for (const box of others) await joinAgain(survivor, boxes.indexOf(box));
  await isWhole(stage, boxes, 60_000);
});

/** The main that answers the command is killed meanwhile: what counts is the level afterwards. */
async function recoverWhenSilentOrBroken(box: RackNode): Promise<void> {
  await level(stage, `${box.name} was told to go on alone`, 60_000, async () => {
    const result = await recover(box);
    return result.code === 0 || /begins; the box starts again/.test(result.stderr) ? undefined : result.stderr;
  });
}

test.run();
