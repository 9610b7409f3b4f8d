/** What clients notice of a planned transfer of the leadership. */
import { command, endpoint } from "../support/demo/bootstrap.ts";
import { monotonicMs } from "../support/rack/command.ts";
import { longestGap } from "../support/rack/watch/judge.ts";
import { type BenchCluster, createObjects, waitForLevel, withCluster } from "./bench-cluster.ts";
import { KeptWriting } from "./keep-writing.ts";
import type { Outcome } from "./keep-writing-main.ts";
import type { BenchRow } from "./row.ts";
import { median, spread } from "./statistics.ts";

const RUNS = 20;
const CLIENTS = 8;
const VALUE_BYTES = 300;
/** A write without an answer for so long has failed. */
const LIMIT_MS = 5_000;
/** All clients write for so long before the move, to compare with, and after it. */
const AROUND_MS = 1_000;

interface Moved {
  /** The longest pause of any client, from the command on. */
  readonly pauseMs: number;
  /** The same in the second before. */
  readonly pauseBeforeMs: number;
  readonly failed: readonly Outcome[];
  readonly writes: number;
}

/**
 * `ringfence leader move` while 8 clients write one after the other, spread over the three boxes: the longest time
 * between two acknowledgements that any of them sees, and the writes that fail.
 */
export async function bench(options: {
  readonly runs?: number;
  readonly log: (line: string) => void;
}): Promise<BenchRow[]> {
  const { runs = RUNS, log } = options;
  return withCluster({ profile: "default", hosts: 0, log }, async (cluster) => {
    const objects = await createObjects(cluster, CLIENTS);
    const all: Moved[] = [];
    for (let run = 1; run <= runs; run++) {
      const moved = await move(cluster, objects, run);
      all.push(moved);
      log(
        `transfer ${run}: longest pause ${moved.pauseMs.toFixed(0)} ms (${moved.pauseBeforeMs.toFixed(0)} ms before), ` +
          `${moved.writes} writes, ${moved.failed.length} failed`,
      );
      for (const { client, why } of moved.failed.slice(0, 3)) log(`  client ${client}: ${why}`);
    }
    const pauses = all.map(({ pauseMs }) => pauseMs);
    log(`transfer: ${spread(pauses, "ms")}; without a move median ${median(all.map((one) => one.pauseBeforeMs))} ms`);
    const failed = all.reduce((sum, one) => sum + one.failed.length, 0);
    const writes = all.reduce((sum, one) => sum + one.writes, 0);
    const alone = { peer: null, peerValue: null, ratio: null };
    return [
      { key: "transfer.max", value: Math.max(...pauses), unit: "ms", n: runs, ...alone },
      { key: "transfer.median", value: median(pauses), unit: "ms", n: runs, ...alone },
      { key: "transfer.failed", value: failed, unit: "writes", n: writes, ...alone },
    ];
  });
}

async function move(cluster: BenchCluster, objects: readonly number[], run: number): Promise<Moved> {
  const { rack, client } = cluster;
  const leader = await waitForLevel(cluster);
  const target = (rack.boxes.indexOf(leader) + 1 + (run % (rack.boxes.length - 1))) % rack.boxes.length;
  const writing = new KeptWriting(rack.place, {
    kind: "template",
    session: client.session,
    valueBytes: VALUE_BYTES,
    firstSequence: run * 1_000_000,
    clients: objects.map((object, at) => ({ url: endpoint(rack.box(at % rack.boxes.length)), object })),
    limitMs: LIMIT_MS,
  });
  let outcomes: readonly Outcome[] = [];
  let [fromMs, movedAtMs, untilMs] = [0, 0, 0];
  try {
    await writing.acknowledged(CLIENTS * 5, 0);
    fromMs = monotonicMs();
    await Bun.sleep(AROUND_MS);
    movedAtMs = monotonicMs();
    await command(leader, ["ringfence", "leader", "move", `${target}`]);
    await Bun.sleep(AROUND_MS);
    untilMs = monotonicMs();
  } finally {
    outcomes = await writing.stop();
  }
  const pause = (from: number, until: number): number =>
    Math.max(...objects.map((_, at) => longestGap(acknowledgedBy(outcomes, at), from, until).ms));
  return {
    pauseMs: pause(movedAtMs, untilMs),
    pauseBeforeMs: pause(fromMs, movedAtMs),
    failed: outcomes.filter(({ why }) => why !== undefined),
    writes: outcomes.length,
  };
}

function acknowledgedBy(outcomes: readonly Outcome[], client: number): readonly number[] {
  return outcomes.filter((one) => one.client === client && one.why === undefined).map(({ endedAtMs }) => endedAtMs);
}
