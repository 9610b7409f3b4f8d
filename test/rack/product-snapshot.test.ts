// time-limit: 480 s
/** Snapshots: whoever needs what the log has no more gets the state itself, without anybody's help and beside the writes. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { endpoint, statusOf } from "../support/demo/bootstrap.ts";
import { VIP } from "../support/rack/plan.ts";
import type { RackNode } from "../support/rack/rack.ts";
import {
  giveToken,
  haveCaughtUp,
  isWhole,
  leaderOf,
  level,
  logOf,
  openStage,
  type Stage,
  wrongWrites,
} from "./product-stage.ts";

const MEMBERS = 3;
/** A log that keeps next to nothing. */
const ONED_CONF = `VIP = [ INTERFACE = "eth0", ADDRESS = "${VIP}/24" ]
RAFT = [ PROFILE = "default", LOG_RETENTION = 10, LOG_PURGE_TIMEOUT = 2 ]
`;
/** One write's body: some sixty of them fill a segment of the log. */
const BODY_BYTES = 260_000;

let stage: Stage;
let boxes: readonly RackNode[];

test.before(async () => {
  stage = await openStage({ name: "snps", boxes: MEMBERS + 1, hosts: 0, members: MEMBERS, onedConf: () => ONED_CONF });
  boxes = stage.rack.boxes.slice(0, MEMBERS);
});
test.after(async () => {
  await stage?.down();
});

const clusterOf = async (box: RackNode) => (await statusOf(stage.client, endpoint(box)))?.cluster;

/** Where a box's log begins, by its own word; 1 as long as nothing was purged. */
function logBegin(box: RackNode): number {
  const said = [...logOf(stage.rack, box).matchAll(/the log begins at entry (\d+) now/g)].at(-1);
  return Number(said?.[1] ?? 1);
}

/** Writes until the leader's log has forgotten entry `index`. */
async function outgrow(index: number, among: readonly RackNode[] = boxes): Promise<void> {
  const leader = await leaderOf(stage, among);
  const template = Number(await stage.client.must("one.template.allocate", [`NAME = "big-${performance.now()}"`]));
  const body = `TEXT = "${"x".repeat(BODY_BYTES)}"`;
  await level(stage, `the leader's log has forgotten entry ${index}`, 60_000, async () => {
    for (let i = 0; i < 10; i++) await stage.client.must("one.template.update", [template, body, 0]);
    return logBegin(leader) > index + 1 ? undefined : `it begins at ${logBegin(leader)}`;
  });
}

