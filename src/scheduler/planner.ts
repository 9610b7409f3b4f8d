import { type Demand, findPlace, type Place, withVm } from "./fit.ts";

export interface PlannedStart {
  readonly vmId: number;
  readonly hostId: number;
}

export interface PlacementPlan {
  readonly starts: readonly PlannedStart[];
  /** VMs that stay pending, and why; shown in `onevm show`. */
  readonly waiting: readonly { readonly vmId: number; readonly why: string }[];
}

/** Starts that one round may put on one host, so that a storm of pending VMs does not choke its disk. */
export const STARTS_PER_HOST_MAX = 4;

/** Gives the pending VMs, in the order given, their hosts; each placement is seen by the next. */
export function planPending(demands: readonly Demand[], initial: readonly Place[]): PlacementPlan {
  const places = [...initial];
  const starts: PlannedStart[] = [];
  const waiting: { vmId: number; why: string }[] = [];
  const started = new Map<number, number>();
  for (const demand of demands) {
    const open = places.map((place) =>
      (started.get(place.host.id) ?? 0) < STARTS_PER_HOST_MAX || place.closed !== ""
        ? place
        : { ...place, closed: "enough starts in this round" },
    );
    const fit = findPlace(demand, open);
    if (!fit.ok) {
      waiting.push({ vmId: demand.vmId, why: fit.why });
      continue;
    }
    const at = places.findIndex((place) => place.host.id === fit.hostId);
    const place = places[at];
    if (place !== undefined) places[at] = withVm(place, demand);
    started.set(fit.hostId, (started.get(fit.hostId) ?? 0) + 1);
    starts.push({ vmId: demand.vmId, hostId: fit.hostId });
  }
  return { starts, waiting };
}
