import { allHosts, type HostRow } from "../one/host/row.ts";
import { HOST_STATE } from "../one/host/states.ts";
import { type VmRow, vmsOnHost } from "../one/vm/row.ts";
import { demandOf } from "../scheduler/demand.ts";
import { findPlace, type Place, placeOf, withVm } from "../scheduler/fit.ts";
import {
  type Configuration,
  type Device,
  domainsOf,
  MANUAL,
  notReadyReason,
  readConfiguration,
} from "./configuration.ts";
import type { HostJudgement, Look } from "./machine-types.ts";
import { askGates, type FencePolicy, type GateInput, type Suspect } from "./policy.ts";
import type { FencePorts } from "./ports.ts";
import { allBindings, allFenceRecords, type BindingRow, type FenceRow, fenceSetting } from "./record.ts";

/** One host as the machine is to see it now. */
export interface HostSurvey {
  readonly host: HostRow;
  readonly look: Look;
  readonly devices: readonly Device[];
  readonly binding: BindingRow | undefined;
}

export interface Survey {
  readonly hosts: readonly HostSurvey[];
}

/** What HOST.ERROR says of a host that was lost in its failure number N; also how a dealt-with failure is known. */
export function lostReason(failure: number): string {
  return `lost and fenced (failure ${failure})`;
}

/** Reads the state and the verdicts and asks the gates: everything that the machines of all hosts decide on. */
export async function surveyHosts(
  ports: FencePorts,
  policy: FencePolicy,
  powerCommands: GateInput["powerCommands"],
): Promise<Survey> {
  const [hosts, records, bindings, settings] = await Promise.all([
    ports.read(allHosts()),
    ports.read(allFenceRecords()),
    ports.read(allBindings()),
    ports.read(fenceSetting()),
  ]);
  const recordOf = new Map(records.map((row) => [row.host_id, row]));
  const bindingOf = new Map(bindings.map((row) => [row.host_id, row]));
  const setting = settings[0];
  const seen = hosts.map((host) => {
    const record = recordOf.get(host.id);
    const judgement = ports.monitor.judgement(host.id);
    return { host, record, judgement, isDealtWith: isDealtWith(host, record) };
  });
  const suspects: Suspect[] = seen.filter(isSuspect).map(({ host, judgement }) => ({
    hostId: host.id,
    bmcPower: judgement.bmcPower,
    domains: domainsOf(host),
  }));
  // Only a host that is heard takes VMs now: when a whole rack is silent, no off helps anybody.
  const others = seen.filter(({ judgement }) => judgement.verdict === "alive").map(({ host }) => host);
  const methods = new Set(ports.methods.keys());
  const wallAt = ports.clock.wall();
  const surveys: HostSurvey[] = [];
  for (const { host, record, judgement, isDealtWith: isOver } of seen) {
    const configuration = readConfiguration(host);
    const binding = bindingOf.get(host.id);
    const isAsked = !isOver && (judgement.verdict === "down" || judgement.verdict === "isolated");
    const capacity = isAsked ? await capacityWithout(ports, host, others) : undefined;
    // Also a host that was only just added or enabled and was never heard: its address may be a typing mistake.
    const isOutOfService = OUT_OF_SERVICE.has(host.state);
    const gates = !isAsked
      ? []
      : askGates({
          now: ports.clock.now(),
          policy,
          hostId: host.id,
          hostState: host.state,
          verdict: judgement.verdict === "isolated" ? "isolated" : "down",
          downSinceAt: judgement.downSinceAt ?? ports.clock.now(),
          isNeverHeard: judgement.isNeverHeard,
          bmcPower: judgement.bmcPower,
          domains: suspects.find(({ hostId }) => hostId === host.id)?.domains ?? [],
          leaseRemainingMs: ports.lease.remainingMs(),
          setting: {
            isArmed: setting?.armed === 1,
            changedBy: setting?.changed_by ?? "nobody",
            why: setting?.why ?? "",
          },
          notReady: notReadyReason(host, configuration, binding, methods),
          suspects,
          hostCount: hosts.length,
          powerCommands,
          capacity,
        });
    const look: Look = {
      record,
      judgement,
      gates,
      levels: levelsOf(configuration, methods),
      // Out of service and without VMs: its silence loses nothing and is not put on the record.
      isDealtWith: isOver || (isOutOfService && capacity?.vms === 0),
      isFencingWaived: policy.isFencingWaived,
      wallAt,
    };
    const devices = configuration.devices.filter((device) => device.method !== MANUAL);
    surveys.push({ host, look, devices, binding });
  }
  return { hosts: surveys };
}

const OUT_OF_SERVICE: ReadonlySet<number> = new Set([HOST_STATE.offline, HOST_STATE.disabled, HOST_STATE.init]);

/** Only a recovery that was finished leaves a report; a record that was closed because its host was never off does not. */
function isDealtWith(host: HostRow, record: FenceRow | undefined): boolean {
  return (
    record?.state === "CLOSED" &&
    record.report !== "" &&
    host.state === HOST_STATE.error &&
    host.error === lostReason(record.failure)
  );
}

function isSuspect({ judgement, isDealtWith: isOver }: { judgement: HostJudgement; isDealtWith: boolean }): boolean {
  return !isOver && ["suspect", "down", "isolated"].includes(judgement.verdict);
}

function levelsOf(configuration: Configuration, methods: ReadonlySet<string>): Look["levels"] {
  const methodsOf = new Map<number, string[]>();
  for (const { level, method } of configuration.devices)
    if (method !== MANUAL && methods.has(method)) methodsOf.set(level, [...(methodsOf.get(level) ?? []), method]);
  return [...methodsOf]
    .sort(([left], [right]) => left - right)
    .map(([level, names]) => ({ level, method: names.join("+") }));
}

/** How many of the host's VMs would fit on the others that are heard. */
async function capacityWithout(
  ports: FencePorts,
  host: HostRow,
  hosts: readonly HostRow[],
): Promise<{ readonly vms: number; readonly placeable: number }> {
  const vms: readonly VmRow[] = await ports.read(vmsOnHost(host.id));
  const places: Place[] = hosts.filter(({ id }) => id !== host.id).map((other) => placeOf(other, {}, ""));
  let placeable = 0;
  for (const vm of vms) {
    // Requirements over attributes are left to the planner: here only room counts, and not knowing fails open.
    const demand = { ...demandOf(vm), requirements: "", rank: "" };
    const fit = findPlace(demand, places);
    if (!fit.ok) continue;
    placeable++;
    const at = places.findIndex((place) => place.host.id === fit.hostId);
    const place = places[at];
    if (place !== undefined) places[at] = withVm(place, demand);
  }
  return { vms: vms.length, placeable };
}
