import { freeCapacity, type HostRow } from "../one/host/row.ts";
import { HOST_STATE, hostStateName } from "../one/host/states.ts";
import { type Attributes, parseRank, parseRequirements } from "./requirements.ts";

/** What a VM asks of a host. */
export interface Demand {
  readonly vmId: number;
  /** Hundredths of a core, KiB. */
  readonly cpu: number;
  readonly memory: number;
  /** SCHED_REQUIREMENTS; "" = any host. */
  readonly requirements: string;
  /** SCHED_RANK; "" = spread. */
  readonly rank: string;
  /** Hosts that it must not go to, with the reason: where it failed, where its twin runs. */
  readonly excluded: ReadonlyMap<number, string>;
}

/** A host as a place, with what the plan in the making already put on it. */
export interface Place {
  readonly host: HostRow;
  /** Name to value: what requirements and ranks may ask for. */
  readonly attributes: Attributes;
  /** Why it takes no VM at all now (being fenced, degraded, too many starts at once); "" when it does. */
  readonly closed: string;
  readonly freeCpu: number;
  readonly freeMemory: number;
  readonly vmCount: number;
}

export type Fit =
  | { readonly ok: true; readonly hostId: number }
  /** Nowhere; `why` counts the reasons: `2 hosts: not enough memory; 1 host: DISABLED`. */
  | { readonly ok: false; readonly why: string };

/** A host's free capacity and attributes, before a plan puts anything on it. */
export function placeOf(host: HostRow, more: Attributes, closed: string): Place {
  const free = freeCapacity(host);
  return {
    host,
    attributes: {
      ...more,
      ID: host.id,
      NAME: host.name,
      CLUSTER_ID: host.cluster_id,
      RUNNING_VMS: host.running_vms,
      FREE_CPU: free.cpu,
      FREE_MEM: free.mem,
    },
    closed,
    freeCpu: free.cpu,
    freeMemory: free.mem,
    vmCount: host.running_vms,
  };
}

/** The place after the plan put `demand` on it. */
export function withVm(place: Place, demand: Demand): Place {
  const freeCpu = place.freeCpu - demand.cpu;
  const freeMemory = place.freeMemory - demand.memory;
  const vmCount = place.vmCount + 1;
  const attributes = { ...place.attributes, RUNNING_VMS: vmCount, FREE_CPU: freeCpu, FREE_MEM: freeMemory };
  return { ...place, attributes, freeCpu, freeMemory, vmCount };
}

/** The best place for one VM: highest rank, then fewest VMs, then most free memory, then the lowest id. */
export function findPlace(demand: Demand, places: readonly Place[]): Fit {
  const requirements = parseRequirements(demand.requirements);
  if (!requirements.ok) return { ok: false, why: `SCHED_REQUIREMENTS ${requirements.why}` };
  const rank = demand.rank.trim() === "" ? undefined : parseRank(demand.rank);
  if (rank !== undefined && !rank.ok) return { ok: false, why: `SCHED_RANK ${rank.why}` };
  const refusals = new Map<string, number>();
  let best: { readonly place: Place; readonly rank: number } | undefined;
  for (const place of places) {
    const why = refusal(demand, place, requirements.value);
    if (why !== undefined) {
      refusals.set(why, (refusals.get(why) ?? 0) + 1);
      continue;
    }
    const candidate = { place, rank: rank?.value(place.attributes) ?? 0 };
    if (best === undefined || isBetter(candidate, best)) best = candidate;
  }
  return best === undefined ? { ok: false, why: explain(refusals) } : { ok: true, hostId: best.place.host.id };
}

function refusal(demand: Demand, place: Place, isWanted: (attributes: Attributes) => boolean): string | undefined {
  if (place.host.state !== HOST_STATE.monitored) return hostStateName(place.host.state);
  if (place.closed !== "") return place.closed;
  const excluded = demand.excluded.get(place.host.id);
  if (excluded !== undefined) return excluded;
  if (!isWanted(place.attributes)) return "not what SCHED_REQUIREMENTS asks for";
  if (place.freeCpu < demand.cpu) return "not enough CPU";
  if (place.freeMemory < demand.memory) return "not enough memory";
  return undefined;
}

function isBetter(
  left: { readonly place: Place; readonly rank: number },
  right: { readonly place: Place; readonly rank: number },
): boolean {
  if (left.rank !== right.rank) return left.rank > right.rank;
  if (left.place.vmCount !== right.place.vmCount) return left.place.vmCount < right.place.vmCount;
  if (left.place.freeMemory !== right.place.freeMemory) return left.place.freeMemory > right.place.freeMemory;
  return left.place.host.id < right.place.host.id;
}

function explain(refusals: ReadonlyMap<string, number>): string {
  if (refusals.size === 0) return "there is no other host";
  return [...refusals].map(([why, count]) => `${count} host${count === 1 ? "" : "s"}: ${why}`).join("; ");
}
