/** Power, and a way in, for each node of the rack. */
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { CodedError } from "../../../src/base/error.ts";
import { bmcArguments, prepareBmc } from "./bmc.ts";
import { type BoxFiles, boxSoftware, prepareBox } from "./box.ts";
import { emulatorOf, isEmulated, sshTo } from "./box-image.ts";
import { cgroupOf, inCgroup, isPopulated, killAll } from "./cgroup.ts";
import { monotonicMs, must, type RunOptions, type RunResult, run, startDaemon, waitFor } from "./command.ts";
import { restoreDelays } from "./delay.ts";
import { hostSoftware, prepareHost } from "./host.ts";
import { withLock } from "./lock.ts";
import { namespaceOf, nodeRunDirectory, type Place } from "./place.ts";
import { allPlans, type NodePlan } from "./plan.ts";
import type { Software } from "./software.ts";
import type { RackState } from "./state.ts";
import { inNamespace, ipBatch, makeNamespace, unplug } from "./switch.ts";

/** The longest a power command waits for another one on the same node. */
const LOCK_TIMEOUT_MS = 20_000;
/** From PID 1 to a network that is up; measured 30–60 ms, a second on a machine under load. */
const BOOT_TIMEOUT_MS = 15_000;

/** Looks a node up by its name. Throws RACK_NODE with the names that exist. */
export function findNode(state: RackState, name: string): NodePlan {
  const plans = allPlans(state);
  const plan = plans.find((candidate) => candidate.name === name);
  if (plan !== undefined) return plan;
  throw new CodedError(
    "RACK_NODE",
    `Cannot find node "${name}": this rack has ${plans.map((each) => each.name).join(", ")}`,
  );
}

/** Makes what a node keeps over power cuts. Changes nothing that is there. */
export async function prepareNode(place: Place, plan: NodePlan, state: RackState, files: BoxFiles): Promise<void> {
  mkdirSync(nodeRunDirectory(place, plan.name), { recursive: true });
  if (plan.kind === "box") await prepareBox(place, plan, state, files);
  if (plan.kind === "host") await prepareHost(place, plan);
  if (plan.kind === "bmc") prepareBmc(place);
}

/** True if the node has been switched on since the rack came up. */
export function wasStarted(place: Place, plan: NodePlan): boolean {
  return existsSync(`${nodeRunDirectory(place, plan.name)}/started`);
}

/** True while the node has power. The client has no power button. */
export function isOn(place: Place, plan: NodePlan): boolean {
  return plan.kind === "client" || isPopulated(cgroupOf(place, plan.name));
}

/** True from the moment that a box's or host's network is up until its power is cut. */
export function hasBooted(place: Place, plan: NodePlan): boolean {
  const path = bootedFile(place, plan);
  return existsSync(path) && readFileSync(path, "utf8") === "up\n";
}

function bootedFile(place: Place, plan: NodePlan): string {
  return `${nodeRunDirectory(place, plan.name)}/booted`;
}

/** Switches a node on and waits until its network is up. False if it was on already. */
export function powerOn(place: Place, plan: NodePlan, state: RackState): Promise<boolean> {
  return withNode(place, plan, async () => {
    const hasInit = plan.kind === "box" || plan.kind === "host";
    if (isOn(place, plan) && (hasInit ? hasBooted(place, plan) : wasStarted(place, plan))) return false;
    // A start that was broken off (Ctrl-C in `up`) may have left half a node.
    await killAll(cgroupOf(place, plan.name));
    await makeNamespace(place, plan);
    await restoreDelays(place, plan);
    if (isEmulated(place, plan)) await startMachine(place, plan);
    else if (plan.kind === "box") await boot(place, plan, state, boxSoftware(place, plan, state, bunPath(state)));
    else if (plan.kind === "host") await boot(place, plan, state, hostSoftware(place, plan));
    else await startBare(place, plan, state);
    writeFileSync(`${nodeRunDirectory(place, plan.name)}/started`, "");
    return true;
  });
}

/** Keeps power commands and changes of the cables of one node apart. */
export function withNode<T>(place: Place, plan: NodePlan, action: () => Promise<T>): Promise<T> {
  return withLock(`${nodeRunDirectory(place, plan.name)}/lock`, LOCK_TIMEOUT_MS, action);
}

/** When a power cut happened, in CLOCK_MONOTONIC ms. */
export interface PowerCut {
  /** The cables were dead from here on: where all durations of a demo or bench start. */
  readonly cutAtMs: number;
  /** The last process was gone. */
  readonly deadAtMs: number;
}

/** Pulls the plug. The wire goes first: a process that dies on a live wire says goodbye to every peer. */
export async function powerCut(place: Place, plan: NodePlan): Promise<PowerCut> {
  if (plan.kind === "client")
    throw new CodedError("RACK_NODE", `Cannot cut the power of "${plan.name}": it has no plug`);
  return withNode(place, plan, async () => {
    if (isOn(place, plan)) await unplug(place, plan.wires);
    const cutAtMs = monotonicMs();
    await killAll(cgroupOf(place, plan.name));
    rmSync(bootedFile(place, plan), { force: true });
    return { cutAtMs, deadAtMs: monotonicMs() };
  });
}

/** Runs a program inside a node, in all its namespaces and in its cgroup, so that it dies and freezes with the node. */
export async function execIn(
  place: Place,
  plan: NodePlan,
  argv: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return run(commandIn(place, plan, argv), options);
}

