/** The rack as one value, for tests, benches and the demo. Every method works on the kernel's state, not on a copy. */
import { CodedError } from "../../../src/base/error.ts";
import { BMC_USER, bmcPasswordFile, setBmcFault } from "./bmc.ts";
import type { RunOptions, RunResult } from "./command.ts";
import { cutNode, freezeNode, healAll, healNode, partition, setDelay, setLoss } from "./faults.ts";
import { type Guest, makeGuest } from "./guest/template.ts";
import { authorize } from "./host.ts";
import { execIn, isOn, type PowerCut, powerCut, powerOn } from "./node.ts";
import { type Place, placeOf } from "./place.ts";
import { bmcPlan, boxPlan, clientPlan, hostPlan, hostUuid, type Network, type NodePlan } from "./plan.ts";
import { pressPower } from "./power-button.ts";
import { killProcess, type NodeProcess, processesOf } from "./processes.ts";
import { type RackState, readState } from "./state.ts";
import { type RackStatus, rackStatus } from "./status.ts";
import { down, type UpOptions, up, waitReady } from "./up.ts";
import { startDiskWatcher, startHolderWatcher, startProber, type Watcher } from "./watch/watcher.ts";

/** A node and everything that can be done to it. */
export interface RackNode {
  readonly plan: NodePlan;
  readonly name: string;
  /** On its first network; a BMC's on the BMC network. */
  readonly address: string;
  /** Runs a program inside; a failing program is a result. Throws RACK_OFF without power. */
  exec(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  isOn(): boolean;
  /** Pulls the plug: cables first. Durations count from the answer's `cutAtMs`. */
  powerCut(): Promise<PowerCut>;
  /** Switches on and waits for the network, of a host also for sshd and libvirtd. False if it was on. */
  powerOn(): Promise<boolean>;
  cut(network?: Network): Promise<void>;
  heal(network?: Network): Promise<void>;
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  lose(percent: number, network?: Network): Promise<void>;
  /** Each frame from and to it waits `ms`, and up to `jitterMs` more, each way; 0 ends it. */
  delay(ms: number, options?: { readonly jitterMs?: number; readonly network?: Network }): Promise<void>;
  processes(): readonly NodeProcess[];
  /** Signals all processes of this name (`main`, `libvirtd`); their ids. Throws RACK_PROCESS if there is none. */
  kill(processName: string, signal?: NodeJS.Signals): readonly number[];
}

export interface RackHost extends RackNode {
  /** As libvirt and, without faults, the BMC tell it. */
  readonly uuid: string;
  readonly bmc: RackNode;
  readonly libvirtUri: string;
  /** Adds a key to root's authorized ones. */
  authorize(publicKey: string): void;
  /** By ipmitool through the BMC. */
  pressPower(action: "on" | "off"): Promise<string>;
  /** `none` ends all faults. */
  bmcFault(fault: string, value?: unknown): Promise<unknown>;
}

export interface Rack {
  readonly place: Place;
  readonly state: RackState;
  readonly boxes: readonly RackNode[];
  readonly hosts: readonly RackHost[];
  readonly client: RackNode;
  readonly bmcUser: string;
  readonly bmcPasswordFile: string;
  box(number: number): RackNode;
  host(number: number): RackHost;
  status(): Promise<RackStatus>;
  partition(
    from: readonly RackNode[],
    to: readonly RackNode[],
    options?: { oneWay?: boolean; network?: Network },
  ): Promise<void>;
  /** Ends all cuts, delays, losses and partitions. */
  heal(): Promise<void>;
  /** Guest `number` of the rack's tier, with its disk. */
  guest(number: number, name?: string): Promise<Guest>;
  /** Echoes every 5 ms from the client; by default to the VIP, under the name `vip`. */
  watchAddresses(targets?: Readonly<Record<string, string>>, intervalMs?: number): Promise<Watcher>;
  watchHolders(vip?: string): Promise<Watcher>;
  watchDisks(guests: readonly Guest[]): Promise<Watcher>;
  down(): Promise<boolean>;
}

/** Brings a rack up, or completes it, and opens it. */
export async function upRack(options: UpOptions & { readonly name?: string } = {}): Promise<Rack> {
  const place = placeOf(options.name);
  const { state } = await up(place, options);
  return openState(place, state);
}

/** Opens a rack that is up. Throws RACK_DOWN. */
export function openRack(name?: string): Rack {
  const place = placeOf(name);
  const state = readState(place);
  if (state === undefined)
    throw new CodedError("RACK_DOWN", `Cannot open the rack at ${place.runDirectory}: it is down`);
  return openState(place, state);
}

function openState(place: Place, state: RackState): Rack {
  const boxes = Array.from({ length: state.boxes }, (_, number) => nodeOf(place, state, boxPlan(number)));
  const hosts = Array.from({ length: state.hosts }, (_, number) => hostOf(place, state, number));
  return {
    ...{ place, state, boxes, hosts },
    client: nodeOf(place, state, clientPlan()),
    bmcUser: BMC_USER,
    bmcPasswordFile: bmcPasswordFile(place),
    box: (number) => member(boxes, "box", number),
    host: (number) => member(hosts, "hv", number),
    status: () => rackStatus(place, state),
    partition: (from, to, options) =>
      partition(
        place,
        from.map((node) => node.plan),
        to.map((node) => node.plan),
        options,
      ),
    heal: () => healAll(place, state),
    guest: (number, name) => makeGuest(place, state.tier, number, name),
    watchAddresses: (targets, intervalMs) => startProber(place, targets, intervalMs),
    watchHolders: (vip) => startHolderWatcher(place, state, vip),
    watchDisks: (guests) =>
      startDiskWatcher(place, Object.fromEntries(guests.map((each) => [each.name, each.diskPath]))),
    down: () => down(place),
  };
}

function nodeOf(place: Place, state: RackState, plan: NodePlan): RackNode {
  return {
    plan,
    name: plan.name,
    address: plan.wires[0]?.address ?? "",
    exec: (argv, options) => execIn(place, plan, argv, options),
    isOn: () => isOn(place, plan),
    powerCut: () => powerCut(place, plan),
    powerOn: async () => {
      const changed = await powerOn(place, plan, state);
      await waitReady(place, plan);
      return changed;
    },
    cut: (network) => cutNode(place, plan, network),
    heal: (network) => healNode(place, plan, network),
    freeze: () => freezeNode(place, plan, true),
    thaw: () => freezeNode(place, plan, false),
    lose: (percent, network) => setLoss(place, plan, percent, network),
    delay: (ms, options) => setDelay(place, plan, { ms, jitterMs: options?.jitterMs ?? 0 }, options?.network),
    processes: () => processesOf(place, plan),
    kill: (processName, signal) => killProcess(place, plan, processName, signal),
  };
}

function hostOf(place: Place, state: RackState, number: number): RackHost {
  const plan = hostPlan(number);
  const bmc = bmcPlan(number);
  const node = nodeOf(place, state, plan);
  return {
    ...node,
    uuid: hostUuid(number),
    bmc: nodeOf(place, state, bmc),
    libvirtUri: `qemu+tcp://${node.address}/system`,
    authorize: (publicKey) => authorize(place, plan, publicKey),
    pressPower: (action) => pressPower(place, plan, action),
    bmcFault: (fault, value) => setBmcFault(place, bmc, fault, value),
  };
}

function member<T>(nodes: readonly T[], prefix: string, number: number): T {
  const node = nodes[number];
  if (node === undefined)
    throw new CodedError("RACK_NODE", `Cannot find ${prefix}${number}: the rack has ${nodes.length}`);
  return node;
}
