/** A rack of the benches' own, with our cluster or with nothing on its boxes; always taken down at the end. */
import { cpSync, existsSync, rmSync } from "node:fs";
import { CodedError } from "../../src/base/error.ts";
import { addHosts, type BoxStatus, endpoint, formCluster, statusOf, until } from "../support/demo/bootstrap.ts";
import { RackClient } from "../support/demo/client.ts";
import { nodeDataDirectory, placeOf } from "../support/rack/place.ts";
import type { NodeProcess } from "../support/rack/processes.ts";
import { type Rack, type RackNode, upRack } from "../support/rack/rack.ts";
import type { Profile } from "../support/rack/state.ts";
import { down } from "../support/rack/up.ts";

/** Names of racks hold eight letters; a person's rack and the tests' have other ones. */
const RACK = "bench";
const PEER_RACK = "benchp";
const LEVEL_TIMEOUT_MS = 60_000;

export interface BenchCluster {
  readonly rack: Rack;
  readonly client: RackClient;
}

/** Forms our cluster on three boxes and `hosts` hypervisors, runs `body`, takes the rack down whatever happens. */
export async function withCluster<T>(
  options: { readonly profile: Profile; readonly hosts: number; readonly log: (line: string) => void },
  body: (cluster: BenchCluster) => Promise<T>,
): Promise<T> {
  const { profile, hosts, log } = options;
  return withRack(RACK, { profile, hosts, bare: false }, async (rack) => {
    const client = new RackClient(rack.place);
    try {
      await formCluster(rack, client, log);
      if (hosts > 0) await addHosts(rack, client, log);
      return await body({ rack, client });
    } finally {
      await client.stop();
    }
  });
}

/** Three boxes that run nothing, in the same kind of namespaces, for a peer. */
export function withPeerRack<T>(body: (rack: Rack) => Promise<T>): Promise<T> {
  return withRack(PEER_RACK, { profile: "default", hosts: 0, bare: true }, body);
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** A bench that is interrupted leaves none of them behind. */
const racksUp = new Set<Rack>();

function endAll(): void {
  Promise.allSettled([...racksUp].map((rack) => rack.down())).then(
    () => process.exit(130),
    () => process.exit(131),
  );
}

async function withRack<T>(
  name: string,
  size: { readonly profile: Profile; readonly hosts: number; readonly bare: boolean },
  body: (rack: Rack) => Promise<T>,
): Promise<T> {
  // A bench that was killed may have left its own.
  await down(placeOf(name));
  const rack = await upRack({ name, boxes: 3, tier: "fast", ...size });
  const isFirst = racksUp.size === 0;
  racksUp.add(rack);
  if (isFirst) for (const signal of SIGNALS) process.once(signal, endAll);
  try {
    return await body(rack);
  } catch (error) {
    keepLogs(rack);
    throw error;
  } finally {
    await rack.down();
    racksUp.delete(rack);
    if (racksUp.size === 0) for (const signal of SIGNALS) process.off(signal, endAll);
  }
}

/** What the boxes wrote before a bench failed, until the next one fails. */
function keepLogs(rack: Rack): void {
  const directory = `/var/tmp/${rack.place.prefix}failed`;
  rmSync(directory, { recursive: true, force: true });
  for (const box of rack.boxes) {
    const log = `${nodeDataDirectory(rack.place, box.name)}/log`;
    if (existsSync(log)) cpSync(log, `${directory}/${box.name}`, { recursive: true });
  }
  console.error(`the boxes' logs are kept in ${directory}`);
}

/** What `ringfence status --json` says beside what the demo looks at. */
interface FullStatus extends BoxStatus {
  readonly vip: { readonly holding: boolean; readonly claim: string } | null;
}

/**
 * Waits until every box is on and answers, all know one leader and have applied the same, the leader holds the VIP, and
 * all have heard its announcement (before that, a first take-over waits for a probe); the leader.
 */
export async function waitForLevel({ rack, client }: BenchCluster): Promise<RackNode> {
  let leader: RackNode | undefined;
  await until("all boxes are level under one leader", LEVEL_TIMEOUT_MS, async () => {
    const all = await Promise.all(rack.boxes.map((box) => statusOf(client, endpoint(box))));
    leader = leaderOf(rack, all);
    return leader !== undefined;
  });
  if (leader === undefined) throw new Error("no box leads");
  return leader;
}

function leaderOf(rack: Rack, all: readonly (BoxStatus | undefined)[]): RackNode | undefined {
  const first = all[0]?.cluster;
  if (first === undefined || first.leader === "") return undefined;
  const isLevel = all.every(
    (status) =>
      (status as FullStatus | undefined)?.vip?.claim === "free" &&
      (status as FullStatus).vip?.holding === (status?.cluster.role === "leader") &&
      status?.cluster.leader === first.leader &&
      status.cluster.term === first.term &&
      status.cluster.applied === first.applied,
  );
  return isLevel ? rack.boxes[all.findIndex((status) => status?.cluster.role === "leader")] : undefined;
}

/** Templates to write to, one for each client; their ids. */
export async function createObjects(cluster: BenchCluster, count: number): Promise<readonly number[]> {
  const url = endpoint(await waitForLevel(cluster));
  const objects: number[] = [];
  for (let number = 0; number < count; number++)
    objects.push(Number(await cluster.client.must("one.template.allocate", [`NAME = "bench${number}"`], { url })));
  return objects;
}

/** The product's own process in a box; a command that runs there is called main, too. Throws BENCH_MAIN. */
export function mainOf(box: RackNode): NodeProcess {
  const found = box.processes().find(({ words }) => words.some((word) => word.endsWith("/src/main.ts")));
  if (found === undefined) throw new CodedError("BENCH_MAIN", `${box.name} runs no main`);
  return found;
}