/** The words that run `argv` inside a node. Throws RACK_OFF if the node has no power. */
export function commandIn(place: Place, plan: NodePlan, argv: readonly string[]): readonly string[] {
  if (plan.kind === "client" || plan.kind === "bmc") return [...inNamespace(place, plan.name), ...argv];
  if (!isOn(place, plan)) throw new CodedError("RACK_OFF", `Cannot run "${argv.join(" ")}" in ${plan.name}: it is off`);
  if (isEmulated(place, plan)) return sshTo(place, plan, argv);
  return [
    ...inCgroup(place, plan.name),
    ...["nsenter", "-t", String(initPid(place, plan)), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"],
    ...["env", "-i", `PATH=/run/rack/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`, "HOME=/root"],
    ...[`TERM=${process.env["TERM"] ?? "dumb"}`, "LANG=C.UTF-8", ...argv],
  ];
}

/** Process id, on this machine, of a node's PID 1. */
export function initPid(place: Place, plan: NodePlan): number {
  return Number(readFileSync(`${nodeRunDirectory(place, plan.name)}/pid`, "utf8"));
}

/** The interpreter that this checkout was set up with. */
export function bunPath(state: RackState): string {
  return `${state.repository}/node_modules/.bin/bun`;
}

async function boot(place: Place, plan: NodePlan, state: RackState, software: Software): Promise<void> {
  const directory = nodeRunDirectory(place, plan.name);
  writeBootFiles(place, plan, state, software);
  rmSync(bootedFile(place, plan), { force: true });
  const isolate = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc", "--cgroup", "--"];
  const init = ["sh", `${import.meta.dirname}/node-init.sh`];
  const log = `${directory}/init.log`;
  const started = startDaemon(
    [...inCgroup(place, plan.name), ...inNamespace(place, plan.name), ...isolate, ...init],
    log,
    {
      NODE: plan.name,
      RUN_DIRECTORY: directory,
      REPOSITORY: state.repository,
    },
  );
  await waitFor(`${plan.name} to boot (see ${log})`, BOOT_TIMEOUT_MS, () => {
    if (started.exitCode === null) return hasBooted(place, plan);
    const last = readFileSync(log, "utf8").trim().split("\n").slice(-3).join("; ");
    throw new CodedError("RACK_BOOT", `Cannot boot ${plan.name}: its init ended with ${started.exitCode}: ${last}`);
  });
}

/** Switches an emulated machine on. Its network is up much later: `waitReady` in up.ts. */
async function startMachine(place: Place, plan: NodePlan): Promise<void> {
  const words = [...inCgroup(place, plan.name), ...inNamespace(place, plan.name), ...(await emulatorOf(place, plan))];
  startDaemon(words, `${nodeRunDirectory(place, plan.name)}/init.log`, {});
  await waitFor(`the emulator of ${plan.name}`, BOOT_TIMEOUT_MS, () => isOn(place, plan));
  writeFileSync(bootedFile(place, plan), "up\n");
}

function writeBootFiles(place: Place, plan: NodePlan, state: RackState, software: Software): void {
  const directory = nodeRunDirectory(place, plan.name);
  rmSync(`${directory}/files`, { recursive: true, force: true });
  mkdirSync(`${directory}/files/bin`, { recursive: true });
  // A box knows no hypervisor by name, as the appliance does not: SSH_ADDRESS of the host tells. Hypervisors know each other.
  const isKnown = (each: NodePlan): boolean => plan.kind !== "box" || each.kind !== "host";
  const hosts = allPlans(state)
    .filter(isKnown)
    .map((each) => `${each.wires[0]?.address} ${each.name}`);
  const files = {
    ...software.files,
    "network.sh": software.network,
    "services.sh": software.services,
    hosts: `127.0.0.1 localhost\n${hosts.join("\n")}\n`,
    hostname: `${plan.name}\n`,
    boot_id: `${randomUUID()}\n`,
    "machine-id": `${Bun.hash(`${place.name}/${plan.name}`).toString(16).padStart(32, "7")}\n`,
  };
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(`${directory}/files/${name}`, text, { mode: name.startsWith("bin/") ? 0o755 : 0o644 });
  }
  writeFileSync(`${directory}/binds`, software.binds.map((pair) => `${pair.join(" ")}\n`).join(""));
}

/** The client and the BMCs share this machine's files; only their network is their own. */
async function startBare(place: Place, plan: NodePlan, state: RackState): Promise<void> {
  await ipBatch(namespaceOf(place, plan.name), [
    "link set lo up",
    ...plan.wires.flatMap((wire) => [
      `address add ${wire.address}/24 dev ${wire.device}`,
      `link set ${wire.device} up`,
    ]),
  ]);
  if (plan.kind !== "bmc") return;
  const program = bmcArguments(place, plan, state, bunPath(state));
  if (program === undefined) return;
  startDaemon(
    [...inCgroup(place, plan.name), ...inNamespace(place, plan.name), ...program],
    `${nodeRunDirectory(place, plan.name)}/bmc.log`,
    {},
  );
}

/** Runs a program in the client, which is part of this machine but for its network. */
export function mustInClient(place: Place, argv: readonly string[], options: RunOptions = {}): Promise<string> {
  return must([...inNamespace(place, "client"), ...argv], options);
}
