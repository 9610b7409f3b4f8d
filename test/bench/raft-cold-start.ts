/** From three dark boxes to a cluster that writes. */
import { endpoint } from "../support/demo/bootstrap.ts";
import { monotonicMs } from "../support/rack/command.ts";
import { type BenchCluster, createObjects, waitForLevel, withCluster } from "./bench-cluster.ts";
import { KeptWriting } from "./keep-writing.ts";
import type { BenchRow } from "./row.ts";
import { median, quantile, spread } from "./statistics.ts";

const RUNS = 10;
const CLIENTS = 60;
const EVERY_MS = 10;
const VALUE_BYTES = 300;
/** A box that is on and does not listen yet answers at once; this is for an answer that got lost. */
const LIMIT_MS = 5_000;
const START_TIMEOUT_MS = 60_000;

/**
 * Three boxes of a cluster that lost their power together get it back together: from pressing the first power button to
 * the first write that any box acknowledges, tried at all of them each 10 ms. The rack's own boot of a box (namespaces
 * instead of firmware and kernel, 50 ms) is part of it.
 */
export async function bench(options: {
  readonly runs?: number;
  readonly log: (line: string) => void;
}): Promise<BenchRow[]> {
  const { runs = RUNS, log } = options;
  return withCluster({ profile: "default", hosts: 0, log }, async (cluster) => {
    const objects = await createObjects(cluster, CLIENTS);
    const times: number[] = [];
    for (let run = 1; run <= runs; run++) {
      times.push(await coldStart(cluster, objects, run));
      log(`cold start ${run}: ${times.at(-1)?.toFixed(0)} ms`);
    }
    log(`cold start: ${spread(times, "ms")}`);
    const shape = { unit: "ms", n: runs, peer: null, peerValue: null, ratio: null };
    return [
      { key: "coldStart.median", value: median(times), ...shape },
      { key: "coldStart.p99", value: quantile(times, 0.99), ...shape },
    ];
  });
}

async function coldStart(cluster: BenchCluster, objects: readonly number[], run: number): Promise<number> {
  const { rack, client } = cluster;
  await waitForLevel(cluster);
  await Promise.all(rack.boxes.map((box) => box.powerCut()));
  const pressedAt = monotonicMs();
  await Promise.all(rack.boxes.map((box) => box.powerOn()));
  // Not before: who asks for a box that is dark waits a second before he asks for its hardware address again.
  const writing = new KeptWriting(rack.place, {
    kind: "template",
    session: client.session,
    valueBytes: VALUE_BYTES,
    firstSequence: run * 1_000_000,
    clients: objects.map((object, at) => ({ url: endpoint(rack.box(at % rack.boxes.length)), object })),
    everyMs: EVERY_MS,
    limitMs: LIMIT_MS,
  });
  try {
    await writing.acknowledged(1, pressedAt, START_TIMEOUT_MS);
    return Math.min(...writing.since(pressedAt).map(({ endedAtMs }) => endedAtMs)) - pressedAt;
  } finally {
    await writing.stop();
  }
}
