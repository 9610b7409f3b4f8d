/** How the rack is at this moment, as the kernel has it. */
import { cgroupOf, isFrozen } from "./cgroup.ts";
import { run } from "./command.ts";
import { type Delay, delayOf } from "./delay.ts";
import { type Filter, readFilter } from "./faults.ts";
import { isOn } from "./node.ts";
import { namespaceOf, type Place } from "./place.ts";
import { allPlans, type Network, type NodeKind, type NodePlan, type Wire } from "./plan.ts";
import { processesOf } from "./processes.ts";
import type { RackState } from "./state.ts";
import { SWITCH } from "./switch.ts";

export interface NodeStatus {
  readonly name: string;
  readonly kind: NodeKind;
  readonly power: "on" | "off";
  readonly frozen: boolean;
  readonly wires: readonly {
    readonly network: Network;
    readonly address: string;
    readonly plugged: boolean;
    readonly delay?: Delay;
  }[];
  /** Names of the programs that run in it, without shells. */
  readonly programs: readonly string[];
}

export interface RackStatus {
  readonly state: RackState;
  readonly nodes: readonly NodeStatus[];
  readonly filter: Filter;
}

/** Programs that every node has and that tell nothing. */
const scenery = new Set(["node-init", "sh", "unshare", "sleep", "env", "nsenter"]);

/** Asks the kernel about every node. */
export async function rackStatus(place: Place, state: RackState): Promise<RackStatus> {
  const listing = await run(["ip", "-n", namespaceOf(place, SWITCH), "-j", "link", "show"]);
  const links = (listing.code === 0 ? JSON.parse(listing.stdout) : []) as readonly {
    ifname: string;
    master?: string;
  }[];
  const masters = new Map(links.map((link) => [link.ifname, link.master]));
  const nodes = allPlans(state).map((plan): NodeStatus => {
    const names = processesOf(place, plan).map((process) => process.name);
    return {
      name: plan.name,
      kind: plan.kind,
      power: isOn(place, plan) ? "on" : "off",
      frozen: isOn(place, plan) && isFrozen(cgroupOf(place, plan.name)),
      wires: plan.wires.map((wire) => ({
        network: wire.network,
        address: wire.address,
        plugged: masters.get(wire.port) === wire.network,
        ...optionalDelay(place, plan, wire),
      })),
      programs: [...new Set(names)].filter((name) => !scenery.has(name)),
    };
  });
  return { state, nodes, filter: await readFilter(place) };
}

function optionalDelay(place: Place, plan: NodePlan, wire: Wire): { readonly delay?: Delay } {
  const delay = delayOf(place, plan, wire);
  return delay === undefined ? {} : { delay };
}

/** The status for people. */
export function formatStatus({ state, nodes, filter }: RackStatus): string {
  const rows = nodes.map((node) => [
    node.name,
    node.frozen ? "frozen" : node.power,
    ...(["mgmt", "bmc"] as const).map((network) => {
      const wire = node.wires.find((candidate) => candidate.network === network);
      if (wire === undefined) return "";
      const delay = wire.delay === undefined ? "" : ` +${wire.delay.ms}ms`;
      return `${wire.address}${delay}${wire.plugged || node.power === "off" ? "" : " CUT"}`;
    }),
    node.programs.join(" "),
  ]);
  const lines = [["NODE", "POWER", "MGMT", "BMC", "PROGRAMS"], ...rows];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  return [
    `tier ${state.tier}, profile ${state.profile}, ${state.repository}`,
    ...lines.map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    ),
    ...filter.pairs.map(([from, to]) => `no frame from ${from} to ${to}`),
    ...filter.losses.map(([port, percent]) => `${port} loses ${percent} % of its frames`),
  ].join("\n");
}
