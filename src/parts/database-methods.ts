import type { Caller } from "../one/caller.ts";
import type { Method } from "../one/method.ts";
import { CODE, type Refusal, refusal } from "../one/refusal.ts";
import type { Cluster } from "./cluster.ts";
import { isRestoreRequested } from "./restore.ts";

/** The caller has its answer by then, ms. */
const ANSWER_MS = 200;

export interface DatabasePorts {
  readonly cluster: Cluster;
  readonly data: string;
  /** Ends the process in order; the next start restores. */
  restart(): void;
}

/** What `onedb` asks of the box that it runs on. */
export function databaseMethods({ cluster, data, restart }: DatabasePorts): readonly Method[] {
  const admin = (caller: Caller): Refusal | undefined =>
    caller.isAdmin ? undefined : refusal(CODE.authorization, "Only members of group oneadmin may do this.");
  return [
    {
      /** Takes a snapshot of what is applied here now: as JSON its manifest, and where root finds it on this box. */
      name: "ringfence.database.snapshot",
      parameters: [],
      command: {
        kind: "local",
        run: async (_args, caller) => {
          const denied = admin(caller);
          if (denied !== undefined) return denied;
          const { manifest, path } = await cluster.snapshots.take();
          return JSON.stringify({ manifest, path });
        },
      },
    },
    {
      /** The backup that root has laid down on this box is restored: main starts again for it. */
      name: "ringfence.database.restore",
      parameters: [],
      command: {
        kind: "local",
        run: async (_args, caller) => {
          const denied = admin(caller);
          if (denied !== undefined) return denied;
          if (!isRestoreRequested(data)) return refusal(CODE.action, "No backup was laid down: use onedb restore");
          setTimeout(restart, ANSWER_MS);
          return true;
        },
      },
    },
  ];
}
