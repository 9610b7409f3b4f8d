/** Three etcd members in the boxes of a bare rack: Debian's etcd-server with its durable defaults. */
import { until } from "../support/demo/bootstrap.ts";
import { nodeDataDirectory } from "../support/rack/place.ts";
import type { Rack, RackNode } from "../support/rack/rack.ts";
import { installPeers } from "./packages.ts";

const START_TIMEOUT_MS = 30_000;

export function installEtcd(): Promise<void> {
  return installPeers(["etcd-server", "etcd-client"], ["/usr/bin/etcd", "/usr/bin/etcdctl"]);
}

/** How fast members notice that their leader is gone; etcd's defaults are 100 and 1000 ms. */
export interface EtcdTimings {
  readonly heartbeatMs: number;
  readonly electionMs: number;
}

/** Starts the members and waits until one leads; the leader's box. */
export async function startEtcd(rack: Rack, timings?: EtcdTimings): Promise<RackNode> {
  for (const box of rack.boxes) await startMember(rack, box, timings);
  return waitForEtcd(rack);
}

/** Starts a member for the first time, or again. */
export async function startMember(rack: Rack, box: RackNode, timings?: EtcdTimings): Promise<void> {
  const members = rack.boxes.map((each) => `${each.name}=http://${each.address}:2380`).join(",");
  const peer = `http://${box.address}:2380`;
  const client = `http://${box.address}:2379`;
  const words = [
    ...["etcd", "--name", box.name, "--data-dir", "/var/lib/one/etcd", "--logger", "zap", "--log-level", "warn"],
    ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer],
    ...["--listen-client-urls", client, "--advertise-client-urls", client],
    ...["--initial-cluster", members, "--initial-cluster-state", "new"],
    ...(timings === undefined
      ? []
      : ["--heartbeat-interval", `${timings.heartbeatMs}`, "--election-timeout", `${timings.electionMs}`]),
  ];
  await box.exec(["sh", "-c", `exec setsid ${words.join(" ")} </dev/null >>/var/log/one/etcd.log 2>&1 &`]);
}

/** Waits until all members answer and one leads; the leader's box. */
export async function waitForEtcd(rack: Rack): Promise<RackNode> {
  let leader: RackNode | undefined;
  await until(
    `etcd elects a leader (logs in ${nodeDataDirectory(rack.place, "box*")}/log)`,
    START_TIMEOUT_MS,
    async () => {
      leader = await etcdLeader(rack);
      return leader !== undefined;
    },
  );
  if (leader === undefined) throw new Error("no etcd member leads");
  return leader;
}

async function etcdLeader(rack: Rack): Promise<RackNode | undefined> {
  const endpoints = rack.boxes.map((box) => `http://${box.address}:2379`).join(",");
  const words = ["etcdctl", `--endpoints=${endpoints}`, "--command-timeout=2s", "endpoint", "status", "-w", "json"];
  const result = await rack.client.exec(words, { env: { ETCDCTL_API: "3" } });
  if (result.code !== 0) return undefined;
  const all = JSON.parse(result.stdout) as { Endpoint: string; Status: Status }[];
  const leaders = all.filter(({ Status: status }) => status.header.member_id === status.leader);
  if (all.length !== rack.boxes.length || leaders.length !== 1) return undefined;
  return rack.boxes.find((box) => leaders[0]?.Endpoint === `http://${box.address}:2379`);
}

interface Status {
  readonly header: { readonly member_id: number };
  readonly leader: number;
}
