import { FrontEnd } from "../api/front-end.ts";
import { createMethods } from "../api/methods.ts";
import type { ApiPorts, RoleView } from "../api/ports.ts";
import { type HttpOptions, type HttpServer, serveHttp } from "../api/server.ts";
import { errorChain } from "../base/error.ts";
import type { Config } from "../config/config.ts";
import { FENCE_METHODS } from "../fence/commands.ts";
import type { Method, RaftNumbers, Samples } from "../one/method.ts";
import { ONE_METHODS } from "../one/methods.ts";
import type { BoxRole, Cluster } from "./cluster.ts";
import { type HandOverPorts, removeMember } from "./removal.ts";
import type { Seal } from "./seal.ts";
import { type ResetPorts, resetMember } from "./server-reset.ts";

/** A forwarded call may wait for an election on the other side, ms. */
const FORWARD_TIMEOUT_MS = 8000;

export interface ApiOptions {
  readonly config: Config;
  readonly cluster: Cluster;
  readonly seal: Seal;
  readonly samples: Samples;
  /** Taken for oneadmin's by this box alone (own-status.ts). */
  readonly ownSession: string;
  /** Methods of ours beside OpenNebula's and fencing's. */
  readonly methods: readonly Method[];
  readonly upload: NonNullable<HttpOptions["upload"]>;
  log(text: string): void;
}

/** The front-end on this box: one table of methods, on the replicated state. */
export class Api {
  readonly frontEnd: FrontEnd;
  readonly #cluster: Cluster;
  readonly #server: HttpServer;
  readonly #roleListeners = new Set<() => void>();

  constructor(options: ApiOptions) {
    const { cluster, config } = options;
    this.#cluster = cluster;
    const ports: ApiPorts = {
      query: (sql, values) => cluster.state.readRows(sql, values),
      propose: async (entry) => {
        cluster.fitness.admit();
        cluster.stateWatch.admit();
        return cluster.proposeEntry(entry);
      },
      outcomeOf: (requestId) => cluster.state.outcomeOf(requestId),
      appliedIndex: () => cluster.state.appliedIndex,
      onApplied: (listener) => cluster.state.onApplied(listener),
      role: () => roleView(cluster),
      onRole: (listener) => {
        this.#roleListeners.add(listener);
        return () => this.#roleListeners.delete(listener);
      },
      forward: (call) => cluster.forward(cluster.role().leader, call, FORWARD_TIMEOUT_MS),
      raftNumbers: () => raftNumbers(cluster),
      membership: {
        cannotAdd: (endpoint, isFirst) => (isFirst ? notThisBox(config, endpoint) : undefined),
        remove: (serverId) => this.#remove(serverId),
        reset: (serverId) => resetMember(resetPorts(cluster), serverId),
        joinToken: (serverId) => cluster.joinHost.createToken(serverId),
      },
      samples: options.samples,
      ownSession: options.ownSession,
      seal: options.seal.seal,
      wallMs: () => Date.now(),
      monotonicMs: () => performance.now(),
      log: options.log,
    };
    this.frontEnd = new FrontEnd(ports, createMethods([...ONE_METHODS, ...FENCE_METHODS, ...options.methods]));
    const { listenAddress: hostname, port } = config.cluster;
    this.#server = serveHttp(this.frontEnd, { hostname, port, upload: options.upload });
  }

  roleChanged(): void {
    for (const listener of this.#roleListeners) listener();
  }

  /** No new calls; those under way are answered or cut. */
  async stop(): Promise<void> {
    this.frontEnd.stop();
    await this.#server.stop(true);
  }

  async #remove(serverId: number): Promise<string | undefined> {
    const cluster = this.#cluster;
    try {
      return await removeMember(
        {
          ...handOverPorts(cluster),
          voters: () => cluster.membership().voters,
          answeredAgoMs: async () => (await cluster.core.status()).cluster.answeredAgoMs,
          change: (change) => cluster.core.changeMembership(change),
        },
        serverId,
      );
    } catch (error) {
      return errorChain(error);
    }
  }
}

/** For whatever moves leadership. */
export function handOverPorts(cluster: Cluster): HandOverPorts {
  return {
    self: cluster.identity.raftId,
    members: () => cluster.membership().members,
    leads: () => cluster.role().role === "leader",
    leader: () => cluster.role().leader,
    transfer: (to) => cluster.core.transfer(to),
  };
}

function resetPorts(cluster: Cluster): ResetPorts {
  return {
    self: cluster.identity.raftId,
    members: () => cluster.membership().members,
    reachable: async () => (await cluster.core.status()).cluster.reachable,
    send: (raftId) => cluster.snapshots.needed([raftId], true),
  };
}

function roleView(cluster: Cluster): RoleView {
  const role: BoxRole = cluster.role();
  const leaderKnown = role.leader !== "";
  switch (role.role) {
    case "leader":
      return { kind: isSolo(cluster) ? "solo" : "leader", ready: role.isReady, leaderKnown };
    case "follower":
    case "learner":
      return { kind: "follower", ready: false, leaderKnown };
    case "candidate":
    case "pre-candidate":
      return { kind: "candidate", ready: false, leaderKnown: false };
  }
}

function isSolo(cluster: Cluster): boolean {
  return cluster.membership().members.every((member) => member.serverId < 0);
}

/** oned's view: a box without a server id is solo and shows no log. */
async function raftNumbers(cluster: Cluster): Promise<RaftNumbers> {
  const { cluster: status } = await cluster.core.status();
  const serverIdOf = (raftId: string): number =>
    status.members.find((member) => member.raftId === raftId)?.serverId ?? -1;
  const isAlone = isSolo(cluster);
  const state =
    status.role === "leader"
      ? "leader"
      : status.role === "follower" || status.role === "learner"
        ? "follower"
        : "candidate";
  return {
    serverId: serverIdOf(status.raftId),
    state: isAlone ? "solo" : state,
    term: isAlone ? 0 : status.term,
    votedFor: serverIdOf(status.vote),
    commit: isAlone ? 0 : status.commit,
    logIndex: isAlone ? -1 : status.lastIndex,
    logTerm: isAlone ? -1 : status.lastTerm,
  };
}

/** The first server of a zone is the box that founded it; its endpoint must lead here. */
function notThisBox(config: Config, endpoint: string): string | undefined {
  const own = config.box.managementAddress;
  if (own === undefined) return undefined;
  try {
    const { hostname } = new URL(endpoint);
    if (hostname === own || hostname === "localhost" || hostname === "127.0.0.1") return undefined;
    return `The first server of the zone must be this box: the endpoint leads to "${hostname}", this box is ${own}`;
  } catch {
    return `"${endpoint}" is not a URL such as http://${own}:2633/RPC2`;
  }
}
