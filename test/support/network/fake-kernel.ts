/** Does to a picture of links what `ip -batch` does to a kernel, as far as the planner's lines go. */

import type { Link, Present } from "../../../src/box/network/planner.ts";
import { parseCidr } from "../../../src/config/network.ts";

type Mutable = { -readonly [K in keyof Link]: Link[K] };

export function hardware(name: string): Link {
  return {
    ...{ name, isUp: false, mtu: 1500, kind: "", master: undefined, isEthernet: true, addresses: [] },
    ...{ vlan: undefined, bondMode: undefined },
  };
}

/** Throws on a line that a kernel would refuse. */
export function carryOut(present: Present, lines: readonly string[]): Present {
  const links = new Map(present.links.map((link) => [link.name, { ...link } as Mutable]));
  let routes = [...present.defaultRoutes];
  const get = (name = ""): Mutable => {
    const link = links.get(name);
    if (link === undefined) throw new Error(`Cannot find device "${name}"`);
    return link;
  };
  for (const line of lines) {
    const words = line.split(" ");
    const after = (word: string): string => words[words.indexOf(word) + 1] ?? "";
    const device = after("dev");
    if (line.startsWith("link add")) {
      const name = after("name");
      if (links.has(name)) throw new Error(`${line}: File exists`);
      const isBond = after("type") === "bond";
      const on = after("link");
      const vlan = isBond ? undefined : { id: Number(after("id")), on: words[2] === "link" ? (words[3] ?? "") : on };
      if (vlan !== undefined) get(vlan.on);
      links.set(name, {
        ...hardware(name),
        kind: isBond ? "bond" : "vlan",
        vlan,
        bondMode: isBond ? after("mode") : undefined,
      });
    } else if (line.startsWith("link del")) {
      get(device);
      links.delete(device);
      for (const other of links.values()) if (other.master === device) other.master = undefined;
      for (const [name, other] of links) if (other.vlan?.on === device) links.delete(name);
      routes = routes.filter((one) => links.has(one.device));
    } else if (line.startsWith("link set")) {
      const link = get(device);
      if (words.includes("up")) link.isUp = true;
      if (words.includes("down")) link.isUp = false;
      if (words.includes("mtu")) link.mtu = Number(after("mtu"));
      if (words.includes("nomaster")) link.master = undefined;
      if (words.includes("master")) {
        if (link.isUp || get(after("master")).kind !== "bond") throw new Error(`${line}: Operation not permitted`);
        link.master = after("master");
      }
    } else if (line.startsWith("address")) {
      const link = get(device);
      const cidr = parseCidr(words[2] ?? "");
      if (cidr === undefined) throw new Error(line);
      const has = link.addresses.some((one) => one.address === cidr.address && one.prefix === cidr.prefix);
      if (has === line.startsWith("address add")) throw new Error(`${line}: File exists, or not`);
      link.addresses = has ? link.addresses.filter((one) => one.address !== cidr.address) : [...link.addresses, cidr];
    } else if (line.startsWith("route replace default")) routes = [{ gateway: after("via"), device }];
    else if (line.startsWith("route del default")) {
      if (!routes.some((one) => one.gateway === after("via"))) throw new Error(`${line}: No such process`);
      routes = [];
    } else throw new Error(`Cannot do "${line}"`);
  }
  return { links: [...links.values()], defaultRoutes: routes };
}