const installed = (box: RackNode): number => [...logOf(stage.rack, box).matchAll(/is this box's state/g)].length;

test("a box that was off beyond the log's retention comes back by itself; writes go on and nobody is elected", async () => {
  const leader = await leaderOf(stage, boxes);
  const away = boxes.find((box) => box !== leader) as RackNode;
  const applied = (await clusterOf(away))?.applied ?? 0;
  assert.ok(applied > 0);
  await away.powerCut();
  await outgrow(applied);
  const term = (await clusterOf(leader))?.term;
  await stage.client.startWriting(4, "away");
  await away.powerOn();
  await level(stage, "it has installed a snapshot", 40_000, async () => (installed(away) > 0 ? undefined : "not yet"));
  await isWhole(stage, boxes);
  const written = await stage.client.stopWriting();
  assert.ok(written.acknowledged.length > 100, `${written.acknowledged.length} writes`);
  assert.equal(await wrongWrites(stage, boxes, written), []);
  assert.is((await clusterOf(leader))?.term, term, "an election took place");
  assert.ok(logBegin(leader) > applied + 1);
});

test("a wiped box that is joined again gets the state although the log does not go back to its beginning", async () => {
  const leader = await leaderOf(stage, boxes);
  const spare = stage.rack.box(MEMBERS);
  const url = endpoint(leader);
  await stage.client.must("one.zone.addserver", [0, `SERVER=[NAME="${spare.name}",ENDPOINT="${endpoint(spare)}"]`], {
    url,
  });
  await giveToken(spare, await stage.client.must("ringfence.zone.jointoken", [MEMBERS], { url }));
  await stage.client.startWriting(2, "spare");
  boxes = stage.rack.boxes;
  await isWhole(stage, boxes);
  const written = await stage.client.stopWriting();
  assert.equal(await wrongWrites(stage, boxes, written), []);
  assert.is(installed(spare), 1);
});

test("a server is reset: it takes the leader's state although it has its own, and goes on", async () => {
  const leader = await leaderOf(stage, boxes);
  const victim = boxes.find((box) => box !== leader) as RackNode;
  const before = installed(victim);
  const number = boxes.indexOf(victim);
  await stage.client.startWriting(2, "reset");
  const result = await leader.exec(["onezone", "server-reset", "0", String(number)]);
  assert.is(result.code, 0, result.stderr);
  await level(stage, "it has installed a snapshot", 30_000, async () =>
    installed(victim) > before ? undefined : "not yet",
  );
  await isWhole(stage, boxes);
  const written = await stage.client.stopWriting();
  assert.equal(await wrongWrites(stage, boxes, written), []);
});

test("main killed at any moment while a snapshot arrives and is installed: the box comes back all the same", async () => {
  const leader = await leaderOf(stage, boxes);
  const away = boxes.find((box) => box !== leader) as RackNode;
  const applied = (await clusterOf(away))?.applied ?? 0;
  // A state of some size, so that the way takes a while.
  const names = Array.from({ length: 120 }, (_, i) => `filler-${i}`);
  for (const name of names)
    await stage.client.must("one.template.allocate", [`NAME = "${name}"\nTEXT = "${"y".repeat(BODY_BYTES)}"`]);
  await haveCaughtUp(stage, boxes);
  await away.powerCut();
  await outgrow(applied + names.length);
  const before = installed(away);
  const term = (await clusterOf(leader))?.term;
  await stage.client.startWriting(2, "torn");
  await away.powerOn();
  for (let kill = 0; kill < 6; kill++) {
    await level(stage, "its main runs", 20_000, async () =>
      away.processes().some((one) => one.name === "main") ? undefined : "no main",
    );
    // Between the start and the installation's end, wherever that is now.
    await Bun.sleep(300 + Math.random() * 1500);
    if (away.processes().some((one) => one.name === "main")) away.kill("main");
  }
  await level(stage, "it has installed a snapshot", 60_000, async () =>
    installed(away) > before ? undefined : "not yet",
  );
  await isWhole(stage, boxes, 60_000);
  const written = await stage.client.stopWriting();
  assert.equal(await wrongWrites(stage, boxes, written), []);
  assert.is((await clusterOf(leader))?.term, term, "an election took place");
});

// Last: the other boxes stand down for it.
test("a backup is restored: its box goes on alone as a new generation with the state of then, the others stand down", async () => {
  const box = await leaderOf(stage, boxes);
  await stage.client.must("one.template.allocate", ['NAME = "before the backup"']);
  const file = "/var/tmp/monday.backup";
  const made = await box.exec(["onedb", "backup", file]);
  assert.is(made.code, 0, made.stderr);
  await stage.client.must("one.template.allocate", ['NAME = "after the backup"']);
  const unsure = await box.exec(["onedb", "restore", file]);
  assert.is(unsure.code, 255);
  assert.match(unsure.stderr, /With -f the backup takes its place/);
  const restored = await box.exec(["onedb", "restore", "-f", file]);
  assert.is(restored.code, 0, restored.stderr);
  const url = endpoint(box);
  await level(stage, "the box leads alone, in generation 2", 40_000, async () => {
    const status = await statusOf(stage.client, url);
    const { role, members } = status?.cluster ?? { role: "silent", members: [] };
    return role === "leader" && members.length === 1 ? undefined : `${role}, ${members.length} members`;
  });
  const pool = await stage.client.must("one.templatepool.info", [-2, -1, -1], { url });
  assert.match(pool, /before the backup/);
  assert.not.match(pool, /after the backup/);
  await stage.client.must("one.template.allocate", ['NAME = "goes on"'], { url });
  const status = await box.exec(["ringfence", "status"]);
  assert.match(status.stdout, /restore/i);
  await level(stage, "the others stand down", 40_000, async () => {
    const silent = boxes
      .filter((other) => other !== box)
      .filter((other) => /stands down/.test(logOf(stage.rack, other)));
    return silent.length === boxes.length - 1 ? undefined : silent.map((one) => one.name).join();
  });
});

test.run();
