import { type Attributes, getVectors, parseStored, type Vector } from "../../one/attributes.ts";
import { parseXml } from "../../one/xml.ts";
import type { Context } from "../command.ts";
import { textAt } from "../document.ts";
import { CommandFailure } from "../failure.ts";
import { quoted } from "../format.ts";
import { type Kind, resolveId } from "../objects.ts";
import { type BoxStatus, type FenceStatus, readAnswer } from "./answers.ts";
import { look } from "./look.ts";
import { printFenceStatus } from "./status.ts";
import { typed } from "./typed.ts";

const HOST: Kind = { method: "host", element: "HOST", isOwned: false };

export async function arm({ rpc }: Context): Promise<void> {
  await rpc.write("ringfence.fence.arm");
}

export async function disarm({ rpc, words }: Context): Promise<void> {
  await rpc.write("ringfence.fence.disarm", words[0] ?? "");
}

export async function fenceStatus({ rpc, terminal, options }: Context): Promise<void> {
  const text = await rpc.read("ringfence.fence.status");
  if (options.has("json")) return terminal.out(`${JSON.stringify(JSON.parse(text), null, 2)}\n`);
  printFenceStatus(terminal, readAnswer<FenceStatus>(text, "hosts"));
}

/** A person says that a host is off: shows what is known, asks for its name, and puts that on the record. */
export async function confirm(context: Context): Promise<void> {
  const { rpc, terminal, options, words } = context;
  const domain = ["rack", "switch", "pdu"].find((tag) => options.has(tag));
  if (domain !== undefined) {
    const value = options.get(domain) ?? "";
    await typed(
      context,
      value,
      `Every host with ${domain.toUpperCase()}="${value}" that waits is taken for off. To confirm, type ${value}: `,
    );
    terminal.out(`${await rpc.write("ringfence.fence.confirmdomain", domain, value)} hosts are confirmed as off.\n`);
    return;
  }
  const word = words[0];
  if (word === undefined) throw new CommandFailure("Need a host, or one of --rack, --switch, --pdu");
  const id = await resolveId(context, HOST, word);
  const { fencing, leader } = await look(rpc);
  const host = fencing.hosts.find((one) => one.id === id);
  if (host === undefined) throw new CommandFailure(`There is no host ${id}`);
  // Nothing to confirm: the front-end says so, without a question before.
  if (host.state === "HEALTHY") return void (await rpc.write("ringfence.fence.confirm", id, host.name));
  const level = leader?.levels.find((one) => one.hostId === id)?.inference.kind ?? "not known";
  terminal.err(
    `Host ${host.name}: ${host.state}${host.reason === "" ? "" : `, ${host.reason}`}; boxes see it as: ${level}\nIts VMs will be started elsewhere. If it still runs, their disks are destroyed. Go and look that it is off.\n`,
  );
  await typed(context, host.name, `To confirm that it is off, type its name: `);
  await rpc.write("ringfence.fence.confirm", id, host.name);
  terminal.out(`Host ${host.name} is confirmed as off, for this failure only.\n`);
}

/** How long `bind` waits until both sides have been read, and how often it looks. */
const READ_MS_MAX = 10_000;
const READ_POLL_MS = 500;

/** Shows a host's machine UUID and its BMC's GUID side by side, and stores the pair. */
export async function bind(context: Context): Promise<void> {
  const { rpc, terminal, words } = context;
  const id = await resolveId(context, HOST, words[0] ?? "");
  const look = async () => {
    const here = readAnswer<BoxStatus>(await rpc.read("ringfence.status"), "cluster");
    const uuid = here.hosts.find((one) => one.hostId === id)?.uuid ?? "";
    const readiness = here.readiness.find((one) => one.hostId === id);
    return { uuid, guid: readiness?.guid ?? "", readiness };
  };
  // A host that was created a moment ago is being read.
  let found = await look();
  if (found.uuid === "" || found.guid === "")
    terminal.err(`Waits until the host's libvirt and its BMC have been read, for ${READ_MS_MAX / 1000} s at most.\n`);
  for (const end = performance.now() + READ_MS_MAX; found.uuid === "" || found.guid === ""; found = await look()) {
    if (performance.now() > end) break;
    await Bun.sleep(READ_POLL_MS);
  }
  const { uuid, guid, readiness } = found;
  terminal.out(`machine (libvirt)  ${uuid === "" ? "not read yet" : dashed(uuid)}\n`);
  terminal.out(
    `BMC                ${guid === "" ? `not read yet${readiness === undefined || readiness.reason === "" ? "" : `: ${readiness.reason}`}` : dashed(guid)}\n`,
  );
  if (uuid === "" || guid === "")
    throw new CommandFailure("Both must have been read; ringfence status says what is missing.");
  const agree = agreement(uuid, guid);
  terminal.out(`${AGREEMENT[agree]}\n`);
  await typed(context, "yes", "Store this pair? Type yes: ", "Nothing was stored.");
  await rpc.write("ringfence.fence.bind", id, guid, uuid);
  terminal.out("The pair is stored.\n");
}

