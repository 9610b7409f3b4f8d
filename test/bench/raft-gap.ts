/** How long nothing can be written after the leader was killed. */
import { endpoint } from "../support/demo/bootstrap.ts";
import { monotonicMs } from "../support/rack/command.ts";
import type { Place } from "../support/rack/place.ts";
import type { Rack, RackNode } from "../support/rack/rack.ts";
import { type Profile, profiles } from "../support/rack/state.ts";
import { createObjects, mainOf, waitForLevel, withCluster, withPeerRack } from "./bench-cluster.ts";
import { installEtcd, startEtcd, startMember, waitForEtcd } from "./etcd.ts";
import { KeptWriting } from "./keep-writing.ts";
import type { KeepWritingJob } from "./keep-writing-main.ts";
import type { BenchRow } from "./row.ts";
import { median, quantile, spread } from "./statistics.ts";
import { etcdUrl } from "./writer.ts";

const RUNS = 50;
/** The peer, tuned as its manual allows for a network like this one. */
const ETCD = { heartbeatMs: 20, electionMs: 200 } as const;
const PEER = `etcd ${ETCD.heartbeatMs}/${ETCD.electionMs} ms`;
const VALUE_BYTES = 300;
/** A write is begun so often, each by a client that waits for nothing: those that the dead leader had stay out of the way. */
const EVERY_MS = 10;
/** Enough for two seconds without an answer. */
const CLIENTS = 200;
/** Longer than any gap that is worth a figure. */
const LIMIT_MS = 15_000;
/** Acknowledged before the kill: connections are open, code is compiled; and after it: it goes on. */
const BEFORE = 20;
const AFTER = 5;
/** Anywhere between two heartbeats. */
const RANDOM_MS = 200;

/**
 * From SIGKILL of the leader's main to the first acknowledgement of a write that was sent after it, at a follower that
 * survives; etcd's leader process by the same procedure. Then the killed one starts again, and all are level before the
 * next run.
 */
export async function bench(options: {
  readonly runs?: number;
  readonly profiles?: readonly Profile[];
  readonly log: (line: string) => void;
}): Promise<BenchRow[]> {
  const { runs = RUNS, log } = options;
  await installEtcd();
  const theirs = await withPeerRack((rack) => measureEtcd(rack, runs, log));
  log(`${PEER}: gap ${spread(theirs, "ms")}`);
  const rows: BenchRow[] = [];
  for (const profile of options.profiles ?? profiles) {
    const ours = await measureOurs(profile, runs, log);
    log(`${profile}: gap ${spread(ours, "ms")}`);
    rows.push(row(`gap.${profile}.median`, ours, median(ours), median(theirs)));
    rows.push(row(`gap.${profile}.p99`, ours, quantile(ours, 0.99), quantile(theirs, 0.99)));
  }
  return rows;
}

function row(key: string, samples: readonly number[], value: number, peerValue: number): BenchRow {
  return { key, value, unit: "ms", n: samples.length, peer: PEER, peerValue, ratio: value / peerValue };
}

function measureOurs(profile: Profile, runs: number, log: (line: string) => void): Promise<number[]> {
  return withCluster({ profile, hosts: 0, log }, async (cluster) => {
    const { rack, client } = cluster;
    const objects = await createObjects(cluster, CLIENTS);
    const gaps: number[] = [];
    for (let run = 1; run <= runs; run++) {
      const leader = await waitForLevel(cluster);
      const url = endpoint(survivor(rack, leader, run));
      const job = jobOf("template", url, client.session, objects, run);
      gaps.push(await gapAfter(rack.place, job, () => process.kill(mainOf(leader).pid, "SIGKILL")));
      log(`${profile} ${run}: ${leader.name}'s main killed: gap ${gaps.at(-1)?.toFixed(0)} ms`);
    }
    return gaps;
  });
}

async function measureEtcd(rack: Rack, runs: number, log: (line: string) => void): Promise<number[]> {
  await startEtcd(rack, ETCD);
  const keys = Array.from({ length: CLIENTS }, (_, number) => number);
  const gaps: number[] = [];
  for (let run = 1; run <= runs; run++) {
    const leader = await waitForEtcd(rack);
    const job = jobOf("etcd", etcdUrl(survivor(rack, leader, run).address), "", keys, run);
    gaps.push(await gapAfter(rack.place, job, () => leader.kill("etcd", "SIGKILL")));
    log(`${PEER} ${run}: ${leader.name}'s etcd killed: gap ${gaps.at(-1)?.toFixed(0)} ms`);
    await startMember(rack, leader, ETCD);
  }
  return gaps;
}

/** Now the one, now the other of the two that are left. */
function survivor(rack: Rack, leader: RackNode, run: number): RackNode {
  const others = rack.boxes.filter((box) => box !== leader);
  return others[run % others.length] ?? leader;
}

function jobOf(
  kind: KeepWritingJob["kind"],
  url: string,
  session: string,
  objects: readonly number[],
  run: number,
): KeepWritingJob {
  const clients = objects.map((object) => ({ url, object }));
  const pace = { everyMs: EVERY_MS, limitMs: LIMIT_MS };
  return { kind, session, clients, ...pace, valueBytes: VALUE_BYTES, firstSequence: run * 1_000_000 };
}

async function gapAfter(place: Place, job: KeepWritingJob, kill: () => unknown): Promise<number> {
  const writing = new KeptWriting(place, job);
  try {
    await writing.acknowledged(BEFORE, 0);
    await Bun.sleep(Math.random() * RANDOM_MS);
    const killedAt = monotonicMs();
    kill();
    const deadAt = monotonicMs();
    await writing.acknowledged(AFTER, deadAt, LIMIT_MS * 2);
    // What the dead leader had answered before has been sent before, too.
    const first = Math.min(...writing.since(deadAt).map(({ endedAtMs }) => endedAtMs));
    return first - killedAt;
  } finally {
    await writing.stop();
  }
}
