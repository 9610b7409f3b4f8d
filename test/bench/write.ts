import { join } from "node:path";
import { endpoint, until } from "../support/demo/bootstrap.ts";
import { inCgroup } from "../support/rack/cgroup.ts";
import type { Rack, RackNode } from "../support/rack/rack.ts";
import { inNamespace } from "../support/rack/switch.ts";
import { type BenchCluster, waitForLevel, withCluster, withPeerRack } from "./bench-cluster.ts";
import { installEtcd, startEtcd } from "./etcd.ts";
import type { LoadJob, LoadResult } from "./load-main.ts";
import { rawFdatasync } from "./log.ts";
import type { BenchRow } from "./row.ts";
import { median, quantile } from "./statistics.ts";

const CLIENTS = [1, 8, 64];
const SECONDS = 3;
const RUNS = 3;
const VALUE_BYTES = 300;
const FLOOR_SECONDS = 1;

/**
 * Acknowledged durable writes a second at the leader of three boxes, by XML-RPC; etcd's three members in namespaces of
 * the same kind, on the same disk and driven by the same generator, turn by turn. Whoever is not measured is frozen.
 */
export async function bench(options: { runs?: number; log: (line: string) => void }): Promise<BenchRow[]> {
  const { runs = RUNS, log } = options;
  await installEtcd();
  return withPeerRack((peer) =>
    withCluster({ profile: "default", hosts: 0, log }, async (cluster) => {
      const objects = await createObjects(cluster, Math.max(...CLIENTS));
      const etcd = await startEtcd(peer);
      const points = new Map(CLIENTS.map((clients) => [clients, { ours: [] as Point[], theirs: [] as Point[] }]));
      const floors: number[] = [];
      let sequence = 1;
      for (let run = 1; run <= runs; run++) {
        for (const [clients, { ours, theirs }] of points) {
          const common = {
            clients,
            objects,
            session: cluster.client.session,
            seconds: SECONDS,
            valueBytes: VALUE_BYTES,
          };
          await freeze(peer, true);
          floors.push(rawFdatasync(join(peer.place.dataDirectory, `floor-${floors.length}`), FLOOR_SECONDS / 2).rate);
          const leader = await waitForLevel(cluster);
          const mine = await load(cluster.rack, {
            ...common,
            kind: "template",
            url: endpoint(leader),
            firstSequence: sequence,
          });
          sequence = Math.max(...mine.acknowledged) + 1;
          await checkAcknowledged(cluster, objects, mine.acknowledged);
          await freeze(peer, false);
          await freeze(cluster.rack, true);
          try {
            const url = `http://${etcd.address}:2379/etcdserverpb.KV/Put`;
            theirs.push(pointOf(await load(peer, { ...common, kind: "etcd", url, firstSequence: sequence })));
          } finally {
            await freeze(cluster.rack, false);
          }
          ours.push(pointOf(mine));
          log(`run ${run}, ${clients} clients: ours ${describe(ours.at(-1))}; etcd ${describe(theirs.at(-1))}`);
        }
      }
      const floor = Math.max(...floors);
      log(`raw fdatasync on the same disk: ${floor.toFixed(0)} /s`);
      return [
        ...[...points].flatMap(([clients, { ours, theirs }]) => rowsOf(`write.c${clients}`, ours, theirs)),
        {
          key: "write.fdatasync",
          value: floor,
          unit: "1/s",
          n: floors.length,
          peer: null,
          peerValue: null,
          ratio: null,
        },
      ];
    }),
  );
}

/** What one run at one number of clients gave. */
interface Point {
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly samples: number;
  readonly generatorShare: number;
}

function pointOf(result: LoadResult): Point {
  return {
    rate: (result.latenciesMs.length * 1000) / result.elapsedMs,
    p50Ms: median(result.latenciesMs),
    p99Ms: quantile(result.latenciesMs, 0.99),
    samples: result.latenciesMs.length,
    generatorShare: result.cpuMs / result.elapsedMs,
  };
}

function describe(point: Point | undefined): string {
  if (point === undefined) return "nothing";
  const { rate, p50Ms, p99Ms, generatorShare } = point;
  return `${rate.toFixed(0)} /s, p50 ${p50Ms.toFixed(2)} p99 ${p99Ms.toFixed(2)} ms (generator ${(generatorShare * 100).toFixed(0)} % of a core)`;
}

function rowsOf(key: string, ours: readonly Point[], theirs: readonly Point[]): BenchRow[] {
  const row = (suffix: string, unit: string, figure: (point: Point) => number): BenchRow => {
    const value = median(ours.map(figure));
    const peerValue = median(theirs.map(figure));
    const n = ours.reduce((sum, point) => sum + point.samples, 0);
    return { key: `${key}${suffix}`, value, unit, n, peer: "etcd", peerValue, ratio: value / peerValue };
  };
  return [
    row("", "1/s", (point) => point.rate),
    row(".p50", "ms", (point) => point.p50Ms),
    row(".p99", "ms", (point) => point.p99Ms),
  ];
}

/** The generator in the client's namespace of this rack. */
async function load(rack: Rack, job: LoadJob): Promise<LoadResult> {
  const child = Bun.spawn(
    [
      ...inCgroup(rack.place, "watchers"),
      ...inNamespace(rack.place, "client"),
      ...[process.execPath, `${import.meta.dirname}/load-main.ts`],
    ],
    { stdin: new Blob([JSON.stringify(job)]), stdout: "pipe", stderr: "pipe" },
  );
  const timer = setTimeout(() => child.kill("SIGKILL"), (job.seconds * 2 + 20) * 1000);
  try {
    const [text, complaint, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw new Error(`The load generator (${job.kind}, ${job.clients} clients) failed: ${complaint}`);
    return JSON.parse(text) as LoadResult;
  } finally {
    clearTimeout(timer);
  }
}

function freeze(rack: Rack, isFrozen: boolean): Promise<unknown> {
  return Promise.all(rack.boxes.map((box: RackNode) => (isFrozen ? box.freeze() : box.thaw())));
}

async function createObjects(cluster: BenchCluster, count: number): Promise<readonly number[]> {
  const { client } = cluster;
  const url = endpoint(await waitForLevel(cluster));
  const objects: number[] = [];
  for (let number = 0; number < count; number++)
    objects.push(Number(await client.must("one.template.allocate", [`NAME = "bench${number}"`], { url })));
  return objects;
}

/** Every box has what was acknowledged last, for each client: a rate of writes that are not there would be no rate. */
async function checkAcknowledged(
  cluster: BenchCluster,
  objects: readonly number[],
  acknowledged: readonly number[],
): Promise<void> {
  await waitForLevel(cluster);
  for (const box of cluster.rack.boxes) {
    await until(`${box.name} has all acknowledged writes`, 1_000, async () => {
      const pool = await cluster.client.must("one.templatepool.info", [-2, -1, -1], { url: endpoint(box) });
      const found = new Map(
        pool
          .split("<VMTEMPLATE>")
          .map((one) => [Number(/<ID>(\d+)/.exec(one)?.[1]), Number(/<SEQUENCE>(?:<!\[CDATA\[)?(\d+)/.exec(one)?.[1])]),
      );
      return acknowledged.every((sequence, at) => found.get(objects[at] ?? -1) === sequence);
    });
  }
}
