import { parseCidr } from "../../config/network.ts";
import type { Link, Present } from "./planner.ts";

interface IpLink {
  readonly ifname: string;
  readonly flags?: readonly string[];
  readonly mtu?: number;
  readonly link_type?: string;
  readonly master?: string;
  readonly link?: string;
  readonly linkinfo?: {
    readonly info_kind?: string;
    readonly info_data?: { readonly id?: number; readonly mode?: string };
  };
  readonly addr_info?: readonly { readonly family?: string; readonly local?: string; readonly prefixlen?: number }[];
}

/** What is there, from `ip -json -details address show` and `ip -json route show default`. Throws on what is no JSON. */
export function presentOf(addresses: string, routes: string): Present {
  const links = JSON.parse(addresses === "" ? "[]" : addresses) as readonly IpLink[];
  const defaults = JSON.parse(routes === "" ? "[]" : routes) as readonly {
    gateway?: string;
    dev?: string;
    protocol?: string;
  }[];
  return {
    links: links.filter((link) => typeof link.ifname === "string").map(linkOf),
    defaultRoutes: defaults.flatMap(({ gateway, dev }) =>
      gateway === undefined || dev === undefined ? [] : [{ gateway, device: dev }],
    ),
  };
}

function linkOf(link: IpLink): Link {
  const kind = link.linkinfo?.info_kind ?? "";
  const { id, mode } = link.linkinfo?.info_data ?? {};
  return {
    name: link.ifname,
    isUp: link.flags?.includes("UP") === true,
    mtu: link.mtu ?? 0,
    kind,
    master: link.master,
    isEthernet: link.link_type === "ether",
    addresses: (link.addr_info ?? []).flatMap((one) => {
      const cidr = one.family === "inet" ? parseCidr(`${one.local ?? ""}/${one.prefixlen ?? ""}`) : undefined;
      return cidr === undefined ? [] : [cidr];
    }),
    vlan: kind === "vlan" && id !== undefined && link.link !== undefined ? { id, on: link.link } : undefined,
    bondMode: kind === "bond" ? mode : undefined,
  };
}
