// time-limit: 240 s
/** A bit that flips in one box's database is found by the others, and the box heals itself, a leader too. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { endpoint, statusOf } from "../support/demo/bootstrap.ts";
import { VIP } from "../support/rack/plan.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { isWhole, leaderOf, level, logOf, openStage, type Stage, wrongWrites } from "./product-stage.ts";

/** A log that forgets as soon as it can, which is by whole segments. */
const ONED_CONF = `VIP = [ INTERFACE = "eth0", ADDRESS = "${VIP}/24" ]
RAFT = [ PROFILE = "default", LOG_RETENTION = 10, LOG_PURGE_TIMEOUT = 2 ]
`;
/** Some sixty of them fill a segment. */
const BODY = `TEXT = "${"x".repeat(260_000)}"`;
let stage: Stage;
let boxes: readonly RackNode[];

test.before(async () => {
  stage = await openStage({ name: "tpst", boxes: 3, hosts: 0, onedConf: () => ONED_CONF });
  boxes = stage.rack.boxes;
});
test.after(async () => {
  await stage?.down();
});

/** What a box answers of a template. */
async function nameAt(box: RackNode, id: string): Promise<string> {
  const answer = await stage.client.call("one.template.info", [Number(id)], { url: endpoint(box) });
  return answer.kind === "ok" ? (/<NAME>([^<]*)</.exec(answer.value)?.[1] ?? "") : answer.kind;
}

/** One bit of one value, in the database of a box that runs: no statement of ours, no error of SQLite. */
async function flip(box: RackNode, id: string): Promise<void> {
  const script = `import sqlite3 from "sqlite3";
const database = new sqlite3.Database("/var/lib/one/state/state.db");
database.configure("busyTimeout", 5000);
database.run("UPDATE template SET name = 'flippee' WHERE id = ${id} AND name = 'flipped'", function (error) {
  console.log(error === null ? this.changes : String(error));
});`;
  const result = await box.exec(["sh", "-c", `cd ${import.meta.dirname} && exec ${process.execPath} -`], {
    stdin: script,
  });
  assert.is(result.stdout.trim(), "1", result.stderr);
}

/** Entries, and no more rows: the others' looks come round to each row soon. Ends with what is returned. */
function keepUpdating(id: string): () => Promise<void> {
  let goesOn = true;
  const update = async (): Promise<void> => {
    while (goesOn) await stage.client.call("one.template.update", [Number(id), `AT = "${performance.now()}"`, 0]);
  };
  const all = Promise.all(Array.from({ length: 8 }, update));
  return async () => {
    goesOn = false;
    await all;
  };
}

const applied = async (box: RackNode): Promise<number> =>
  (await statusOf(stage.client, endpoint(box)))?.cluster.applied ?? -1;

for (const [turn, which] of (["follower", "leader"] as const).entries()) {
  test(`a bit that flips in the ${which}'s database is found and healed by itself, and no write is lost`, async () => {
    const id = await stage.client.must("one.template.allocate", [`NAME = "flipped"`], { withinMs: 10_000 });
    await isWhole(stage, boxes);
    const leader = await leaderOf(stage);
    const victim = which === "leader" ? leader : (boxes.find((box) => box !== leader) ?? leader);
    const since = boxes.map((box) => logOf(stage.rack, box).length);
    const from = await applied(leader);
    await flip(victim, id);
    await stage.client.startWriting(1, `flip${turn}`);
    const end = keepUpdating(id);
    await level(stage, `${victim.name} is found`, 90_000, async () => {
      const said = boxes.map((box, at) => logOf(stage.rack, box).slice(since[at])).join("");
      return /ALERT \S+ has a state that differs/.test(said) ? undefined : `${(await applied(leader)) - from} entries`;
    });
    await end();
    await level(stage, `${victim.name} has what the others have`, 60_000, async () => {
      const name = await nameAt(victim, id);
      return name === "flipped" ? undefined : name;
    });
    await isWhole(stage, boxes);
    const written = await stage.client.stopWriting();
    assert.equal(await wrongWrites(stage, boxes, written), []);
    for (const box of boxes) assert.is(await nameAt(box, id), "flipped", box.name);
    // Nobody else was taken for the wrong one.
    const said = boxes.map((box, at) => logOf(stage.rack, box).slice(since[at])).join("");
    assert.is([...said.matchAll(/it is rebuilt from a snapshot/g)].length, 1, said);
    await stage.client.must("one.template.delete", [Number(id), false], { withinMs: 10_000 });
  });
}

/** While nothing of the box runs: its database is no database any more. */
async function wreck(box: RackNode): Promise<void> {
  box.kill("supervisor", "SIGSTOP");
  box.kill("main");
  const script = "cd /var/lib/one/state && rm -f state.db-* && head -c 100000 /dev/urandom >state.db";
  const result = await box.exec(["sh", "-c", script]);
  assert.is(result.code, 0, result.stderr);
  box.kill("supervisor", "SIGCONT");
}

/** Its database is wrecked, writes go on, and it comes back by itself with all of them. */
async function heals(victim: RackNode, how: RegExp): Promise<void> {
  const since = logOf(stage.rack, victim).length;
  await stage.client.startWriting(3, `wreck${since}`);
  await wreck(victim);
  await level(stage, `${victim.name} says ${how}`, 40_000, async () => {
    const said = logOf(stage.rack, victim).slice(since);
    return how.test(said) ? undefined : said;
  });
  await isWhole(stage, boxes);
  const written = await stage.client.stopWriting();
  assert.equal(await wrongWrites(stage, boxes, written), []);
}

test("a box whose database is wrecked makes it anew from its log", async () => {
  await heals(await leaderOf(stage), /ALERT the state database is damaged/);
});

test("a box whose database is wrecked and whose log is purged gets the leader's state", async () => {
  const template = Number(await stage.client.must("one.template.allocate", ['NAME = "big"']));
  const leader = await leaderOf(stage);
  const victim = boxes.find((box) => box !== leader) ?? leader;
  await level(stage, "its log is purged", 60_000, async () => {
    for (let n = 0; n < 10; n++) await stage.client.must("one.template.update", [template, BODY, 0]);
    return /the log begins at entry \d+ now/.test(logOf(stage.rack, victim)) ? undefined : "not yet";
  });
  await heals(victim, /ALERT the state is lost[\s\S]*is this box's state/);
});

test.run();
