/**
 * What box.conf says of this machine's network: `INTERFACE` sections, one for each link that ringfence sets up, names and
 * servers in `NETWORK`, and `SSH_KEY` lines. IPv4, as the VIP is.
 */

/** An address with the prefix of its net. */
export interface Cidr {
  readonly address: string;
  readonly prefix: number;
}

export interface InterfaceSetting {
  readonly name: string;
  /** "dhcp", or what is set; none for a link that only carries others. */
  readonly addresses: "dhcp" | readonly Cidr[];
  readonly gateway: string | undefined;
  readonly mtu: number | undefined;
  /** A VLAN on another link. */
  readonly vlan: { readonly id: number; readonly on: string } | undefined;
  readonly bond: { readonly members: readonly string[]; readonly mode: BondMode } | undefined;
}

export const BOND_MODES = ["active-backup", "802.3ad", "balance-xor", "balance-alb"] as const;
export type BondMode = (typeof BOND_MODES)[number];

export interface NetworkSettings {
  readonly hostname: string | undefined;
  readonly dns: readonly string[];
  /** Names or addresses of time servers. */
  readonly ntp: readonly string[];
  readonly sshKeys: readonly string[];
  readonly interfaces: readonly InterfaceSetting[];
}

/** One section or line as it was read, with a way to complain about it. */
export interface Located {
  readonly items: Readonly<Record<string, string>>;
  problem(message: string): void;
}

/** The length of a link's name in the kernel. */
const LINK_NAME = /^[A-Za-z0-9_.-]{1,15}$/;
const HOST_NAME = /^(?=.{1,63}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$/;
const SERVER_NAME = /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/;
const SSH_KEY =
  /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]{40,}={0,3}( [^\n\r]*)?$/;
const SERVERS_MAX = 8;

/** Reads the sections; every mistake is a problem of its section, and what is mistaken is left out. */
export function networkOf(
  network: Located | undefined,
  interfaces: readonly Located[],
  sshKeys: readonly { readonly text: string; problem(message: string): void }[],
): NetworkSettings {
  const read = interfaces.map((section) => ({ section, setting: interfaceOf(section) }));
  checkTogether(read, network);
  return {
    hostname: hostnameOf(network),
    dns: serversOf(network, "DNS", (word) => parseAddress(word) !== undefined, "an IPv4 address"),
    ntp: serversOf(network, "NTP", (word) => SERVER_NAME.test(word), "a name or an address"),
    sshKeys: sshKeys.flatMap(({ text, problem }) => {
      if (SSH_KEY.test(text)) return [text];
      problem(`SSH_KEY = "${text.slice(0, 40)}" is not a line of an .pub file: ssh-ed25519 AAAA… name`);
      return [];
    }),
    interfaces: read.flatMap(({ setting }) => (setting === undefined ? [] : [setting])),
  };
}

/** `10.0.0.2/24`; undefined for anything else. */
export function parseCidr(text: string): Cidr | undefined {
  const [, address = "", prefix = ""] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  if (parseAddress(address) === undefined) return undefined;
  return Number(prefix) >= 1 && Number(prefix) <= 32 ? { address, prefix: Number(prefix) } : undefined;
}

