/** A rack on which the product runs as one cluster, for the tests of the whole: how it is made, and how a level is waited for. */
import { existsSync, readFileSync } from "node:fs";
import { type BoxStatus, endpoint, hostTemplate, paceNow, statusOf } from "../support/demo/bootstrap.ts";
import { RackClient, type Written } from "../support/demo/client.ts";
import type { RpcAnswer, RpcArgument } from "../support/demo/xml-rpc.ts";
import { PATIENCE } from "../support/patience.ts";
import { monotonicMs } from "../support/rack/command.ts";
import { type Guest, guestTemplate } from "../support/rack/guest/template.ts";
import { nodeDataDirectory } from "../support/rack/place.ts";
import type { Rack, RackNode } from "../support/rack/rack.ts";
import type { UpOptions } from "../support/rack/up.ts";
import { freshRack } from "./fresh-rack.ts";

/** One line of `ringfence.fence.status`. */
export interface FenceLine {
  readonly id: number;
  readonly name: string;
  readonly state: string;
  readonly failure: number;
  readonly attempt: number;
  readonly reasonCode: string;
  readonly reason: string;
  readonly proofs: readonly { readonly kind: string }[];
  readonly marks: Readonly<Record<string, number>>;
}

export interface Stage {
  readonly rack: Rack;
  readonly client: RackClient;
  /** The token that each joined box was let in with, by its number. */
  readonly tokens: ReadonlyMap<number, string>;
  down(): Promise<void>;
}

export interface StageOptions extends UpOptions {
  /** Four letters: the rest of a rack's name is the checkout's. */
  readonly name: string;
  /** How many of the boxes form the cluster; by default all. */
  readonly members?: number;
  /** Until they are one cluster, on a quiet machine. */
  readonly wholeMs?: number;
}

/** Two checkouts on one machine may run the same test at once, and neither may take the other's rack down. */
const CHECKOUT = Bun.hash(import.meta.dirname)
  .toString(36)
  .slice(0, 4);

/** Brings a rack up and makes its boxes one cluster, by the calls that the commands make. */
export async function openStage(options: StageOptions): Promise<Stage> {
  const { members, wholeMs, ...up } = options;
  const rack = await freshRack({ ...up, name: `${up.name}${CHECKOUT}` });
  const client = new RackClient(rack.place);
  const tokens = new Map<number, string>();
  const stage: Stage = {
    ...{ rack, client, tokens },
    down: async () => {
      await client.stop();
      await rack.down();
    },
  };
  try {
    await form(stage, rack.boxes.slice(0, members ?? rack.boxes.length), tokens, wholeMs);
    await addHosts(stage);
    return stage;
  } catch (error) {
    await stage.down();
    throw error;
  }
}

async function form(
  stage: Stage,
  boxes: readonly RackNode[],
  tokens: Map<number, string>,
  wholeMs?: number,
): Promise<void> {
  const { rack, client } = stage;
  const first = rack.box(0);
  const url = endpoint(first);
  const authFile = `${nodeDataDirectory(rack.place, first.name)}/lib/.one/one_auth`;
  await level(stage, "box0 founds a cluster", 20_000, async () => {
    if (!existsSync(authFile)) return "no one_auth";
    client.session = readFileSync(authFile, "utf8").trim();
    const role = (await statusOf(client, url))?.cluster.role;
    return role === "leader" ? undefined : `box0 is ${role}`;
  });
  for (const box of boxes)
    await client.must("one.zone.addserver", [0, `SERVER=[NAME="${box.name}",ENDPOINT="${endpoint(box)}"]`], { url });
  for (const [number, box] of boxes.entries()) {
    if (number === 0) continue;
    const token = await client.must("ringfence.zone.jointoken", [number], { url });
    tokens.set(number, token);
    await giveToken(box, token);
  }
  await isWhole(stage, boxes, wholeMs);
}

/** As `ringfence join TOKEN` does. */
export async function giveToken(box: RackNode, token: string): Promise<void> {
  const result = await box.exec(["sh", "-c", "umask 077; cat >/etc/one/join-token"], { stdin: token });
  if (result.code !== 0) throw new Error(`${box.name}: ${result.stderr}`);
}

