// time-limit: 240 s
/**
 * Two builds in one cluster, the newer with a feature level more: they work together, the level rises only when every
 * box knows it, and then an old build is refused. The newer build is this checkout with one file changed, inside the box.
 */
import { resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { command, endpoint, statusOf } from "../support/demo/bootstrap.ts";
import type { RackNode } from "../support/rack/rack.ts";
import {
  isWhole,
  leaderOf,
  level,
  logOf,
  openStage,
  restartPrograms,
  type Stage,
  wrongWrites,
} from "./product-stage.ts";

const SOURCE = resolve(import.meta.dirname, "../../src");
const NEWER = "0.2.0-test";
let stage: Stage;

test.before(async () => {
  stage = await openStage({ name: "time", boxes: 3, hosts: 0 });
});
test.after(async () => {
  await stage?.down();
});

async function inBox(box: RackNode, script: string): Promise<void> {
  const result = await box.exec(["sh", "-euc", script]);
  assert.is(result.code, 0, `${box.name}: ${result.stderr}`);
}

/** From its next start on the box runs the newer build. */
function install(box: RackNode): Promise<void> {
  const table = 'migration: [{ sql: "CREATE TABLE level_two (id INTEGER)", values: [] }]';
  return inBox(
    box,
    `rm -rf /root/newer && cp -a '${SOURCE}' /root/newer && cd /root/newer/parts
sed -i -e 's/migration: \\[\\] }];/migration: [] }, { text: "test", ${table} }];/' -e 's/packageJson.version/"${NEWER}"/' feature-level.ts
grep -q level_two feature-level.ts && grep -q '"${NEWER}"' feature-level.ts
mount --bind /root/newer '${SOURCE}'`,
  );
}

/** An update: the box's programs end and begin anew, its kernel stays. A leader hands over first. */
async function restart(box: RackNode): Promise<void> {
  if ((await leaderOf(stage)) === box) await command(box, ["ringfence", "leader", "move"]);
  await restartPrograms(stage, box);
}

async function update(box: RackNode): Promise<void> {
  await install(box);
  await restart(box);
  await level(stage, `${box.name} announces the newer build`, 30_000, async () => {
    const build = await buildOf(box);
    return build === NEWER ? undefined : String(build);
  });
  await isWhole(stage, stage.rack.boxes);
}

/** What the leader heard of a box; undefined while it does not hear it. */
async function buildOf(box: RackNode): Promise<string | undefined> {
  const views = await Promise.all(stage.rack.boxes.map((one) => statusOf(stage.client, endpoint(one))));
  const leading = views.find((view) => view?.cluster.role === "leader");
  return leading?.cluster.members.find((member) => member.name === box.name)?.build ?? undefined;
}

async function levels(): Promise<readonly number[]> {
  const views = await Promise.all(stage.rack.boxes.map((box) => statusOf(stage.client, endpoint(box))));
  return views.map((view) => view?.cluster.level ?? 0);
}

/** Writes are acknowledged until `work` is over, and none is lost or refused. */
async function underWrites(name: string, boxes: readonly RackNode[], work: () => Promise<void>): Promise<void> {
  await stage.client.startWriting(4, name);
  await work();
  const written = await stage.client.stopWriting();
  assert.ok(written.acknowledged.length > 20, `${written.acknowledged.length} writes`);
  assert.equal(await wrongWrites(stage, boxes, written), []);
}

test("two old boxes and a new one work together, and the level stays", async () => {
  const { boxes } = stage.rack;
  const leader = await leaderOf(stage);
  const first = boxes.find((box) => box !== leader) ?? boxes[0];
  assert.ok(first !== undefined);
  await underWrites("mixed", boxes, () => update(first));
  const status = await command(boxes[0] as RackNode, ["ringfence", "status"]);
  assert.match(status, /LEVEL +: 1\n/);
  assert.match(status, new RegExp(`${first.name} .* ${NEWER} +2 `));
  // The newer one may lead the older ones.
  await command(leader, ["ringfence", "leader", "move", String(stage.rack.boxes.indexOf(first))]);
  await underWrites("newer-leads", boxes, () => Bun.sleep(1500));
  const refused = await stage.client.call("ringfence.level.raise", []);
  assert.is(refused.kind, "refused");
  assert.match(JSON.stringify(refused), /The feature level stays: .*box\d has build 0\.\d\.\d, which knows level 1/);
  assert.equal(await levels(), [1, 1, 1]);
  // Until then an update can be taken back: the old build goes on with what the newer one has written.
  await inBox(first, `umount '${SOURCE}'`);
  await restart(first);
  await level(stage, `${first.name} is back at its old build`, 30_000, async () => {
    const build = await buildOf(first);
    return build !== undefined && build !== NEWER ? undefined : String(build);
  });
  await isWhole(stage, boxes);
});

test("once every box is new the level rises, on all boxes, while writes go on", async () => {
  const { boxes } = stage.rack;
  await underWrites("all-new", boxes, async () => {
    for (const box of boxes) {
      const build = (await statusOf(stage.client))?.cluster.members.find((one) => one.name === box.name)?.build;
      if (build !== NEWER) await update(box);
    }
    assert.equal(await levels(), [1, 1, 1]);
    const printed = await command(boxes[0] as RackNode, ["ringfence", "level", "raise", "--yes"]);
    assert.match(printed, "Feature level 2 is in force");
    await level(stage, "every box has level 2", 10_000, async () => {
      const all = await levels();
      return all.every((one) => one === 2) ? undefined : all.join();
    });
  });
});

test("an old build is refused afterwards, in words, and the newer one comes back with everything", async () => {
  const { boxes } = stage.rack;
  const leader = await leaderOf(stage);
  const box = boxes.find((one) => one !== leader) as RackNode;
  const said = logOf(stage.rack, box).length;
  const supervised = logOf(stage.rack, box, "supervisor.log").length;
  await inBox(box, `umount '${SOURCE}'`);
  await restart(box);
  await level(stage, "the old build says why it does not start", 20_000, async () => {
    const text = logOf(stage.rack, box).slice(said);
    return /needs feature level 2, and this build knows 1: install/.test(text) ? undefined : text;
  });
  await level(stage, "the supervisor calls for a person", 20_000, async () => {
    const text = logOf(stage.rack, box, "supervisor.log").slice(supervised);
    return text.includes("main needs a person") ? undefined : text;
  });
  const others = boxes.filter((one) => one !== box);
  await underWrites("without-it", others, () => Bun.sleep(1500));
  await install(box);
  await restartPrograms(stage, box);
  await isWhole(stage, boxes, 60_000);
  assert.equal(await levels(), [2, 2, 2]);
});

test.run();
