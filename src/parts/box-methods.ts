import { CodedError } from "../base/error.ts";
import type { Config } from "../config/config.ts";
import type { Caller } from "../one/caller.ts";
import { unacknowledgedGenerations } from "../one/generation.ts";
import type { Method, Value } from "../one/method.ts";
import { CODE, type Refusal, refusal } from "../one/refusal.ts";
import type { Agreement } from "./agreement.ts";
import { handOverPorts } from "./api.ts";
import type { Cluster } from "./cluster.ts";
import type { Fencing } from "./fencing.ts";
import { forgetHostKey, type Hosts } from "./hosts.ts";
import { bootFacts, readBootReport } from "./image.ts";
import { handOver } from "./removal.ts";
import { readTimings } from "./timings.ts";

export interface BoxMethodsPorts {
  readonly cluster: Cluster;
  readonly config: Config;
  readonly fencing: Fencing;
  readonly agreement: Agreement;
  readonly hosts: () => Hosts | undefined;
}

/** Methods of ours that speak of this box, not of the state alone: `ringfence status`, `ssh-key`, `host trust`, `leader move`. */
export function ringfenceMethods(ports: BoxMethodsPorts): readonly Method[] {
  const admin = (caller: Caller): Refusal | undefined =>
    caller.isAdmin ? undefined : refusal(CODE.authorization, "Only members of group oneadmin may do this.");
  return [
    {
      /** This box's view, as JSON: cluster, lease, VIP, hosts, BMC readiness. */
      name: "ringfence.status",
      parameters: [],
      command: { kind: "local", run: async (_args, caller) => admin(caller) ?? status(ports) },
    },
    {
      /** The public half of the cluster's ssh key, one line for authorized_keys. */
      name: "ringfence.sshkey",
      parameters: [],
      command: {
        kind: "local",
        run: async (_args, caller) => {
          const [row] = await ports.cluster.state.read("SELECT public FROM ssh_key WHERE id=0");
          return admin(caller) ?? String(row?.[0] ?? "");
        },
      },
    },
    {
      /** Forgets the pinned ssh key of a host: the next connection pins what it meets. */
      name: "ringfence.host.trust",
      parameters: [{ name: "host", type: "int" }],
      command: {
        kind: "leader",
        run: async (args, caller) => {
          const denied = admin(caller);
          if (denied !== undefined) return denied;
          const outcome = await ports.cluster.propose("host.trust", forgetHostKey(Number(args[0])));
          return outcome.kind === "done" ? Number(args[0]) : refusal(CODE.internal, `It is ${outcome.kind}.`);
        },
      },
    },
    {
      /** Raises the feature level by one; the answer is the level in force. There is no way back. */
      name: "ringfence.level.raise",
      parameters: [],
      command: {
        kind: "leader",
        run: async (_args, caller) => {
          const denied = admin(caller);
          if (denied !== undefined) return denied;
          try {
            return await ports.agreement.raiseLevel();
          } catch (error) {
            if (!(error instanceof CodedError)) throw error;
            return refusal(CODE.action, `The feature level stays: ${error.message}.`);
          }
        },
      },
    },
    {
      /** Hands leadership, and with it the VIP, to another box. */
      name: "ringfence.leader.move",
      parameters: [{ name: "server", type: "int", default: -1 }],
      command: {
        kind: "leader",
        run: async (args, caller) => {
          const denied = admin(caller);
          if (denied !== undefined) return denied;
          const wanted = Number(args[0]);
          const member = ports.cluster.membership().members.find((one) => one.serverId === wanted);
          if (wanted >= 0 && member === undefined) return refusal(CODE.noExists, `There is no server ${wanted}.`);
          const why = await handOver(handOverPorts(ports.cluster), member);
          return why === undefined ? true : refusal(CODE.action, `Leadership stays: ${why}.`);
        },
      },
    },
  ];
}

/** Generations that a person began and none has acknowledged; none before the founding entries are applied. */
async function recoveries({ state }: Cluster): Promise<readonly unknown[]> {
  const tables = await state.read("SELECT count(*) FROM sqlite_master WHERE type='table' AND name='generation'");
  if (tables[0]?.[0] !== 1) return [];
  const { sql, values } = unacknowledgedGenerations();
  return (await state.read(sql, [...values])).map(([fact]) => JSON.parse(String(fact)) as unknown);
}

async function status({ cluster, fencing, hosts }: BoxMethodsPorts): Promise<Value> {
  const view = await cluster.core.status();
  const members = view.cluster.members.map(({ serverId, name, raftId, peerAddress }) => ({
    ...{ serverId, name, raftId, peerAddress },
    isVoter: view.cluster.voters.includes(raftId),
    isReachable: raftId === view.cluster.raftId || view.cluster.reachable.includes(raftId),
    match: view.cluster.match[raftId] ?? null,
    level: view.announced.get(raftId)?.featureLevel ?? null,
    build: view.announced.get(raftId)?.build ?? null,
    timings: view.announced.get(raftId)?.timings ?? null,
    disk: cluster.fitness.of(raftId) ?? null,
  }));
  const { role, term, leader, commit, applied, lastIndex, leaseMs, longestTurnMs } = view.cluster;
  const { roundMs, longestRoundMs, clockObstacle } = view.cluster;
  const timings = await timingsInForce(cluster);
  return JSON.stringify({
    generation: cluster.identity.cluster?.generation ?? 0,
    recoveries: await recoveries(cluster),
    boot: bootFacts(readBootReport()),
    box: { raftId: view.cluster.raftId, serverId: cluster.self()?.serverId ?? -1, name: cluster.self()?.name ?? "" },
    cluster: {
      ...{ role, term, leader, commit, applied, lastIndex, leaseMs, longestTurnMs },
      ...{ roundMs, longestRoundMs, clockObstacle },
      level: cluster.state.level,
      timings,
      members,
    },
    vip: view.vip ?? null,
    hosts: hosts()?.connections() ?? [],
    levels:
      hosts()
        ?.monitor.levels()
        .map((level) => ({ hostId: level.hostId, kind: level.kind, inference: level.inference })) ?? [],
    readiness: fencing.readiness.all(),
  });
}

/** "" while none are: then each box goes by its own file. */
async function timingsInForce({ state }: Cluster): Promise<string> {
  const read = await readTimings(state);
  return read.kind === "table" ? (read.text ?? "") : "";
}