async function addHosts(stage: Stage): Promise<void> {
  const { rack, client } = stage;
  if (rack.hosts.length === 0) return;
  let key = "";
  await level(stage, "the cluster has its ssh key", 10_000, async () => {
    key = await client.must("ringfence.sshkey", []);
    return key === "" ? "none" : undefined;
  });
  for (const host of rack.hosts) {
    host.authorize(key);
    const id = Number(await client.must("one.host.allocate", [host.name, "kvm", "kvm", -1]));
    await client.must("one.host.update", [id, hostTemplate(rack, host), 1]);
    await client.must("ringfence.fence.bind", [id, host.uuid.replaceAll("-", ""), host.uuid]);
  }
  await level(stage, "all hosts are in service and their BMCs answer", 40_000, async () => {
    const status = await statusOf(client);
    const missing = rack.hosts.filter((_, id) => {
      const isUp = status?.levels.some((one) => one.hostId === id && one.kind === "host-up") ?? false;
      return !isUp || !status?.readiness.some((one) => one.hostId === id && one.isReady);
    });
    return missing.length === 0 ? undefined : `not ${missing.map((host) => host.name).join(", ")}`;
  });
}

/**
 * Waits until `missing` has nothing to say any more, three times as long as a quiet machine needs. Fails with what it said
 * last and with the boxes' last log lines: a rack is gone when a person reads of the failure.
 */
export async function level(
  stage: Pick<Stage, "rack">,
  what: string,
  withinMs: number,
  missing: () => Promise<string | undefined>,
  everyMs = paceNow().everyMs / 2,
): Promise<void> {
  const patienceMs = withinMs * PATIENCE;
  const deadline = monotonicMs() + patienceMs;
  for (;;) {
    const said = await missing();
    if (said === undefined) return;
    if (monotonicMs() > deadline)
      throw new Error(`Waited ${patienceMs / 1000} s in vain until ${what}; last: ${said}\n${logTails(stage.rack)}`);
    await Bun.sleep(everyMs);
  }
}

