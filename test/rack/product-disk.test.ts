// time-limit: 300 s
/** Disks that fill up: leadership moves to where there is room, a full follower acknowledges nothing, and all come back by themselves. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { endpoint, statusOf } from "../support/demo/bootstrap.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { judgeHolders } from "../support/rack/watch/judge.ts";
import { isWhole, leaderOf, level, logOf, openStage, type Stage, wrongWrites } from "./product-stage.ts";

const FILLER = "/var/lib/one/filler";
/** Log with its spare, state, reserve, and beyond what a box wants to lead. */
const DISK_MIB = 400;
let stage: Stage;
let boxes: readonly RackNode[];

// The disks are in memory, so no box is switched off here.
test.before(async () => {
  stage = await openStage({ name: "tpdk", boxes: 3, hosts: 0 });
  boxes = stage.rack.boxes;
  for (const box of boxes) {
    await smallDisk(box);
    await isWhole(stage, boxes);
  }
});
test.after(async () => {
  await stage?.down();
});

/** Puts the box's data on a small file system, while nothing of it runs. */
async function smallDisk(box: RackNode): Promise<void> {
  box.kill("supervisor", "SIGSTOP");
  box.kill("main");
  const script = `set -e
cp -a /var/lib/one /var/tmp/one
mount -t tmpfs -o size=${DISK_MIB}m,mode=0700 tmpfs /var/lib/one
cp -a /var/tmp/one/. /var/lib/one/`;
  const result = await box.exec(["sh", "-c", script]);
  assert.is(result.code, 0, result.stderr);
  box.kill("supervisor", "SIGCONT");
}

const pidOf = (box: RackNode): number => box.processes().find((one) => one.name === "main")?.pid ?? -1;
const applied = async (box: RackNode): Promise<number> =>
  (await statusOf(stage.client, endpoint(box)))?.cluster.applied ?? -1;
const holds = async (box: RackNode): Promise<boolean> => {
  const answer = await stage.client.call("ringfence.status", [], { url: endpoint(box) });
  return answer.kind === "ok" && JSON.parse(answer.value).vip?.holding === true;
};

/** As fast as memory goes, to the last byte: there is no time for a graceful threshold. */
async function fill(box: RackNode): Promise<void> {
  await box.exec(["sh", "-c", `cat /dev/zero >${FILLER} 2>/dev/null`]);
}
/** Leaves `leftMib` of room. */
async function fillTo(box: RackNode, leftMib: number): Promise<void> {
  const script = `left=$(df -m --output=avail /var/lib/one | tail -1); head -c $((left - ${leftMib}))M /dev/zero >${FILLER}`;
  const result = await box.exec(["sh", "-c", script]);
  assert.is(result.code, 0, result.stderr);
}
async function free(box: RackNode): Promise<void> {
  assert.is((await box.exec(["rm", FILLER])).code, 0);
}

/** Writes go on: one of `among` applies `count` more entries. */
async function goesOn(what: string, among: readonly RackNode[], count = 20): Promise<void> {
  const most = async (): Promise<number> => Math.max(...(await Promise.all(among.map(applied))));
  const from = await most();
  await level(stage, what, 20_000, async () => {
    const now = await most();
    return now >= from + count ? undefined : `${now - from} entries`;
  });
}

async function saysSince(box: RackNode, since: number, what: RegExp): Promise<void> {
  await level(stage, `${box.name} says ${what}`, 20_000, async () => {
    const said = logOf(stage.rack, box).slice(since);
    return what.test(said) ? undefined : said;
  });
}

test("the leader's disk fills up under load: leadership, VIP and writes move on, and the box comes back with the same process", async () => {
  const holders = await stage.rack.watchHolders();
  await stage.client.startWriting(3, "full");
  const victim = await leaderOf(stage);
  const rest = boxes.filter((box) => box !== victim);
  const pid = pidOf(victim);
  const since = logOf(stage.rack, victim).length;
  await goesOn("writes go on before the disk is full", boxes);
  await fill(victim);
  await level(stage, "another box leads and has the VIP", 20_000, async () => {
    const leader = await leaderOf(stage, rest);
    return (await holds(leader)) && !(await holds(victim)) ? undefined : `${leader.name} leads`;
  });
  await saysSince(victim, since, /ALERT .* MiB left on the disk/);
  await goesOn("writes go on without it", rest, 100);
  await free(victim);
  await saysSince(victim, since, /there is room again/);
  await isWhole(stage, boxes);
  const written = await stage.client.stopWriting();
  assert.equal(await wrongWrites(stage, boxes, written), []);
  assert.ok(written.acknowledged.length > 100, `${written.acknowledged.length} writes`);
  assert.is(pidOf(victim), pid);
  assert.is(judgeHolders(await holders.stop()).max, 1);
});

test("a follower with a full disk falls behind without a lie, and catches up with the same process", async () => {
  const leader = await leaderOf(stage);
  const victim = boxes.find((box) => box !== leader) ?? leader;
  const rest = boxes.filter((box) => box !== victim);
  const pid = pidOf(victim);
  const since = logOf(stage.rack, victim).length;
  await stage.client.startWriting(3, "back");
  await fill(victim);
  await saysSince(victim, since, /acknowledges no more writes/);
  await goesOn("writes go on without it", rest, 200);
  const behind = await applied(victim);
  await goesOn("writes still go on", rest, 100);
  assert.ok((await applied(victim)) <= behind + 64, "a full box took entries");
  assert.is((await leaderOf(stage)).name, leader.name, "a full follower moves nobody");
  await free(victim);
  await isWhole(stage, boxes);
  const written = await stage.client.stopWriting();
  assert.equal(await wrongWrites(stage, boxes, written), []);
  assert.is(pidOf(victim), pid);
});

test("where no quorum has room writes are refused with the boxes and their room, reads go on, and room mends it", async () => {
  const pids = boxes.map(pidOf);
  await stage.client.must("one.template.allocate", ['NAME = "before"'], { withinMs: 10_000 });
  for (const box of boxes) await fillTo(box, 40);
  await level(stage, "a write is refused in words", 20_000, async () => {
    const answer = await stage.client.call("one.template.allocate", [`NAME = "refused-${Math.random()}"`]);
    if (answer.kind === "refused" && /no room on the disks .*box\d has \d+ MiB left/.test(answer.message))
      return undefined;
    return JSON.stringify(answer);
  });
  assert.is((await stage.client.call("one.templatepool.info", [-2, -1, -1])).kind, "ok");
  for (const box of boxes) await free(box);
  await level(stage, "a write is done again", 20_000, async () => {
    const answer = await stage.client.call("one.template.allocate", [`NAME = "after-${Math.random()}"`]);
    return answer.kind === "ok" ? undefined : JSON.stringify(answer);
  });
  assert.equal(boxes.map(pidOf), pids);
});

test.run();
