/** A cluster on the rack by the commands that an operator types: nothing is copied by hand but what an operator copies. */
import { readFileSync } from "node:fs";
import { CodedError } from "../../../src/base/error.ts";
import { PATIENCE } from "../patience.ts";
import { guestTemplate } from "../rack/guest/template.ts";
import { nodeDataDirectory } from "../rack/place.ts";
import type { Rack, RackHost, RackNode } from "../rack/rack.ts";
import type { RackClient } from "./client.ts";

/** What `ringfence status --json` says, as far as demo and benches look at it. */
export interface BoxStatus {
  readonly box: { readonly serverId: number; readonly name: string };
  readonly cluster: {
    readonly role: string;
    readonly term: number;
    readonly leader: string;
    readonly commit: number;
    readonly applied: number;
    readonly members: readonly {
      readonly serverId: number;
      readonly raftId: string;
      readonly peerAddress: string;
      readonly isVoter: boolean;
      readonly match: number | null;
      readonly name: string;
      readonly build: string | null;
    }[];
    readonly level: number;
    readonly timings: string;
    readonly leaseMs: number;
    readonly roundMs: number;
  };
  readonly levels: readonly { readonly hostId: number; readonly kind: string }[];
  readonly readiness: readonly {
    readonly hostId: number;
    readonly isReady: boolean;
    readonly answeringForMs: number;
  }[];
}

/** One host's line of `ringfence fence status`. */
export interface FenceStatus {
  readonly id: number;
  readonly name: string;
  readonly state: string;
  readonly failure: number;
  readonly reason: string;
  readonly marks: Readonly<Record<string, number>>;
}

/** What a box says to a write that it has refused because the cluster elects: asked again, as a person does. */
const ELECTS = /cluster in election mode/;
const ELECTION_MS = 20_000;

/** Runs a command of the product in a box; throws with its complaint when it fails. */
export async function command(box: RackNode, words: readonly string[], stdin?: string): Promise<string> {
  const run = () => box.exec(words, stdin === undefined ? {} : { stdin });
  let result = await run();
  const deadline = performance.now() + ELECTION_MS * pace.patience;
  while (result.code !== 0 && ELECTS.test(result.stderr) && performance.now() < deadline) {
    await Bun.sleep(pace.everyMs);
    result = await run();
  }
  if (result.code === 0) return result.stdout;
  throw new CodedError(
    "DEMO_COMMAND",
    `${box.name}$ ${words.join(" ")}: exit code ${result.code}: ${(result.stderr || result.stdout).trim()}`,
  );
}

/** How the boxes are asked. Emulated machines answer slower, and each question and each write costs them. */
const PACES = {
  native: { answerMs: 1000, everyMs: 100, writePauseMs: 0, patience: PATIENCE },
  emulated: { answerMs: 5000, everyMs: 1000, writePauseMs: 500, patience: 3 * PATIENCE },
};
let pace = PACES.native;

/** From now on, for all of this process. */
export function setPace(name: keyof typeof PACES): void {
  pace = PACES[name];
}

/** `writePauseMs`: of each writer before each write. */
export function paceNow(): (typeof PACES)["native"] {
  return pace;
}

/** `withinMs`: on a quiet machine, natively. */
export async function until(
  what: string,
  withinMs: number,
  isTrue: () => Promise<boolean>,
  everyMs = pace.everyMs,
): Promise<void> {
  const patienceMs = withinMs * pace.patience;
  const deadline = performance.now() + patienceMs;
  for (;;) {
    if (await isTrue()) return;
    if (performance.now() > deadline)
      throw new CodedError("DEMO_TIMEOUT", `Waited ${patienceMs / 1000} s in vain: ${what}`);
    await Bun.sleep(everyMs);
  }
}

export function endpoint(box: RackNode): string {
  return `http://${box.address}:2633/RPC2`;
}

/** The box's own view; undefined while it does not answer. */
export async function statusOf(client: RackClient, url?: string): Promise<BoxStatus | undefined> {
  const answer = await client.call("ringfence.status", [], url === undefined ? {} : { url, timeoutMs: pace.answerMs });
  return answer.kind === "ok" ? (JSON.parse(answer.value) as BoxStatus) : undefined;
}

export async function fenceStatus(client: RackClient): Promise<readonly FenceStatus[]> {
  const answer = await client.call("ringfence.fence.status", [], { timeoutMs: pace.answerMs });
  return answer.kind === "ok" ? (JSON.parse(answer.value) as { hosts: FenceStatus[] }).hosts : [];
}