/** A box's file below /var/log/one. */
export function logOf(rack: Rack, box: RackNode, file = "ringfence.log"): string {
  const path = `${nodeDataDirectory(rack.place, box.name)}/log/${file}`;
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

function logTails(rack: Rack): string {
  const tail = (box: RackNode, file: string, lines: number): string =>
    logOf(rack, box, file).trimEnd().split("\n").slice(-lines).join("\n");
  return rack.boxes
    .map((box) => `--- ${box.name}\n${tail(box, "ringfence.log", 15)}\n${tail(box, "console.log", 3)}`)
    .join("\n");
}

/** Ends a box's programs, which begin anew: main outlives its killed supervisor for a moment, and would answer in it. */
export async function restartPrograms(stage: Stage, box: RackNode): Promise<void> {
  const mains = () => box.processes().filter((one) => one.name === "main");
  const old = new Set(mains().map((one) => one.pid));
  box.kill("supervisor");
  await level(stage, `${box.name}'s main has ended`, 10_000, async () =>
    mains().some((one) => old.has(one.pid)) ? `it is still process ${[...old].join()}` : undefined,
  );
}

/** All of `boxes` are voters, one of them leads, and each has applied what is committed. */
export function isWhole(stage: Stage, boxes: readonly RackNode[], withinMs = 40_000): Promise<void> {
  return level(stage, `${boxes.map((box) => box.name).join(", ")} are one cluster`, withinMs, async () => {
    const views = await Promise.all(boxes.map((box) => statusOf(stage.client, endpoint(box))));
    const silent = boxes.filter((_, number) => views[number] === undefined);
    if (silent.length > 0) return `no answer from ${silent.map((box) => box.name).join(", ")}`;
    const leaders = new Set(views.map((view) => view?.cluster.leader));
    if (leaders.size !== 1 || leaders.has("")) return `leaders: ${[...leaders].join(", ")}`;
    const leading = views.find((view) => view?.cluster.role === "leader");
    const members = leading?.cluster.members ?? [];
    if (members.length !== boxes.length || !members.every((member) => member.isVoter))
      return `members: ${JSON.stringify(members.map((member) => [member.serverId, member.isVoter]))}`;
    const commit = leading?.cluster.commit ?? 0;
    // Under load a follower is a heartbeat behind, never more than this.
    const behind = views.filter((view) => (view?.cluster.applied ?? 0) < commit - ENTRIES_BEHIND_MAX);
    return behind.length === 0 ? undefined : `behind ${commit}: ${behind.map((view) => view?.cluster.applied)}`;
  });
}

const ENTRIES_BEHIND_MAX = 500;

/** Each of `boxes` has applied all that any of them knows to be committed now. */
export async function haveCaughtUp(stage: Stage, boxes: readonly RackNode[]): Promise<void> {
  const views = () => Promise.all(boxes.map((box) => statusOf(stage.client, endpoint(box))));
  const commit = Math.max(...(await views()).map((view) => view?.cluster.commit ?? 0));
  await level(stage, `${boxes.map((box) => box.name).join(", ")} have applied entry ${commit}`, 20_000, async () => {
    const applied = (await views()).map((view) => view?.cluster.applied ?? 0);
    return applied.every((index) => index >= commit) ? undefined : applied.join(", ");
  });
}

/** The box that leads now, as it says itself. */
export async function leaderOf(stage: Stage, among: readonly RackNode[] = stage.rack.boxes): Promise<RackNode> {
  let found: RackNode | undefined;
  await level(stage, "a box leads", 30_000, async () => {
    const on = among.filter((box) => box.isOn());
    const views: (BoxStatus | undefined)[] = await Promise.all(on.map((box) => statusOf(stage.client, endpoint(box))));
    const best = views.reduce<BoxStatus | undefined>(
      (one, view) => (view?.cluster.role === "leader" && view.cluster.term > (one?.cluster.term ?? -1) ? view : one),
      undefined,
    );
    found = best === undefined ? undefined : on[views.indexOf(best)];
    return found === undefined ? "none" : undefined;
  });
  if (found === undefined) throw new Error("a level that holds has its value");
  return found;
}

/** The acknowledged writes that a box lacks or has twice, and those that were refused. Empty is right. */
export async function wrongWrites(
  stage: Stage,
  boxes: readonly RackNode[],
  written: Written,
): Promise<readonly string[]> {
  await haveCaughtUp(stage, boxes);
  const wrong = written.refused.map((text) => `refused ${text}`);
  for (const box of boxes) {
    const pool = await stage.client.must("one.templatepool.info", [-2, -1, -1], {
      url: endpoint(box),
      withinMs: 20_000,
    });
    const counts = new Map<string, number>();
    for (const [, name = ""] of pool.matchAll(/<NAME>([^<]*)<\/NAME>/g)) counts.set(name, (counts.get(name) ?? 0) + 1);
    for (const { name } of written.acknowledged) {
      const count = counts.get(name) ?? 0;
      if (count !== 1) wrong.push(`${box.name} has ${name} ${count} times`);
    }
  }
  return wrong;
}

export async function fenceOf(stage: Stage, name: string): Promise<FenceLine | undefined> {
  const answer = await stage.client.call("ringfence.fence.status", [], { timeoutMs: 2000 });
  if (answer.kind !== "ok") return undefined;
  return (JSON.parse(answer.value) as { hosts: FenceLine[] }).hosts.find((host) => host.name === name);
}

export interface VmLine {
  readonly id: number;
  /** `3/3` is RUNNING. */
  readonly state: string;
  readonly host: string;
}

export async function vmOf(stage: Stage, id: number): Promise<VmLine | undefined> {
  const answer = await stage.client.call("one.vm.info", [id], { timeoutMs: 2000 });
  if (answer.kind !== "ok") return undefined;
  const text = (name: string): string => tag(answer.value, name);
  const host = [...answer.value.matchAll(/<HOSTNAME>(?:<!\[CDATA\[)?([^<\]]*)/g)].at(-1)?.[1] ?? "";
  return { id, state: `${text("STATE")}/${text("LCM_STATE")}`, host };
}

/** The first element of this name. */
export function tag(xml: string, name: string): string {
  return new RegExp(`<${name}>(?:<!\\[CDATA\\[)?([^<\\]]*)`).exec(xml)?.[1] ?? "";
}

export interface StartedVm {
  readonly id: number;
  readonly guest: Guest;
  readonly host: string;
}

/** Starts guest `number`, on host `on` if given (only this start: a lost VM may go anywhere), and waits until it runs. */
export async function startVm(stage: Stage, number: number, on?: number): Promise<StartedVm> {
  const { client } = stage;
  const guest = await stage.rack.guest(number);
  const template = Number(await client.must("one.template.allocate", [guestTemplate(guest)]));
  const isHeld = on !== undefined;
  const id = Number(await client.must("one.template.instantiate", [template, guest.name, isHeld]));
  if (isHeld) await client.must("one.vm.deploy", [id, on, false, -1]);
  let host = "";
  await level(stage, `VM ${guest.name} runs`, 30_000, async () => {
    const vm = await vmOf(stage, id);
    host = vm?.host ?? "";
    return vm?.state === "3/3" ? undefined : JSON.stringify(vm);
  });
  return { id, guest, host };
}

/** Hosts on which a QEMU of this VM runs now, of those with power. */
export function runsOn(stage: Stage, id: number): readonly string[] {
  return stage.rack.hosts
    .filter((host) => host.isOn() && host.processes().some((one) => one.name === `one-${id}`))
    .map((host) => host.name);
}

export function call(stage: Stage, method: string, args: readonly RpcArgument[], box?: RackNode): Promise<RpcAnswer> {
  return stage.client.call(method, args, box === undefined ? {} : { url: endpoint(box) });
}
