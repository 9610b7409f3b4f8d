import { join } from "node:path";
import { endpoint, until } from "../support/demo/bootstrap.ts";
import type { Rack, RackNode } from "../support/rack/rack.ts";
import { type BenchCluster, createObjects, waitForLevel, withCluster, withPeerRack } from "./bench-cluster.ts";
import { installEtcd, startEtcd } from "./etcd.ts";
import { describe, load, type Point, pointOf } from "./load.ts";
import { rawFdatasync } from "./log.ts";
import type { BenchRow } from "./row.ts";
import { median } from "./statistics.ts";
import { etcdUrl } from "./writer.ts";

const CLIENTS = [1, 8, 64] as const;
const SECONDS = 3;
const RUNS = 3;
const VALUE_BYTES = 300;
const FLOOR_SECONDS = 0.5;

interface WriteOptions {
  readonly runs?: number;
  readonly log: (line: string) => void;
}

/** What one number of clients gave, one point a run. */
interface Points {
  readonly ours: Point[];
  readonly theirs: Point[];
}

/**
 * Acknowledged durable writes a second at the leader of three boxes, by XML-RPC; etcd's three members in namespaces of
 * the same kind, on the same disk and driven by the same generator, turn by turn. Whoever is not measured is frozen.
 */
export function bench(options: WriteOptions): Promise<BenchRow[]> {
  return onStage(options, measureFull);
}

/** The same, and then p99 / median at half of what each of the two has given with 64 clients just before. */
export function benchWithHalfLoad(options: WriteOptions): Promise<BenchRow[]> {
  return onStage(options, async (stage, each) => [...(await measureFull(stage, each)), await measureHalf(stage, each)]);
}

/** Both, side by side, and the turns that they take. */
interface Stage {
  /** One run of both, one after the other. With a rate for each they are paced, else they give what they can. */
  turn(clients: number, rates?: { readonly ours: number; readonly theirs: number }): Promise<[Point, Point]>;
  /** Of the same disk, just before each turn. */
  readonly floors: readonly number[];
}

async function onStage(
  { runs = RUNS, log }: WriteOptions,
  body: (stage: Stage, each: Required<WriteOptions>) => Promise<BenchRow[]>,
): Promise<BenchRow[]> {
  await installEtcd();
  return withPeerRack((peer) =>
    withCluster({ profile: "default", hosts: 0, log }, async (cluster) => {
      const objects = await createObjects(cluster, Math.max(...CLIENTS));
      const etcd = await startEtcd(peer);
      return body(stageOf(cluster, peer, etcd, objects), { runs, log });
    }),
  );
}

function stageOf(cluster: BenchCluster, peer: Rack, etcd: RackNode, objects: readonly number[]): Stage {
  const floors: number[] = [];
  let sequence = 1;
  return {
    floors,
    turn: async (clients, rates) => {
      const { session } = cluster.client;
      const common = { clients, objects, session, seconds: SECONDS, valueBytes: VALUE_BYTES };
      const paced = (rate: number | undefined) => (rate === undefined ? {} : { ratePerSecond: rate });
      await freeze(peer, true);
      floors.push(rawFdatasync(join(peer.place.dataDirectory, `floor-${floors.length}`), FLOOR_SECONDS).rate);
      const url = endpoint(await waitForLevel(cluster));
      const job = { ...common, ...paced(rates?.ours), kind: "template", url, firstSequence: sequence } as const;
      const ours = await load(cluster.rack, job);
      sequence = Math.max(...ours.acknowledged) + 1;
      await checkAcknowledged(cluster, objects, ours.acknowledged);
      await freeze(peer, false);
      await freeze(cluster.rack, true);
      try {
        const peerJob = { ...common, ...paced(rates?.theirs), kind: "etcd", url: etcdUrl(etcd.address) } as const;
        return [pointOf(ours), pointOf(await load(peer, { ...peerJob, firstSequence: sequence }))];
      } finally {
        await freeze(cluster.rack, false);
      }
    },
  };
}

async function measureFull(stage: Stage, { runs, log }: Required<WriteOptions>): Promise<BenchRow[]> {
  const points = new Map(CLIENTS.map((clients) => [clients, { ours: [], theirs: [] } as Points]));
  for (let run = 1; run <= runs; run++) {
    for (const [clients, { ours, theirs }] of points) {
      const [mine, other] = await stage.turn(clients);
      ours.push(mine);
      theirs.push(other);
      log(`run ${run}, ${clients} clients: ours ${describe(mine)}; etcd ${describe(other)}`);
    }
  }
  const floor = Math.max(...stage.floors);
  log(`raw fdatasync on the same disk: ${floor.toFixed(0)} /s`);
  const alone = { peer: null, peerValue: null, ratio: null };
  return [
    ...[...points].flatMap(([clients, both]) => rowsOf(`write.c${clients}`, both)),
    { key: "write.fdatasync", value: floor, unit: "1/s", n: stage.floors.length, ...alone },
  ];
}

function rowsOf(key: string, both: Points): BenchRow[] {
  return [
    row(key, "1/s", both, (point) => point.rate),
    row(`${key}.p50`, "ms", both, (point) => point.p50Ms),
    row(`${key}.p99`, "ms", both, (point) => point.p99Ms),
  ];
}

function row(key: string, unit: string, { ours, theirs }: Points, figure: (point: Point) => number): BenchRow {
  const value = median(ours.map(figure));
  const peerValue = median(theirs.map(figure));
  const n = ours.reduce((sum, point) => sum + point.samples, 0);
  return { key, value, unit, n, peer: "etcd", peerValue, ratio: value / peerValue };
}

/** What half of the load is, each run says anew: a machine that others use as well changes by the second. */
async function measureHalf(stage: Stage, { runs, log }: Required<WriteOptions>): Promise<BenchRow> {
  const clients = Math.max(...CLIENTS);
  const both: Points = { ours: [], theirs: [] };
  for (let run = 1; run <= runs; run++) {
    const [full, peerFull] = await stage.turn(clients);
    const [mine, other] = await stage.turn(clients, { ours: full.rate / 2, theirs: peerFull.rate / 2 });
    both.ours.push(mine);
    both.theirs.push(other);
    log(`half load, run ${run}: ours ${describe(mine)}; etcd ${describe(other)}`);
  }
  return row("write.p99Ratio", "p99/median", both, (point) => point.p99Ms / point.p50Ms);
}

function freeze(rack: Rack, isFrozen: boolean): Promise<unknown> {
  return Promise.all(rack.boxes.map((box: RackNode) => (isFrozen ? box.freeze() : box.thaw())));
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
