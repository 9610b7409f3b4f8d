import { CodedError } from "../base/error.ts";
import type { HolderConfig, VirtualAddress } from "./config.ts";
import type { NftPort } from "./ports.ts";

/**
 * Power-changing IPMI sessions use one of these source ports; the kernel lets them out only under a live token, to whatever port: a
 * BMC need not listen on 623. Nothing else gets these ports (`net.ipv4.ip_local_reserved_ports`, parts/gate.ts).
 */
export const POWER_SOURCE_PORTS = { first: 60600, last: 60699 } as const;

const TABLE = "netdev lease";
/** A datagram of the power range that would leave by an interface without a gate stops here. */
const GUARD_TABLE = "inet lease_power";
/** Before every other hook, the kernel's own defragmentation (-400) aside. */
const PRIORITY = -300;

/** What the gate is built for. */
export type LeaseTableConfig = Pick<HolderConfig, "vips" | "powerInterfaces">;

/** The packet lease in the kernel. Each call is one transaction of nftables; a result is undefined or the error's text. */
export interface LeaseTable {
  /**
   * (Re)builds both tables in one step, so that no packet ever passes between the old and the new, and reads them back.
   * Of the power interfaces only those in `present` get a hook: through the others no power datagram leaves.
   */
  load(present: readonly string[]): string | undefined;
  /** Whether the tables are, to the letter, what `load` read back. About 0.3 ms. */
  verify(): boolean;
  /** Starts the life of a token: from now, `lifetimeMs`. Called before the round is sent. */
  addLive(token: number, lifetimeMs: number): string | undefined;
  /** Makes packets name this token from now on: power datagrams always, the VIP's own if `isForVip`. */
  activate(token: number, isForVip: boolean): string | undefined;
  /** Ends the VIP's part only; power datagrams go on under the live token. */
  flushVip(): string | undefined;
  /** Ends everything at once. */
  flush(): string | undefined;
}

/** Nothing is touched before the first call. */
export function createLeaseTable(config: LeaseTableConfig, nft: NftPort): LeaseTable {
  let sound: string | undefined;
  const read = (): string | undefined => {
    const lease = nft.run(`list table ${TABLE}`);
    const guard = nft.run(`list table ${GUARD_TABLE}`);
    return lease.ok && guard.ok ? lease.output + guard.output : undefined;
  };
  const run = (commands: string): string | undefined => {
    const result = nft.run(commands);
    return result.ok ? undefined : result.error;
  };
  return {
    load: (present) => {
      sound = undefined;
      const powerInterfaces = config.powerInterfaces.filter((name) => present.includes(name));
      const loaded = { vips: config.vips, powerInterfaces };
      const error = run(leaseTableText(loaded));
      if (error !== undefined) return error;
      const text = read();
      const missing = text === undefined ? "the tables" : missingPart(loaded, text);
      if (missing !== undefined) return `after loading the packet lease, ${missing} cannot be read back`;
      sound = text;
      return undefined;
    },
    verify: () => sound !== undefined && read() === sound,
    addLive: (token, lifetimeMs) =>
      run(`add element ${TABLE} live { ${mark(token)} timeout ${Math.floor(lifetimeMs)}ms }`),
    activate: (token, isForVip) => {
      const value = mark(token);
      const vip = isForVip ? `; add element ${TABLE} vip { ip : ${value}, arp : ${value}, ip6 : ${value} }` : "";
      const power = `; add element ${TABLE} power { ip : ${value}, ip6 : ${value} }`;
      return run(`flush map ${TABLE} vip; flush map ${TABLE} power${vip}${power}`);
    },
    flushVip: () => run(`flush map ${TABLE} vip`),
    flush: () => run(`flush map ${TABLE} vip; flush map ${TABLE} power; flush set ${TABLE} live`),
  };
}

/**
 * The tables as text for nft: also what init loads before a link comes up. Loading it twice is fine: what was there
 * before is replaced in the same transaction. The gate is closed until a token is active.
 */
