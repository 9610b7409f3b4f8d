// time-limit: 200 s
/** A leader whose own disk is the slow one: leadership moves to a box that is fast, and writes are fast again. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { endpoint, statusOf } from "../support/demo/bootstrap.ts";
import { nodeDataDirectory } from "../support/rack/place.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { type SlowDisk, slowDisk } from "../support/rack/slow-disk.ts";
import { haveCaughtUp, leaderOf, level, logOf, openStage, type Stage, wrongWrites } from "./product-stage.ts";

/** A sync takes some 300 ms then. */
const WRITES_PER_SECOND = 8;
let stage: Stage;
let slow: SlowDisk | undefined;

test.before(async () => {
  stage = await openStage({ name: "tpsd", boxes: 3, hosts: 0 });
});
test.after(async () => {
  slow?.end();
  await stage?.down();
});

const slowDown = (box: RackNode): SlowDisk =>
  slowDisk(
    `ringfence-${stage.rack.place.name}-${box.name}`,
    box.processes().flatMap((one) => (one.name === "main" ? [one.pid] : [])),
    nodeDataDirectory(stage.rack.place, box.name),
    WRITES_PER_SECOND,
  );

test("a leader with a slow disk hands over, once, and no write is lost or refused", async () => {
  const victim = await leaderOf(stage);
  const others = stage.rack.boxes.filter((box) => box !== victim);
  await stage.client.startWriting(3, "slow");
  slow = slowDown(victim);
  await level(stage, "another box leads", 90_000, async () => {
    const leader = await leaderOf(stage);
    return leader === victim ? logOf(stage.rack, victim).split("\n").slice(-3).join("\n") : undefined;
  });
  assert.match(
    logOf(stage.rack, victim),
    /leadership is offered to another box: its disk takes \d+ ms where the others do not/,
  );
  // The disk is as slow as before, and nobody waits for it any more.
  const applied = async (): Promise<number> =>
    (await statusOf(stage.client, endpoint(others[0] ?? victim)))?.cluster.applied ?? 0;
  const from = await applied();
  await level(stage, "writes are fast again", 10_000, async () => {
    const done = (await applied()) - from;
    return done > 100 ? undefined : `${done} entries`;
  });
  slow.end();
  slow = undefined;
  await haveCaughtUp(stage, stage.rack.boxes);
  const written = await stage.client.stopWriting();
  assert.equal(await wrongWrites(stage, stage.rack.boxes, written), []);
  for (const box of others) assert.not.match(logOf(stage.rack, box), /leadership is offered/);
});

test.run();
