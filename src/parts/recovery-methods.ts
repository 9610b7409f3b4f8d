import { CodedError } from "../base/error.ts";
import type { Caller } from "../one/caller.ts";
import type { Method } from "../one/method.ts";
import { CODE, type Refusal, refusal } from "../one/refusal.ts";
import type { Cluster } from "./cluster.ts";
import { isFromThisBox, lookAround, recoveryObstacle, type SurvivorView } from "./force-recover.ts";
import { beginGeneration } from "./generation.ts";
import { paths } from "./paths.ts";

/** The caller has its answer by then, ms. */
const ANSWER_MS = 200;

export interface RecoveryPorts {
  readonly cluster: Cluster;
  /** Ends the process: the next start goes on. */
  end(why: string): void;
}

/** What `ringfence force-recover` asks of the box that it runs on. */
export function recoveryMethods({ cluster, end }: RecoveryPorts): readonly Method[] {
  const look = (): Promise<SurvivorView> => lookAround(cluster.core, cluster.leaderlessMs);
  const admin = (caller: Caller): Refusal | undefined =>
    caller.isAdmin ? undefined : refusal(CODE.authorization, "Only members of group oneadmin may do this.");
  return [
    {
      /** What this box knows of itself and the others, and what speaks against going on alone, as JSON. */
      name: "ringfence.recovery.look",
      parameters: [],
      command: {
        kind: "local",
        run: async (_args, caller) => {
          const view = await look();
          const shown = { ...view, generation: generationOf(cluster), obstacle: recoveryObstacle(view) ?? "" };
          return admin(caller) ?? JSON.stringify(shown);
        },
      },
    },
    {
      /** `name`: this box's, typed by a person. `word`: what root has written into /run/one/force-recover. */
      name: "ringfence.recovery.force",
      parameters: [
        { name: "name", type: "string" },
        { name: "word", type: "string" },
      ],
      command: {
        kind: "local",
        run: async (args, caller) => {
          const denied = admin(caller);
          if (denied !== undefined) return denied;
          if (!isFromThisBox(paths.forceRecover, String(args[1])))
            return refusal(CODE.authorization, "This is done on the box itself, by root: ringfence force-recover.");
          const view = await look();
          const obstacle = recoveryObstacle(view);
          if (obstacle !== undefined) return refusal(CODE.action, `Nothing was done: ${obstacle}.`);
          if (args[0] !== view.self?.name)
            return refusal(CODE.action, `Nothing was done: this box is "${view.self?.name ?? ""}".`);
          return goOnAlone(view, caller.name);
        },
      },
    },
  ];

  function goOnAlone({ self, commit, lastIndex, members }: SurvivorView, by: string): number {
    const former = members
      .filter((one) => one !== self)
      .map(({ serverId, name, peerAddress }) => ({ serverId, name, peerAddress }))
      .sort((a, b) => a.serverId - b.serverId);
    const box = { serverId: self?.serverId ?? -1, name: self?.name ?? "" };
    const fact = { reason: "force-recover", by, at: Date.now(), ...box, commit, lastIndex, former } as const;
    const { generation } = beginGeneration(paths.data, clusterOf(cluster), fact).cluster;
    setTimeout(
      () => end(`${by} makes this box generation ${generation} of its cluster, alone: starts again`),
      ANSWER_MS,
    );
    return generation;
  }
}

function generationOf(cluster: Cluster): number {
  return clusterOf(cluster).generation;
}

function clusterOf({ identity }: Cluster) {
  if (identity.cluster === null) throw new CodedError("identity-unreadable", "This box belongs to no cluster");
  return identity.cluster;
}