const AGREEMENT = {
  same: "They are the same.",
  swapped: "They are the same; the BMC swaps the bytes of the first three fields.",
  different: "They differ. Many BMCs have a number of their own: make sure that this BMC is the one of this machine.",
} as const;

function agreement(uuid: string, guid: string): keyof typeof AGREEMENT {
  const [a, b] = [hex(uuid), hex(guid)];
  if (a === b) return "same";
  return a === swapped(b) ? "swapped" : "different";
}

/** The first three fields of a UUID in the other byte order (SMBIOS 2.6 section 7.2.1). */
function swapped(text: string): string {
  const reverse = (part: string): string => (part.match(/../g) ?? []).reverse().join("");
  return `${reverse(text.slice(0, 8))}${reverse(text.slice(8, 12))}${reverse(text.slice(12, 16))}${text.slice(16)}`;
}

function hex(text: string): string {
  return text.replaceAll("-", "").toLowerCase();
}

function dashed(text: string): string {
  return hex(text).replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** The options of `fence set` and their keys in a FENCE section; `--user` is who one is oneself. */
const KEYS: Readonly<Record<string, string>> = {
  level: "LEVEL",
  method: "METHOD",
  address: "ADDRESS",
  port: "PORT",
  "bmc-user": "USER",
  privilege: "PRIVILEGE",
  cipher: "CIPHER",
};

/** Gives a host's FENCE section its password, read from standard input: it never stands on a command line. */
export async function setFence(context: Context): Promise<void> {
  const { rpc, terminal, options, words } = context;
  const id = await resolveId(context, HOST, words[0] ?? "");
  const source = await rpc.read("one.host.info", id, false);
  const template = /<TEMPLATE>(.*)<\/TEMPLATE>/s.exec(source)?.[1] ?? "";
  const sections = fenceSections(parseStored(template));
  const level = options.get("level");
  const matching = sections.filter((section) => level === undefined || (section["LEVEL"] ?? "1") === level);
  if (matching.length > 1)
    throw new CommandFailure(`Host ${id} has ${matching.length} FENCE sections: choose one with --level`);
  const changes = Object.fromEntries(
    Object.entries(KEYS).flatMap(([name, key]) => (options.has(name) ? [[key, options.get(name) ?? ""]] : [])),
  );
  const before = matching[0] ?? { METHOD: "ipmi" };
  const section: Vector = { ...before, ...changes, PASSWORD: readPassword(context) };
  if (!section["ADDRESS"])
    throw new CommandFailure(
      `Host ${textAt(parseXml(source), "NAME")} has no FENCE section yet: give --address and --bmc-user`,
    );
  const all =
    matching[0] === undefined ? [...sections, section] : sections.map((one) => (one === matching[0] ? section : one));
  await rpc.write("one.host.update", id, all.map(sectionText).join("\n"), 1);
  terminal.out(`FENCE of host ${id} is set; ringfence status shows when its BMC was tried.\n`);
}

function fenceSections(template: Attributes): readonly Vector[] {
  return getVectors(template, "FENCE");
}

function readPassword({ terminal }: Context): string {
  const [line = ""] = terminal.readInput().split("\n");
  if (line === "")
    throw new CommandFailure("The password is read from standard input: echo PASSWORD | ringfence fence set HOST");
  return line.replace(/\r$/, "");
}

function sectionText(section: Vector): string {
  const items = Object.entries(section).map(([key, value]) => `${key}=${quoted(value)}`);
  return `FENCE=[ ${items.join(", ")} ]`;
}
