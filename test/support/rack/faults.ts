/** Faults of the network and of whole nodes, without netem. */

import { CodedError } from "../../../src/base/error.ts";
import { cgroupOf, setFrozen } from "./cgroup.ts";
import { must, run } from "./command.ts";
import { type Delay, delayOf, forgetWireDelay, setWireDelay } from "./delay.ts";
import { withLock } from "./lock.ts";
import { isOn, withNode } from "./node.ts";
import type { Place } from "./place.ts";
import { allPlans, type Network, type NodePlan, type Wire } from "./plan.ts";
import type { RackState } from "./state.ts";
import { inNamespace, isCut, markCut, namespaceExists, plug, SWITCH, unplug } from "./switch.ts";

/** A change of the filter takes 20 ms. */
const LOCK_TIMEOUT_MS = 10_000;

/** Unplugs a node's cable (or all) at the switch. It stays so over power cycles until {@link healNode}. */
export function cutNode(place: Place, plan: NodePlan, network?: Network): Promise<void> {
  return withNode(place, plan, async () => {
    const wires = wiresOf(plan, network);
    for (const wire of wires) markCut(place, plan, wire, true);
    if (namespaceExists(place, plan.name)) await unplug(place, wires);
  });
}

/** Undoes cuts, delays, losses and partitions of one node. */
export async function healNode(place: Place, plan: NodePlan, network?: Network): Promise<void> {
  const wires = wiresOf(plan, network);
  await mendWires(place, plan, wires);
  const ports = new Set(wires.map((wire) => wire.port));
  await changeFilter(place, ({ pairs, losses }) => ({
    pairs: pairs.filter(([from, to]) => !ports.has(from) && !ports.has(to)),
    losses: losses.filter(([port]) => !ports.has(port)),
  }));
}

/** Undoes every cut, delay, loss and partition. */
export async function healAll(place: Place, state: RackState): Promise<void> {
  await changeFilter(place, () => ({ pairs: [], losses: [] }));
  for (const plan of allPlans(state)) await mendWires(place, plan, plan.wires);
}

function mendWires(place: Place, plan: NodePlan, wires: readonly Wire[]): Promise<void> {
  return withNode(place, plan, async () => {
    for (const wire of wires) {
      const wasCut = isCut(place, plan, wire);
      markCut(place, plan, wire, false);
      const isDelayed = delayOf(place, plan, wire) !== undefined;
      if (isDelayed && !isOn(place, plan)) await forgetWireDelay(place, plan, wire);
      else if (isDelayed) await setWireDelay(place, plan, wire, { ms: 0, jitterMs: 0 });
      // A node without power has dead cables; powerOn plugs them in.
      else if (wasCut && isOn(place, plan)) await plug(place, [wire]);
    }
  });
}

/** Delays each frame from and to a node; 0 ends it. It stays so over power cycles. */
export function setDelay(place: Place, plan: NodePlan, delay: Delay, network?: Network): Promise<void> {
  return withNode(place, plan, async () => {
    if (!isOn(place, plan)) throw new CodedError("RACK_OFF", `Cannot delay frames of ${plan.name}: it is off`);
    for (const wire of wiresOf(plan, network)) await setWireDelay(place, plan, wire, delay);
  });
}

/** Lets no frame pass between the two sides; `oneWay` only stops those from `from` to `to`. Adds to what is there. */
export async function partition(
  place: Place,
  from: readonly NodePlan[],
  to: readonly NodePlan[],
  options: { readonly oneWay?: boolean; readonly network?: Network } = {},
): Promise<void> {
  const added = new Map<string, Pair>();
  const add = (a: Wire, b: Wire) => {
    if (a.network === b.network) added.set(`${a.port} ${b.port}`, [a.port, b.port]);
  };
  for (const a of from.flatMap((plan) => wiresOf(plan, options.network, true))) {
    for (const b of to.flatMap((plan) => wiresOf(plan, options.network, true))) {
      add(a, b);
      if (!options.oneWay) add(b, a);
    }
  }
  await changeFilter(place, (filter) => {
    const kept = filter.pairs.filter((pair) => !added.has(pair.join(" ")));
    return { ...filter, pairs: [...kept, ...added.values()] };
  });
}

