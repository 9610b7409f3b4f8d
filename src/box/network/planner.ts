/**
 * What must be done so that this machine's network is what box.conf says: pure. The driver asks the kernel what is there,
 * and carries the lines out with `ip -batch`. What ringfence did not set (the VIP, a person's own address) is left alone:
 * {@link Owned} remembers what it did.
 */
import type { Cidr, InterfaceSetting, NetworkSettings } from "../../config/network.ts";

/** A link as `ip -json -details address show` tells it. */
export interface Link {
  readonly name: string;
  readonly isUp: boolean;
  readonly mtu: number;
  /** "" for a piece of hardware. */
  readonly kind: string;
  readonly master: string | undefined;
  /** Only what can have Ethernet frames is ever set up by itself. */
  readonly isEthernet: boolean;
  readonly addresses: readonly Cidr[];
  /** Of a VLAN. */
  readonly vlan: { readonly id: number; readonly on: string } | undefined;
  readonly bondMode: string | undefined;
}

export interface Present {
  readonly links: readonly Link[];
  /** Gateways of default routes, each with its link. */
  readonly defaultRoutes: readonly { readonly gateway: string; readonly device: string }[];
}

/** What ringfence has set up in this boot. */
export interface Owned {
  readonly links: readonly string[];
  readonly addresses: readonly (Cidr & { readonly device: string })[];
  readonly gateway: { readonly gateway: string; readonly device: string } | undefined;
  readonly dhcp: readonly string[];
}

export const NOTHING_OWNED: Owned = { links: [], addresses: [], gateway: undefined, dhcp: [] };

export interface NetworkPlan {
  /** Links whose DHCP client ends first. */
  readonly stopDhcp: readonly string[];
  /** Lines of `ip -batch`, in this order. */
  readonly lines: readonly string[];
  /** Links that want a DHCP client; the earlier one's gateway wins. Those that have one keep it. */
  readonly dhcp: readonly { readonly device: string; readonly metric: number }[];
  /** Links that are named and are not there: said, and the rest is done all the same. */
  readonly missing: readonly string[];
  readonly owned: Owned;
}

/** A route of DHCP is asked after one that was set. */
const DHCP_METRIC = 100;
const LINK_WATCH_MS = 100;

/** Without any section every piece of hardware asks for an address: a box fresh from its packaging is found that way. */
export function effectiveInterfaces(settings: NetworkSettings, present: Present): readonly InterfaceSetting[] {
  if (settings.interfaces.length > 0) return settings.interfaces;
  return present.links
    .filter((link) => link.isEthernet && link.kind === "" && link.master === undefined)
    .map((link) => link.name)
    .sort()
    .map((name) => ({
      ...{ name, addresses: "dhcp", gateway: undefined, mtu: undefined, vlan: undefined, bond: undefined },
    }));
}

export function planNetwork(settings: NetworkSettings, present: Present, owned: Owned): NetworkPlan {
  const wanted = inOrder(effectiveInterfaces(settings, present));
  const made = wanted.filter((one) => one.bond !== undefined || one.vlan !== undefined).map((one) => one.name);
  const existing = new Map(present.links.map((link) => [link.name, link]));
  const missing = new Set<string>();
  const dhcpNames = wanted.filter((one) => one.addresses === "dhcp").map((one) => one.name);
  const addresses = wanted.flatMap((one) =>
    one.addresses === "dhcp" ? [] : one.addresses.map((cidr) => ({ ...cidr, device: one.name })),
  );
  const withGateway = wanted.find((one) => one.gateway !== undefined);
  const gateway =
    withGateway?.gateway === undefined ? undefined : { gateway: withGateway.gateway, device: withGateway.name };

  const lines: string[] = [];
  const gone = new Set<string>();
  // What is not wanted any more, the links last: an address goes with its link.
  if (owned.gateway !== undefined && !isSame(owned.gateway, gateway) && hasRoute(present, owned.gateway))
    lines.push(`route del default via ${owned.gateway.gateway} dev ${owned.gateway.device}`);
  for (const own of owned.addresses)
    if (!addresses.some((one) => isSame(one, own)) && hasAddress(existing, own))
      lines.push(`address del ${own.address}/${own.prefix} dev ${own.device}`);
  for (const name of [...owned.links].reverse()) {
    const link = existing.get(name);
    const setting = wanted.find((one) => one.name === name);
    if (link === undefined || (setting !== undefined && fits(link, setting))) continue;
    lines.push(`link del dev ${name}`);
    gone.add(name);
  }

  const isThere = (name: string): boolean => (existing.has(name) && !gone.has(name)) || made.includes(name);
  for (const setting of wanted) {
    const link = gone.has(setting.name) ? undefined : existing.get(setting.name);
    const needs = [...(setting.bond?.members ?? []), ...(setting.vlan === undefined ? [] : [setting.vlan.on])];
    for (const name of needs) if (!isThere(name)) missing.add(name);
    const isPossible = setting.vlan === undefined || (isThere(setting.vlan.on) && !missing.has(setting.vlan.on));
    if (!isPossible || (link === undefined && !made.includes(setting.name))) {
      missing.add(setting.name);
      continue;
    }
    lines.push(...linesOf(setting, link, existing, missing));
  }
  for (const one of addresses)
    if (!missing.has(one.device) && !(hasAddress(existing, one) && !gone.has(one.device)))
      lines.push(`address add ${one.address}/${one.prefix} broadcast + dev ${one.device}`);
  if (
    gateway !== undefined &&
    !missing.has(gateway.device) &&
    !(hasRoute(present, gateway) && !gone.has(gateway.device))
  )
    lines.push(`route replace default via ${gateway.gateway} dev ${gateway.device}`);
  return {
    stopDhcp: owned.dhcp.filter((name) => !dhcpNames.includes(name) || gone.has(name)),
    lines,
    dhcp: dhcpNames.filter((name) => !missing.has(name)).map((device, at) => ({ device, metric: DHCP_METRIC + at })),
    missing: [...missing],
    owned: {
      links: made.filter((name) => !missing.has(name)),
      addresses: addresses.filter((one) => !missing.has(one.device)),
      gateway: gateway !== undefined && missing.has(gateway.device) ? undefined : gateway,
      dhcp: dhcpNames.filter((name) => !missing.has(name)),
    },
  };
}

