/** What the leader's main occupies after load. */
import { readFileSync } from "node:fs";
import { endpoint } from "../support/demo/bootstrap.ts";
import { createObjects, mainOf, waitForLevel, withCluster } from "./bench-cluster.ts";
import { load } from "./load.ts";
import type { BenchRow } from "./row.ts";

const MINUTES = 5;
const CLIENTS = 8;
const VALUE_BYTES = 300;
/** The generator keeps every latency in memory: it starts afresh after so long. */
const STRETCH_SECONDS = 30;

/**
 * Resident memory of the leader's main at the end of some minutes of writes by 8 clients: not of the hour that the target
 * speaks of, unless `minutes` is 60.
 */
export async function bench(options: {
  readonly minutes?: number;
  readonly log: (line: string) => void;
}): Promise<BenchRow[]> {
  const { minutes = MINUTES, log } = options;
  return withCluster({ profile: "default", hosts: 0, log }, async (cluster) => {
    const objects = await createObjects(cluster, CLIENTS);
    const endsAt = performance.now() + minutes * 60_000;
    let writes = 0;
    for (let sequence = 1; performance.now() < endsAt; ) {
      const seconds = Math.max(1, Math.min(STRETCH_SECONDS, (endsAt - performance.now()) / 1000));
      const url = endpoint(await waitForLevel(cluster));
      const common = { clients: CLIENTS, objects, session: cluster.client.session, valueBytes: VALUE_BYTES };
      const result = await load(cluster.rack, { ...common, kind: "template", url, seconds, firstSequence: sequence });
      sequence = Math.max(...result.acknowledged) + 1;
      writes += result.latenciesMs.length;
      const all = cluster.rack.boxes.map((box) => `${box.name} ${residentMb(mainOf(box).pid).toFixed(0)}`);
      log(`memory, after ${writes} writes: ${all.join(", ")} MB`);
    }
    const leader = await waitForLevel(cluster);
    const value = residentMb(mainOf(leader).pid);
    const what = { unit: `MB after ${minutes} min`, n: 1, peer: null, peerValue: null, ratio: null };
    return [{ key: "memory.mainMb", value, ...what }];
  });
}

/** Of a process on this machine, in 10^6 bytes. */
function residentMb(pid: number): number {
  const kib = Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  return (kib * 1024) / 1e6;
}