export function leaseTableText(config: LeaseTableConfig): string {
  const chains = gatedInterfaces(config).flatMap((name, index) => [
    inChain(config, name, index),
    outChain(config, name, index),
  ]);
  const power = [...new Set(config.powerInterfaces)].map(quoted).join(", ");
  const elsewhere = power === "" ? "" : `oifname != { ${power} } `;
  // nftables 1.0.6 wants a newline before each closing brace.
  return `add table ${TABLE}
delete table ${TABLE}
add table ${GUARD_TABLE}
delete table ${GUARD_TABLE}
table ${GUARD_TABLE} {
  chain out {
    type filter hook output priority ${PRIORITY}; policy accept;
    ${POWER_MATCH} ${elsewhere}drop
  }
}
table ${TABLE} {
  set live { type mark; flags timeout;
  }
  map vip { type ether_type : mark;
  }
  map power { type ether_type : mark;
  }
  chain gate_vip {
    meta mark set 0
    meta mark set meta protocol map @vip
    meta mark != @live drop
    meta mark set 0
  }
  chain gate_power {
    meta mark set 0
    meta mark set meta protocol map @power
    meta mark != @live drop
    meta mark set 0
  }
${chains.map((chain) => `  ${chain}\n`).join("")}}
`;
}

const POWER_MATCH = `udp sport ${POWER_SOURCE_PORTS.first}-${POWER_SOURCE_PORTS.last}`;

/** The interfaces that get hooks, each once, in a stable order: the chains are numbered by it. */
export function gatedInterfaces(config: LeaseTableConfig): string[] {
  return [...new Set([...config.vips.map((vip) => vip.interface), ...config.powerInterfaces])];
}

function inChain(config: LeaseTableConfig, name: string, index: number): string {
  const vips = config.vips.filter((vip) => vip.interface === name);
  const rules = vips.flatMap((vip) => [announcementRule(vip), ...addressRules(vip, "daddr")]);
  return chain(`in${index}`, "ingress", name, rules);
}

function outChain(config: LeaseTableConfig, name: string, index: number): string {
  const rules = config.vips.filter((vip) => vip.interface === name).flatMap((vip) => addressRules(vip, "saddr"));
  if (config.powerInterfaces.includes(name)) rules.push(`${POWER_MATCH} jump gate_power`);
  return chain(`out${index}`, "egress", name, rules);
}

function chain(name: string, hook: string, device: string, rules: readonly string[]): string {
  const head = `type filter hook ${hook} device ${quoted(device)} priority ${PRIORITY}; policy accept;`;
  return `chain ${name} {\n    ${[head, ...rules].join("\n    ")}\n  }`;
}

/** IPv6 adds its own pair here: `ip6 daddr|saddr` and the target of neighbour solicitations and advertisements. */
function addressRules(vip: VirtualAddress, side: "saddr" | "daddr"): string[] {
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(vip.address)) {
    throw new CodedError("vip-config", `Cannot guard "${vip.address}": not an IPv4 address`);
  }
  return [`ip ${side} ${vip.address} jump gate_vip`, `arp ${side} ip ${vip.address} jump gate_vip`];
}

/**
 * The holder's announcements are heard without a token too: a box that has heard one needs no probe when it takes over.
 * Nothing can come of it but hearing: whatever a kernel says for the address has to leave by the egress hook.
 */
function announcementRule({ address }: VirtualAddress): string {
  return `arp saddr ip ${address} arp daddr ip ${address} accept`;
}

/** The first hook or rule that the kernel's own listing lacks. */
function missingPart(config: LeaseTableConfig, text: string): string | undefined {
  for (const [index, name] of gatedInterfaces(config).entries()) {
    for (const [chainName, hook, built] of [
      [`in${index}`, "ingress", inChain(config, name, index)],
      [`out${index}`, "egress", outChain(config, name, index)],
    ] as const) {
      const body = new RegExp(`chain ${chainName} \\{([^}]*)\\}`).exec(text)?.[1] ?? "";
      if (!body.includes(`hook ${hook} device ${quoted(name)}`)) return `the ${hook} hook of interface "${name}"`;
      const jumps = (chainText: string): number => chainText.split(" jump gate_").length - 1;
      if (jumps(body) !== jumps(built)) return `a rule of the ${hook} hook of interface "${name}"`;
    }
  }
  return undefined;
}

function mark(token: number): string {
  if (!Number.isInteger(token) || token <= 0 || token > 0xffffffff) {
    throw new CodedError("vip-token", `Cannot use token ${token}: not in 1 … 2^32 − 1`);
  }
  return `0x${token.toString(16)}`;
}

function quoted(name: string): string {
  if (!/^[A-Za-z0-9_.:@-]{1,15}$/.test(name)) {
    throw new CodedError("vip-config", `Cannot guard interface "${name}": not an interface name`);
  }
  return `"${name}"`;
}