/** What makes a link, and what it carries. */
function linesOf(
  setting: InterfaceSetting,
  link: Link | undefined,
  existing: ReadonlyMap<string, Link>,
  missing: ReadonlySet<string>,
): readonly string[] {
  const { name, bond, vlan, mtu } = setting;
  const lines: string[] = [];
  if (link === undefined && bond !== undefined)
    lines.push(`link add name ${name} type bond mode ${bond.mode} miimon ${LINK_WATCH_MS}`);
  if (link === undefined && vlan !== undefined)
    lines.push(`link add link ${vlan.on} name ${name} type vlan id ${vlan.id}`);
  if (vlan !== undefined && existing.get(vlan.on)?.isUp === false) lines.push(`link set dev ${vlan.on} up`);
  for (const member of bond?.members ?? []) {
    if (missing.has(member) || (link !== undefined && existing.get(member)?.master === name)) continue;
    // The kernel takes only a member that is down.
    lines.push(`link set dev ${member} down`, `link set dev ${member} master ${name}`, `link set dev ${member} up`);
  }
  for (const other of existing.values())
    if (link !== undefined && bond !== undefined && other.master === name && !bond.members.includes(other.name))
      lines.push(`link set dev ${other.name} nomaster`);
  if (mtu !== undefined && link?.mtu !== mtu) lines.push(`link set dev ${name} mtu ${mtu}`);
  if (link?.isUp !== true) lines.push(`link set dev ${name} up`);
  return lines;
}

/** A link that others are on comes before them. */
function inOrder(settings: readonly InterfaceSetting[]): readonly InterfaceSetting[] {
  const depth = (setting: InterfaceSetting, left: number): number => {
    const below = settings.find((one) => one.name === setting.vlan?.on);
    return below === undefined || left === 0 ? 0 : 1 + depth(below, left - 1);
  };
  return settings
    .map((setting) => ({ setting, at: depth(setting, settings.length) }))
    .sort((a, b) => a.at - b.at)
    .map(({ setting }) => setting);
}

/** Whether a link that is there is the one that is wanted; a bond's mode and a VLAN's number cannot be changed. */
function fits(link: Link, { vlan, bond }: InterfaceSetting): boolean {
  if (vlan !== undefined) return link.vlan?.id === vlan.id && link.vlan.on === vlan.on;
  return bond !== undefined && link.kind === "bond" && link.bondMode === bond.mode;
}

function hasAddress(existing: ReadonlyMap<string, Link>, one: Cidr & { readonly device: string }): boolean {
  return (existing.get(one.device)?.addresses ?? []).some(
    ({ address, prefix }) => address === one.address && prefix === one.prefix,
  );
}

function hasRoute({ defaultRoutes }: Present, route: { readonly gateway: string; readonly device: string }): boolean {
  return defaultRoutes.some((one) => isSame(one, route));
}

function isSame(a: object, b: object | undefined): boolean {
  const [one, other] = [a as Record<string, unknown>, (b ?? {}) as Record<string, unknown>];
  return ["address", "prefix", "device", "gateway"].every((key) => one[key] === other[key]);
}