/** Founds the cluster on box0 and lets the others join by token. Afterwards the client has oneadmin's session. */
export async function formCluster(rack: Rack, client: RackClient, say: (text: string) => void): Promise<void> {
  const first = rack.box(0);
  const authFile = `${nodeDataDirectory(rack.place, first.name)}/lib/.one/one_auth`;
  await until("box0 founds a cluster", 20_000, async () => {
    try {
      client.session = readFileSync(authFile, "utf8").trim();
    } catch {
      return false;
    }
    return (await statusOf(client, endpoint(first)))?.cluster.role === "leader";
  });
  for (const box of rack.boxes) {
    const added = await command(first, ["onezone", "server-add", "0", "--name", box.name, "--rpc", endpoint(box)]);
    if (box === first) continue;
    const token = added.trimEnd().split("\n").at(-1) ?? "";
    await command(box, ["ringfence", "join", token]);
    say(`${box.name} joins with a token`);
  }
  await until("all boxes are voters", 30_000, async () => {
    const members = (await statusOf(client, endpoint(first)))?.cluster.members ?? [];
    return members.length === rack.boxes.length && members.every((member) => member.isVoter);
  });
}

/** What an operator writes about a hypervisor: where it is, and how it is fenced. */
export function hostTemplate(rack: Rack, host: RackHost): string {
  const password = readFileSync(rack.bmcPasswordFile, "utf8").trim();
  return `SSH_ADDRESS = "${host.address}"
FENCE = [ METHOD = "ipmi", ADDRESS = "${host.bmc.address}", USER = "${rack.bmcUser}", PASSWORD = "${password}" ]
`;
}

/** Adds every hypervisor with its BMC's address, credentials and identity. */
export async function addHosts(rack: Rack, client: RackClient, say: (text: string) => void): Promise<void> {
  const box = rack.box(0);
  const key = (await command(box, ["ringfence", "ssh-key"])).trim();
  for (const host of rack.hosts) {
    host.authorize(key);
    await command(box, ["sh", "-c", `umask 077; cat >/tmp/${host.name}.txt`], hostTemplate(rack, host));
    await command(box, ["onehost", "create", host.name, "--im", "kvm", "--vm", "kvm", "-f", `/tmp/${host.name}.txt`]);
  }
  await until("all hosts are monitored and their BMCs answer", 40_000, async () => {
    const status = await statusOf(client);
    const isUp = (hostId: number): boolean =>
      status?.levels.some((one) => one.hostId === hostId && one.kind === "host-up") ?? false;
    const isKnown = (hostId: number): boolean =>
      status?.readiness.some((one) => one.hostId === hostId && one.answeringForMs > 0) ?? false;
    return rack.hosts.every((_, hostId) => isUp(hostId) && isKnown(hostId));
  });
  for (const host of rack.hosts) await command(box, ["ringfence", "fence", "bind", host.name, "--yes"]);
  say(`${rack.hosts.length} hypervisors, each bound to its BMC`);
}

export interface StartedGuest {
  readonly vmId: number;
  readonly name: string;
  readonly address: string;
  readonly diskPath: string;
}

/** Starts guest `number` from a template of its own and waits until its VM is RUNNING. */
export async function startGuest(rack: Rack, client: RackClient, number: number): Promise<StartedGuest> {
  const guest = await rack.guest(number);
  const box = rack.box(0);
  await command(box, ["sh", "-c", `cat >/tmp/${guest.name}.txt`], guestTemplate(guest));
  await command(box, ["onetemplate", "create", `/tmp/${guest.name}.txt`]);
  const printed = await command(box, ["onetemplate", "instantiate", guest.name, "--name", guest.name]);
  const vmId = Number(/(\d+)\s*$/.exec(printed.trim())?.[1]);
  await until(`VM ${guest.name} runs`, 30_000, async () => (await vmOf(client, vmId))?.isRunning === true);
  return { vmId, name: guest.name, address: guest.address, diskPath: guest.diskPath };
}

export interface VmView {
  readonly isRunning: boolean;
  readonly state: string;
  /** Name of the host of its last history record. */
  readonly host: string;
}

export async function vmOf(client: RackClient, vmId: number): Promise<VmView | undefined> {
  const answer = await client.call("one.vm.info", [vmId], { timeoutMs: pace.answerMs });
  if (answer.kind !== "ok") return undefined;
  const text = (name: string): string =>
    new RegExp(`<${name}>(?:<!\\[CDATA\\[)?([^<\\]]*)`).exec(answer.value)?.[1] ?? "";
  const host = [...answer.value.matchAll(/<HOSTNAME>(?:<!\[CDATA\[)?([^<\]]*)/g)].at(-1)?.[1] ?? "";
  const state = `${text("STATE")}/${text("LCM_STATE")}`;
  return { isRunning: state === "3/3", state, host };
}

/** Waits until a proof by any BMC is worth something: one that began to answer less than a minute ago is not believed. */
export async function waitForReadyBmcs(rack: Rack, client: RackClient): Promise<void> {
  await until(
    "the BMCs have answered for a minute",
    120_000,
    async () => {
      const status = await statusOf(client);
      return rack.hosts.every(
        (_, hostId) =>
          status?.readiness.some((one) => one.hostId === hostId && one.isReady && one.answeringForMs > 61_000) ?? false,
      );
    },
    500,
  );
}
