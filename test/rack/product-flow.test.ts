// time-limit: 240 s
/** A slow or silent follower slows nobody else, and bulk does not delay heartbeats: 64 clients write 4 KiB values. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { command, endpoint, statusOf } from "../support/demo/bootstrap.ts";
import type { RackNode } from "../support/rack/rack.ts";
import { haveCaughtUp, isWhole, leaderOf, level, logOf, openStage, type Stage } from "./product-stage.ts";

const WRITERS = 64;
const VALUE_BYTES = 4096;
const PHASE_MS = 3000;
/** The other two are enough for every write: what a third one costs must not be seen. */
const SHARE_MIN = 0.8;
/** Half of E of the default profile: rounds that took so long would leave the lease no room for a lost one. */
const ROUND_MS_MAX = 300;

let stage: Stage;
let phases = 0;

test.before(async () => {
  stage = await openStage({ name: "flow", boxes: 3, hosts: 0, profile: "default" });
});
test.after(async () => {
  await stage?.down();
});

interface Phase {
  readonly perSecond: number;
  /** Of the heartbeat rounds that were sampled on the leader, ms. */
  readonly roundsMs: readonly number[];
}

async function phase(leader: RackNode): Promise<Phase> {
  await stage.client.startWriting(WRITERS, `flow-${++phases}`, { url: endpoint(leader), valueBytes: VALUE_BYTES });
  const roundsMs: number[] = [];
  const startedAt = performance.now();
  while (performance.now() - startedAt < PHASE_MS) {
    roundsMs.push((await statusOf(stage.client, endpoint(leader)))?.cluster.roundMs ?? 0);
    await Bun.sleep(20);
  }
  const { acknowledged, refused } = await stage.client.stopWriting();
  assert.equal(refused, []);
  return { perSecond: acknowledged.length / ((performance.now() - startedAt) / 1000), roundsMs };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

/** Phases with and without the trouble take turns: what else this machine does meets both. */
async function compare(
  what: string,
  leader: RackNode,
  begin: () => void | Promise<void>,
  end: () => void | Promise<void>,
) {
  const without: Phase[] = [];
  const under: Phase[] = [];
  for (let round = 0; round < 3; round++) {
    without.push(await phase(leader));
    await begin();
    under.push(await phase(leader));
    await end();
    await isWhole(stage, stage.rack.boxes);
  }
  const rate = (all: readonly Phase[]): number => median(all.map(({ perSecond }) => perSecond));
  const rounds = [...without, ...under].flatMap(({ roundsMs }) => roundsMs).sort((a, b) => a - b);
  const share = rate(under) / rate(without);
  console.log(
    `${what}: ${rate(without).toFixed(0)} writes/s, with it ${rate(under).toFixed(0)} (${share.toFixed(2)}); heartbeat rounds median ${median(rounds).toFixed(1)}, p99 ${(rounds[Math.floor(rounds.length * 0.99)] ?? 0).toFixed(1)}, largest ${(rounds.at(-1) ?? 0).toFixed(1)} ms`,
  );
  assert.ok(share >= SHARE_MIN, `${share.toFixed(2)} of the rate without it`);
  assert.ok((rounds[Math.floor(rounds.length * 0.99)] ?? 0) < ROUND_MS_MAX);
  await haveCaughtUp(stage, stage.rack.boxes);
}

test("a follower whose process stands still slows nobody, and catches up", async () => {
  const leader = await leaderOf(stage);
  const victim = stage.rack.boxes.find((box) => box !== leader) as RackNode;
  // The supervisor, too: it would end a main that stands still.
  await compare(
    "a follower stands still",
    leader,
    () => {
      victim.kill("supervisor", "SIGSTOP");
      victim.kill("main", "SIGSTOP");
    },
    () => {
      victim.kill("main", "SIGCONT");
      victim.kill("supervisor", "SIGCONT");
    },
  );
  assert.is(await leaderOf(stage), leader);
});

test("a follower behind a link that loses packets slows nobody, and catches up", async () => {
  const leader = await leaderOf(stage);
  const victim = stage.rack.boxes.find((box) => box !== leader) as RackNode;
  await compare(
    "a follower's link loses 20 %",
    leader,
    () => victim.lose(20),
    () => victim.lose(0),
  );
  await level(stage, "writes go on", 10_000, async () => {
    const answer = await stage.client.call("one.template.allocate", ['NAME = "after"']);
    return answer.kind === "ok" ? undefined : JSON.stringify(answer);
  });
});

test("a snapshot on its way delays no heartbeat and no write for long, under the same load", async () => {
  const leader = await leaderOf(stage);
  const victim = stage.rack.boxes.find((box) => box !== leader) as RackNode;
  const installed = (): number => [...logOf(stage.rack, victim).matchAll(/is this box's state/g)].length;
  const before = installed();
  const number = stage.rack.boxes.indexOf(victim);
  await command(leader, ["onezone", "server-reset", "0", String(number)]);
  const all: Phase[] = [];
  // The state is tens of MiB by now: its way takes longer than one phase.
  for (let turn = 0; turn < 8 && installed() === before; turn++) all.push(await phase(leader));
  await level(stage, "the snapshot is installed", 40_000, async () => (installed() > before ? undefined : "not yet"));
  const rounds = all.flatMap(({ roundsMs }) => roundsMs).sort((a, b) => a - b);
  const p99 = rounds[Math.floor(rounds.length * 0.99)] ?? 0;
  console.log(
    `a snapshot on its way: ${all.map(({ perSecond }) => perSecond.toFixed(0)).join(", ")} writes/s; heartbeat rounds median ${median(rounds).toFixed(1)}, p99 ${p99.toFixed(1)}, largest ${(rounds.at(-1) ?? 0).toFixed(1)} ms`,
  );
  assert.ok(p99 < ROUND_MS_MAX, `p99 ${p99} ms`);
  assert.is(await leaderOf(stage), leader);
  await isWhole(stage, stage.rack.boxes);
});

test.run();
