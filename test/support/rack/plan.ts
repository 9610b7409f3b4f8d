/**
 * The rack on paper: what its nodes are called, where they are plugged in and which addresses they have.
 * Nothing here touches the machine. Demo, tests and benches rely on these names and addresses.
 */

/** The two switched networks. Guests share the management network; BMCs and the boxes' second port sit on the other. */
export const networks = ["mgmt", "bmc"] as const;
export type Network = (typeof networks)[number];

/** More boxes than this make no quorum that anyone runs; more hosts than this do not fit the address plan. */
export const BOXES_MAX = 5;
export const HOSTS_MAX = 16;

export const VIP = "10.77.0.2";
export const CLIENT_ADDRESS = "10.77.0.100";
/** First of the guests' addresses; guest i has 10.77.0.(128+i). */
const GUEST_ADDRESS_FIRST = 128;

/** A cable: one end in the node's namespace, the other a port of the switch. */
export interface Wire {
  readonly network: Network;
  /** The switch's port name; unique in the switch. */
  readonly port: string;
  /** The interface's name inside the node. */
  readonly device: string;
  /** Fixed, so that a power cycle leaves nobody with a stale ARP entry. */
  readonly mac: string;
  readonly address: string;
}

/** `bmc` is the management controller of the host with the same number; it has power of its own. */
export type NodeKind = "box" | "host" | "bmc" | "client";

export interface NodePlan {
  readonly kind: NodeKind;
  readonly name: string;
  readonly number: number;
  readonly wires: readonly Wire[];
}

/** Box `number` (0 …): eth0 on mgmt, eth1 on bmc. */
export function boxPlan(number: number): NodePlan {
  const name = `box${number}`;
  return {
    kind: "box",
    name,
    number,
    wires: [
      wire("mgmt", name, "eth0", 1, number, `10.77.0.${10 + number}`),
      wire("bmc", `${name}-bmc`, "eth1", 2, number, `10.77.1.${10 + number}`),
    ],
  };
}

/** Hypervisor `number` (0 …): eth0 on mgmt, inside the host a port of its bridge br0, which has the address. */
export function hostPlan(number: number): NodePlan {
  const name = `hv${number}`;
  return { kind: "host", name, number, wires: [wire("mgmt", name, "eth0", 3, number, `10.77.0.${20 + number}`)] };
}

/** The BMC of hypervisor `number`: a namespace of its own that the host's power cut does not touch. */
export function bmcPlan(number: number): NodePlan {
  const name = `bmc${number}`;
  return {
    kind: "bmc",
    name,
    number,
    wires: [wire("bmc", `hv${number}-bmc`, "eth0", 4, number, `10.77.1.${20 + number}`)],
  };
}

/** The rack's user: has the probers and may reach both networks. */
export function clientPlan(): NodePlan {
  return {
    kind: "client",
    name: "client",
    number: 0,
    wires: [
      wire("mgmt", "client", "eth0", 5, 0, CLIENT_ADDRESS),
      wire("bmc", "client-bmc", "eth1", 6, 0, "10.77.1.100"),
    ],
  };
}

function wire(network: Network, port: string, device: string, kind: number, number: number, address: string): Wire {
  return { network, port, device, mac: `02:52:46:00:${hex(kind)}:${hex(number)}`, address };
}

/** All nodes of a rack of this size, boxes first. */
export function allPlans(size: { readonly boxes: number; readonly hosts: number }): readonly NodePlan[] {
  const range = (count: number) => Array.from({ length: count }, (_, i) => i);
  return [
    ...range(size.boxes).map(boxPlan),
    ...range(size.hosts).map(hostPlan),
    ...range(size.hosts).map(bmcPlan),
    clientPlan(),
  ];
}

/** The SMBIOS UUID that host `number` reports, and its BMC's GUID. */
export function hostUuid(number: number): string {
  return `52466163-6b00-4000-8000-0277${hex(number).padStart(8, "0")}`;
}

/** Guest `number` (0 … 127). */
export function guestAddress(number: number): string {
  return `10.77.0.${GUEST_ADDRESS_FIRST + number}`;
}

/** A guest keeps its MAC wherever it runs: a new one leaves it unreachable for 15 s behind stale ARP entries. */
export function guestMac(number: number): string {
  return `02:52:46:00:80:${hex(number)}`;
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}