/** Loses `percent` (0 … 100) of the frames from and to a node, at random; 0 ends it. */
export async function setLoss(place: Place, plan: NodePlan, percent: number, network?: Network): Promise<void> {
  if (!Number.isInteger(percent) || percent < 0 || percent > 100) {
    throw new CodedError("RACK_LOSS", `Cannot lose "${percent}" percent of the frames: a whole number from 0 to 100`);
  }
  const ports = new Set(wiresOf(plan, network).map((wire) => wire.port));
  const own: Loss[] = percent === 0 ? [] : [...ports].map((port) => [port, percent]);
  await changeFilter(place, (filter) => ({
    ...filter,
    losses: [...filter.losses.filter(([port]) => !ports.has(port)), ...own],
  }));
}

/** Stops (or lets go on) all programs of a node at once. Its kernel still answers ping and TCP. */
export async function freezeNode(place: Place, plan: NodePlan, frozen: boolean): Promise<void> {
  if (plan.kind === "client")
    throw new CodedError("RACK_NODE", 'Cannot freeze "client": it has no processes of its own');
  if (!isOn(place, plan))
    throw new CodedError("RACK_OFF", `Cannot ${frozen ? "freeze" : "thaw"} ${plan.name}: it is off`);
  await setFrozen(cgroupOf(place, plan.name), frozen);
}

type Pair = readonly [from: string, to: string];
type Loss = readonly [port: string, percent: number];

/** All that the switch drops on purpose. */
export interface Filter {
  readonly pairs: readonly Pair[];
  readonly losses: readonly Loss[];
}

/** Reads back what the switch drops: the kernel is the only place where this is written down. */
export async function readFilter(place: Place): Promise<Filter> {
  const nft = [...inNamespace(place, SWITCH), "nft", "-j", "list", "ruleset"];
  const { nftables } = JSON.parse(await must(nft)) as { nftables: readonly NftItem[] };
  const pairs: Pair[] = [];
  const losses = new Map<string, number>();
  for (const { set, rule } of nftables) {
    for (const element of set?.elem ?? []) pairs.push([element.concat[0] ?? "", element.concat[1] ?? ""]);
    const [, port, percent] = /^(\S+) loses (\d+)$/.exec(rule?.comment ?? "") ?? [];
    if (port !== undefined) losses.set(port, Number(percent));
  }
  return { pairs, losses: [...losses] };
}

interface NftItem {
  readonly set?: { readonly elem?: readonly { readonly concat: readonly string[] }[] };
  readonly rule?: { readonly comment?: string };
}

/** Reads, changes and writes the filter; two terminals take turns. */
function changeFilter(place: Place, change: (filter: Filter) => Filter): Promise<void> {
  return withLock(`${place.runDirectory}/filter.lock`, LOCK_TIMEOUT_MS, async () => {
    await writeFilter(place, change(await readFilter(place)));
  });
}

async function writeFilter(place: Place, filter: Filter): Promise<void> {
  const rules = filter.losses.flatMap(([port, percent]) =>
    ["iifname", "oifname"].map(
      (side) => `    ${side} "${port}" numgen random mod 100 < ${percent} drop comment "${port} loses ${percent}"`,
    ),
  );
  const elements = filter.pairs.map(([from, to]) => `"${from}" . "${to}"`);
  // Replaced in one transaction: no frame sees half of it.
  const text = `
table bridge rack
delete table bridge rack
table bridge rack {
  set cut {
    type ifname . ifname
    ${elements.length === 0 ? "" : `elements = { ${elements.join(", ")} }`}
  }
  chain forward {
    type filter hook forward priority 0
    iifname . oifname @cut drop
${rules.join("\n")}
  }
}
`;
  const result = await run([...inNamespace(place, SWITCH), "nft", "-f", "-"], { stdin: text });
  if (result.code !== 0) throw new CodedError("RACK_FILTER", `Cannot set the switch's filter: ${result.stderr.trim()}`);
}

/** The node's cables on `network`, or all. A partition of nodes that share no network is no error; a cut of no cable is. */
function wiresOf(plan: NodePlan, network: Network | undefined, lenient = false): readonly Wire[] {
  const wires = plan.wires.filter((wire) => network === undefined || wire.network === network);
  if (wires.length > 0 || lenient) return wires;
  throw new CodedError(
    "RACK_NETWORK",
    `Cannot find a cable of ${plan.name} on network "${network}": it has ${plan.wires.map((wire) => wire.network).join(", ")}`,
  );
}
