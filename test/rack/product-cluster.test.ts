// time-limit: 240 s
/** The product as one cluster of three boxes: nothing that happens to a process, a box or a disk loses a write or makes two holders. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { endpoint, statusOf } from "../support/demo/bootstrap.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { judgeHolders } from "../support/rack/watch/judge.ts";
import {
  giveToken,
  isWhole,
  leaderOf,
  level,
  logOf,
  openStage,
  restartPrograms,
  type Stage,
  wrongWrites,
} from "./product-stage.ts";

/** Three form the cluster; the fourth stays outside. */
const MEMBERS = 3;
let stage: Stage;
let boxes: readonly RackNode[];

test.before(async () => {
  stage = await openStage({ name: "tpcl", boxes: 4, hosts: 0, members: MEMBERS });
  boxes = stage.rack.boxes.slice(0, MEMBERS);
});
test.after(async () => {
  await stage?.down();
});

const applied = async (box: RackNode): Promise<number> =>
  (await statusOf(stage.client, endpoint(box)))?.cluster.applied ?? -1;
/** Writes go on: the cluster applies `count` more entries. */
const goesOn = async (what: string, count = 5): Promise<void> => {
  const from = Math.max(...(await Promise.all(boxes.map(applied))));
  await level(stage, what, 20_000, async () => {
    const now = Math.max(...(await Promise.all(boxes.filter((box) => box.isOn()).map(applied))));
    return now >= from + count ? undefined : `${now - from} entries`;
  });
};

test("a token lets one box in, once", async () => {
  const outsider = stage.rack.box(MEMBERS);
  const used = stage.tokens.get(1) ?? "";
  assert.ok(used.length > 20);
  await giveToken(outsider, used);
  await level(stage, "the used token is refused in words", 15_000, async () => {
    const said = logOf(stage.rack, outsider);
    return /cannot join yet: .*the token was used by another box already/.test(said) ? undefined : said;
  });
  assert.is((await statusOf(stage.client))?.cluster.members.length, MEMBERS);
  // It goes on waiting, and a broken token is as little an end as a used one.
  await giveToken(outsider, "not-a-token");
  await level(stage, "a broken token is refused in words", 15_000, async () => {
    const last = logOf(stage.rack, outsider).trimEnd().split("\n").at(-1) ?? "";
    return /cannot join yet: .*token/.test(last) && !/used by another/.test(last) ? undefined : last;
  });
  await outsider.powerCut();
});

test("main killed at any moment, leader and followers, is restarted and no write is lost", async () => {
  const holders = await stage.rack.watchHolders();
  await stage.client.startWriting(4, "kill");
  for (let round = 0; round < 6; round++) {
    await goesOn(`writes go on before kill ${round}`);
    const leader = await leaderOf(stage, boxes);
    const victim = round % 2 === 0 ? leader : boxes.find((box) => box !== leader);
    // The last two take the supervisor: its main must die with it, and the box's init starts both again.
    if (victim !== undefined && round >= 4) await restartPrograms(stage, victim);
    else victim?.kill("main");
    await isWhole(stage, boxes);
  }
  const written = await stage.client.stopWriting();
  assert.ok(written.acknowledged.length > 100, `${written.acknowledged.length} writes`);
  assert.equal(await wrongWrites(stage, boxes, written), []);
  assert.is(judgeHolders(await holders.stop()).max, 1);
});

test("the leader's main stopped for a while at random never makes two holders, and writes go on", async () => {
  const holders = await stage.rack.watchHolders();
  await stage.client.startWriting(4, "stop");
  for (let round = 0; round < 8; round++) {
    await goesOn(`writes go on before stop ${round}`);
    const leader = await leaderOf(stage, boxes);
    const stopMs = 200 + Math.random() * 2800;
    leader.kill("main", "SIGSTOP");
    await Bun.sleep(stopMs);
    leader.kill("main", "SIGCONT");
  }
  await isWhole(stage, boxes);
  await goesOn("writes go on at the end");
  const written = await stage.client.stopWriting();
  assert.equal(await wrongWrites(stage, boxes, written), []);
  const verdict = judgeHolders(await holders.stop());
  assert.is(verdict.max, 1, JSON.stringify(verdict.overlaps.slice(0, 3)));
});

test("the leader box loses its power: writes go on, and it catches up when it is back", async () => {
  const leader = await leaderOf(stage, boxes);
  await stage.client.startWriting(4, "power");
  await goesOn("writes go on before the cut");
  await leader.powerCut();
  await goesOn("writes go on without the box", 50);
  await leader.powerOn();
  await isWhole(stage, boxes);
  const written = await stage.client.stopWriting();
  assert.equal(await wrongWrites(stage, boxes, written), []);
});

test("a typing error in the configuration is told with file and line, is no reset loop, and its end is noticed", async () => {
  const victim = await leaderOf(stage, boxes);
  const { stdout: good } = await victim.exec(["cat", "/etc/one/oned.conf"]);
  await victim.exec(["sh", "-c", "cat >/etc/one/oned.conf"], { stdin: `${good}RAFFT = [ PROFILE = "fast" ]\n` });
  const line = good.split("\n").length;
  const before = logOf(stage.rack, victim, "console.log").length;
  const supervised = logOf(stage.rack, victim, "supervisor.log").length;
  victim.kill("main");
  await level(stage, "the mistake is told", 20_000, async () => {
    const said = logOf(stage.rack, victim, "console.log").slice(before);
    return said.includes(`/etc/one/oned.conf:${line}`) && said.includes("RAFFT") ? undefined : said;
  });
  await level(stage, "the supervisor calls for a person", 20_000, async () => {
    const said = logOf(stage.rack, victim, "supervisor.log").slice(supervised);
    return said.includes("main needs a person") ? undefined : said;
  });
  await stage.client.must("one.template.allocate", ['NAME = "typo"'], { withinMs: 10_000 });
  await victim.exec(["sh", "-c", "cat >/etc/one/oned.conf"], { stdin: good });
  await isWhole(stage, boxes);
  // Tried again in peace: every 5 s, not in a loop, and never with the intention to reset the box.
  const said = logOf(stage.rack, victim, "supervisor.log").slice(supervised);
  const tries = [...said.matchAll(/main needs a person/g)].length;
  assert.ok(tries >= 1 && tries <= 6, said);
  assert.not.match(said, /reset(?! for this)/i);
});

test.run();
