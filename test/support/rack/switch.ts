/** The switch: one namespace with a bridge a network, and the cables that lead out of it. */
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { must, run } from "./command.ts";
import { namespaceOf, nodeRunDirectory, type Place } from "./place.ts";
import { type NodePlan, networks, type Wire } from "./plan.ts";

/** Not a node: it has no power button, so nothing can take its name. */
export const SWITCH = "switch";

/** Makes the switch if it is not there. It has no addresses and answers nobody; it only forwards. */
export async function makeSwitch(place: Place): Promise<void> {
  if (namespaceExists(place, SWITCH)) return;
  const namespace = namespaceOf(place, SWITCH);
  await must(["ip", "netns", "add", namespace]);
  await must([
    ...inNamespace(place, SWITCH),
    "sh",
    "-c",
    // Without an address of its own, IPv6 link-local included, the switch is nobody's neighbour.
    "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6; echo 0 >/proc/sys/net/ipv4/ip_forward",
  ]);
  await ipBatch(
    namespace,
    networks.flatMap((network) => [
      // Without spanning tree and forward delay a port forwards at once, as an edge port of a real switch.
      `link add ${network} address 02:52:46:00:00:${network === "mgmt" ? "01" : "02"} type bridge stp_state 0 forward_delay 0`,
      `link set ${network} up`,
    ]),
  );
}

/** Gives a node a new namespace, cabled to the switch: as after a boot, with no address and no connection of before. */
export async function makeNamespace(place: Place, plan: NodePlan): Promise<void> {
  await removeNamespace(place, plan);
  const namespace = namespaceOf(place, plan.name);
  await must(["ip", "netns", "add", namespace]);
  await ipBatch(
    namespaceOf(place, SWITCH),
    plan.wires.flatMap((wire) => [
      `link add ${wire.port} type veth peer name ${wire.device} address ${wire.mac} netns ${namespace}`,
      ...(isCut(place, plan, wire) ? [] : [`link set ${wire.port} master ${wire.network}`]),
      `link set ${wire.port} up`,
    ]),
  );
}

/** Removes a node's namespace and cables, whatever of them is there. */
export async function removeNamespace(place: Place, plan: NodePlan): Promise<void> {
  // The cable first: a dying namespace with open connections would keep it, and go on sending.
  // With a relay in it (delay.ts), its own end has a name with d- in front.
  const links = plan.wires.flatMap((wire) => [`link del ${wire.port}`, `link del d-${wire.port}`]);
  await run(["ip", "-force", "-netns", namespaceOf(place, SWITCH), "-batch", "-"], { stdin: `${links.join("\n")}\n` });
  if (namespaceExists(place, plan.name)) await must(["ip", "netns", "del", namespaceOf(place, plan.name)]);
}

/** Unplugs these cables on the switch's side: the node keeps its carrier, as with a switch that forgot it. */
export async function unplug(place: Place, wires: readonly Wire[]): Promise<void> {
  await ipBatch(
    namespaceOf(place, SWITCH),
    wires.map((wire) => `link set ${wire.port} nomaster`),
  );
}

/** Plugs cables in again. */
export async function plug(place: Place, wires: readonly Wire[]): Promise<void> {
  await ipBatch(
    namespaceOf(place, SWITCH),
    wires.map((wire) => `link set ${wire.port} master ${wire.network}`),
  );
}

/** A cut cable stays cut over a power cycle; this mark says so. */
export function markCut(place: Place, plan: NodePlan, wire: Wire, cut: boolean): void {
  const path = cutMark(place, plan, wire);
  if (cut) writeFileSync(path, "");
  else rmSync(path, { force: true });
}

/** True if a person or a test cut this cable. */
export function isCut(place: Place, plan: NodePlan, wire: Wire): boolean {
  return existsSync(cutMark(place, plan, wire));
}

function cutMark(place: Place, plan: NodePlan, wire: Wire): string {
  return `${nodeRunDirectory(place, plan.name)}/cut-${wire.network}`;
}

/** True if the namespace of `node` exists. */
export function namespaceExists(place: Place, node: string): boolean {
  return existsSync(`/run/netns/${namespaceOf(place, node)}`);
}

/** The words before a program that is to run in a node's network only. */
export function inNamespace(place: Place, node: string): readonly string[] {
  return ["nsenter", `--net=/run/netns/${namespaceOf(place, node)}`, "--"];
}

/** Many `ip` commands by one process, in the given namespace. */
export async function ipBatch(namespace: string, commands: readonly string[]): Promise<void> {
  if (commands.length === 0) return;
  await must(["ip", "-netns", namespace, "-batch", "-"], { stdin: `${commands.join("\n")}\n` });
}