/** An IPv4 address as a number; undefined for anything else. */
export function parseAddress(text: string): number | undefined {
  const parts = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)?.slice(1).map(Number);
  if (parts === undefined || parts.some((part) => part > 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

/** Whether two addresses are of one net. */
export function isInNet(address: string, { address: own, prefix }: Cidr): boolean {
  const size = 2 ** (32 - prefix);
  const [a, b] = [parseAddress(address), parseAddress(own)];
  return a !== undefined && b !== undefined && Math.floor(a / size) === Math.floor(b / size);
}

function hostnameOf(network: Located | undefined): string | undefined {
  const text = network?.items["HOSTNAME"];
  if (text === undefined || HOST_NAME.test(text)) return text;
  network?.problem(`NETWORK: HOSTNAME = "${text}" is not a host name: letters, digits and "-", 63 at most`);
  return undefined;
}

function serversOf(
  network: Located | undefined,
  key: string,
  isGood: (word: string) => boolean,
  what: string,
): readonly string[] {
  const words = wordsOf(network?.items[key]);
  for (const word of words) if (!isGood(word)) network?.problem(`NETWORK: ${key} = "${word}" is not ${what}`);
  if (words.length > SERVERS_MAX)
    network?.problem(`NETWORK: ${key} has ${words.length} servers, ${SERVERS_MAX} at most`);
  return words.filter(isGood).slice(0, SERVERS_MAX);
}

function interfaceOf({ items, problem }: Located): InterfaceSetting | undefined {
  const name = items["NAME"] ?? "";
  if (!LINK_NAME.test(name) || name === "lo") {
    problem(`INTERFACE: NAME = "${name}" is not the name of a link: eth0`);
    return undefined;
  }
  const complain = (message: string): undefined => problem(`INTERFACE ${name}: ${message}`) as undefined;
  const addresses = addressesOf(items["ADDRESS"] ?? "", complain);
  return {
    ...{ name, addresses, gateway: gatewayOf(items["GATEWAY"], addresses, complain) },
    mtu: numberOf(items["MTU"], "MTU", 576, 9216, complain),
    vlan: vlanOf(items, complain),
    bond: bondOf(items, name, complain),
  };
}

type Complain = (message: string) => undefined;

function addressesOf(text: string, complain: Complain): "dhcp" | readonly Cidr[] {
  if (text.toLowerCase() === "dhcp") return "dhcp";
  if (text.toLowerCase() === "none") return [];
  return wordsOf(text).flatMap((word) => {
    const cidr = parseCidr(word);
    if (cidr === undefined) complain(`ADDRESS = "${word}" is neither dhcp nor none nor an address such as 10.0.0.2/24`);
    return cidr === undefined ? [] : [cidr];
  });
}

function gatewayOf(
  text: string | undefined,
  addresses: "dhcp" | readonly Cidr[],
  complain: Complain,
): string | undefined {
  if (text === undefined) return undefined;
  if (addresses === "dhcp") return complain("GATEWAY comes with dhcp: leave it out");
  if (parseAddress(text) === undefined) return complain(`GATEWAY = "${text}" is not an IPv4 address`);
  const net = addresses.find((one) => isInNet(text, one));
  if (net === undefined) return complain(`GATEWAY = "${text}" is in none of its nets`);
  return net.address === text ? complain(`GATEWAY = "${text}" is the box's own address`) : text;
}

function vlanOf(items: Located["items"], complain: Complain): InterfaceSetting["vlan"] {
  const { VLAN: id, ON: on } = items;
  if (id === undefined && on === undefined) return undefined;
  if (id === undefined || on === undefined) return complain("a VLAN needs both VLAN and ON: VLAN = 30, ON = eth0");
  const number = numberOf(id, "VLAN", 1, 4094, complain);
  if (!LINK_NAME.test(on)) return complain(`ON = "${on}" is not the name of a link`);
  return number === undefined ? undefined : { id: number, on };
}

function bondOf(items: Located["items"], name: string, complain: Complain): InterfaceSetting["bond"] {
  const { BOND: text, MODE: modeText = "active-backup" } = items;
  if (text === undefined)
    return items["MODE"] === undefined ? undefined : complain("MODE is a bond's: BOND is missing");
  const members = wordsOf(text);
  const mode = BOND_MODES.find((one) => one === modeText.toLowerCase());
  if (mode === undefined) return complain(`MODE = "${modeText}" is not one of ${BOND_MODES.join(", ")}`);
  if (items["VLAN"] !== undefined) return complain("a link is a bond or a VLAN: put the VLAN on the bond");
  if (members.length === 0 || members.some((one) => !LINK_NAME.test(one) || one === name))
    return complain(`BOND = "${text}" does not name links: BOND = "eth0 eth1"`);
  return { members, mode };
}

/** What no section can see by itself. */
function checkTogether(
  read: readonly { readonly section: Located; readonly setting: InterfaceSetting | undefined }[],
  network: Located | undefined,
): void {
  const names = new Set<string>();
  const seen = new Set<string>();
  const members = new Map<string, string>();
  for (const { setting } of read)
    for (const member of setting?.bond?.members ?? []) members.set(member, setting?.name ?? "");
  const taken = new Map<string, string>();
  let gateway: string | undefined;
  for (const { section, setting } of read) {
    if (setting === undefined) continue;
    const complain = (message: string): void => section.problem(`INTERFACE ${setting.name}: ${message}`);
    if (names.has(setting.name)) complain("is set twice");
    names.add(setting.name);
    const bond = members.get(setting.name);
    if (bond !== undefined) complain(`is a member of ${bond}, which has the addresses: leave its section out`);
    if (setting.vlan !== undefined && members.has(setting.vlan.on))
      complain(`ON = "${setting.vlan.on}" is a member of ${members.get(setting.vlan.on)}: put the VLAN on that`);
    for (const member of setting.bond?.members ?? []) {
      if (taken.has(member)) complain(`${member} is in ${taken.get(member)} already`);
      taken.set(member, setting.name);
    }
    if (setting.gateway !== undefined && gateway !== undefined) complain(`a second GATEWAY: ${gateway} has one`);
    if (setting.gateway !== undefined) gateway = setting.name;
    for (const { address } of setting.addresses === "dhcp" ? [] : setting.addresses) {
      if (seen.has(address)) complain(`the address ${address} is given twice`);
      seen.add(address);
    }
  }
  checkLoops(read);
  const management = network?.items["MGMT"];
  const isOpen = read.length === 0 || read.some(({ setting }) => setting?.addresses === "dhcp");
  if (management !== undefined && !isOpen && !seen.has(management))
    network?.problem(`NETWORK: MGMT = "${management}" is the address of no INTERFACE`);
}

/** A VLAN on a VLAN is possible; on itself it is not. */
function checkLoops(
  read: readonly { readonly section: Located; readonly setting: InterfaceSetting | undefined }[],
): void {
  const on = new Map(read.map(({ setting }) => [setting?.name ?? "", setting?.vlan?.on]));
  for (const { section, setting } of read) {
    let at = setting?.vlan?.on;
    for (let depth = 0; at !== undefined && depth <= read.length; depth++) at = on.get(at);
    if (at !== undefined) section.problem(`INTERFACE ${setting?.name}: is in the end a VLAN on itself`);
  }
}

function numberOf(
  text: string | undefined,
  key: string,
  least: number,
  largest: number,
  complain: Complain,
): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= largest) return value;
  return complain(`${key} = "${text}" is not a whole number in ${least} … ${largest}`);
}

function wordsOf(text: string | undefined): readonly string[] {
  return (text ?? "").split(/[\s,]+/).filter((word) => word !== "");
}
