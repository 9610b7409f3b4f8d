// What recovery reads before it plans; each function reads afresh.

import type { HostRow } from "../one/host/row.ts";
import { type VmRow, vmById } from "../one/vm/row.ts";
import { hostAttributes } from "../scheduler/demand.ts";
import { type Place, placeOf } from "../scheduler/fit.ts";
import type { VmhaPorts } from "./ports.ts";

/** Hosts with an open fencing record. */
export async function fencedHosts(ports: VmhaPorts): Promise<ReadonlySet<number>> {
  const records = await ports.read(ports.records.all());
  return new Set(records.filter(({ state }) => state !== "CLOSED").map(({ host_id }) => host_id));
}

/** The hosts as places, each with the reason why it takes no VM now. */
export function placesOf(ports: VmhaPorts, hosts: readonly HostRow[], fenced: ReadonlySet<number>): readonly Place[] {
  return hosts.map((host) => {
    const closed = fenced.has(host.id) ? "being fenced" : ports.closedReason(host.id);
    return placeOf(host, hostAttributes(host), closed);
  });
}

/** Rows of those that still exist. */
export async function vmsByIds(ports: VmhaPorts, ids: readonly number[]): Promise<ReadonlyMap<number, VmRow>> {
  const found = await Promise.all(ids.map((id) => ports.read(vmById(id))));
  return new Map(found.flat().map((vm) => [vm.id, vm]));
}
