/** Building the rack and taking it away. */
import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { CodedError } from "../../../src/base/error.ts";
import type { BoxFiles } from "./box.ts";
import { isEmulated, prepareSshKey } from "./box-image.ts";
import { killAll, removeCgroup } from "./cgroup.ts";
import { must, waitFor } from "./command.ts";
import { withLock } from "./lock.ts";
import { isOn, powerCut, powerOn, prepareNode, wasStarted } from "./node.ts";
import { datastoreDirectory, namespaceOf, type Place } from "./place.ts";
import { allPlans, BOXES_MAX, HOSTS_MAX, type NodePlan } from "./plan.ts";
import { type RackSize, type RackState, readState, writeState } from "./state.ts";
import { inNamespace, makeSwitch, namespaceExists, removeNamespace, SWITCH } from "./switch.ts";

/** A second `up` or `down` waits this long for the first. */
const LOCK_TIMEOUT_MS = 60_000;
/** sshd and libvirtd of a host answer 0.1–0.3 s after power-on, 2 s when QEMU's abilities are probed the first time. */
const HOST_READY_TIMEOUT_MS = 30_000;
/** An image boots in some 45 s without hardware virtualisation, three of them on two processors in twice that. */
const MACHINE_READY_TIMEOUT_MS = 600_000;

export interface UpOptions extends Partial<RackSize>, BoxFiles {
  /** The checkout that the boxes run; by default the one of this file. */
  readonly repository?: string;
}

export interface UpResult {
  readonly state: RackState;
  /** Nodes that were switched on; empty when the rack was complete already. */
  readonly started: readonly string[];
}

const sizeDefault: RackSize = {
  boxes: 3,
  hosts: 2,
  tier: "fast",
  profile: "default",
  bare: false,
  image: "",
  emulated: BOXES_MAX,
};

/** Builds the rack, or what is missing of it, and waits until its hosts answer. Nodes that were switched off stay off. */
export function up(place: Place, options: UpOptions = {}): Promise<UpResult> {
  return withLock(lockPath(place), LOCK_TIMEOUT_MS, async () => {
    const state = claim(place, options);
    mkdirSync(datastoreDirectory(place), { recursive: true });
    if (state.image !== "") await prepareSshKey(place);
    await makeSwitch(place);
    const missing = allPlans(state).filter((plan) => !wasStarted(place, plan));
    await inParallel(missing, async (plan) => {
      await prepareNode(place, plan, state, options);
      await powerOn(place, plan, state);
    });
    await inParallel(missing, (plan) => waitReady(place, plan));
    return { state, started: missing.map((plan) => plan.name) };
  });
}

/** Waits until sshd of a host or of a box that is a machine of its own answers, and a host's libvirtd. */
export async function waitReady(place: Place, plan: NodePlan): Promise<void> {
  const isMachine = isEmulated(place, plan);
  if (plan.kind !== "host" && !isMachine) return;
  const address = plan.wires[0]?.address ?? "";
  const withinMs = isMachine ? MACHINE_READY_TIMEOUT_MS : HOST_READY_TIMEOUT_MS;
  // A box that waits for its token has no front-end yet.
  for (const port of isMachine ? [22] : [22, 16509]) {
    const probe = [...inNamespace(place, "client"), "bash", "-c", `exec 3<>/dev/tcp/${address}/${port}`];
    await waitFor(`port ${port} of ${plan.name}`, withinMs, () => quietly(probe), isMachine ? 500 : 20);
  }
}

/** Removes all that `up` made. The cache of built kernels stays unless `cache` is set. False if the rack was down. */
export function down(place: Place, options: { readonly cache?: boolean } = {}): Promise<boolean> {
  return withLock(lockPath(place), LOCK_TIMEOUT_MS, async () => {
    const state = readState(place);
    if (state !== undefined) {
      // Power first, all at once: nobody should see the others die and act on it.
      await inParallel(
        allPlans(state).filter((plan) => plan.kind !== "client" && isOn(place, plan)),
        (plan) => powerCut(place, plan),
      );
      await killAll(place.cgroup);
      removeCgroup(place.cgroup);
      for (const plan of allPlans(state)) await removeNamespace(place, plan);
      if (namespaceExists(place, SWITCH)) await must(["ip", "netns", "del", namespaceOf(place, SWITCH)]);
      removeData(place);
    }
    if (options.cache) rmSync(place.cacheDirectory, { recursive: true, force: true });
    removeIfEmpty(place.dataDirectory);
    removeIfEmpty(dirname(place.cacheDirectory));
    // Last, and with the lock's own file in it: until here a broken-off `down` can be called again.
    rmSync(place.runDirectory, { recursive: true, force: true });
    return state !== undefined;
  });
}

/** Writes down what will be made, before it is made. */
function claim(place: Place, options: UpOptions): RackState {
  const existing = readState(place);
  if (existing !== undefined) {
    for (const key of ["boxes", "hosts", "tier", "profile", "bare", "image", "emulated"] as const) {
      const wanted = options[key];
      if (wanted === undefined || wanted === existing[key]) continue;
      throw new CodedError(
        "RACK_UP",
        `Cannot bring the rack up with ${key} ${wanted}: it is up with ${existing[key]}; "rack down" first`,
      );
    }
    return existing;
  }
  const { boxes, hosts, tier, profile, bare, image, emulated } = { ...sizeDefault, ...withoutUndefined(options) };
  checkCount("boxes", boxes, BOXES_MAX);
  checkCount("hosts", hosts, HOSTS_MAX);
  checkCount("emulated boxes", emulated, BOXES_MAX);
  if (process.getuid?.() !== 0)
    throw new CodedError("RACK_ROOT", "Cannot build the rack: it needs root, for namespaces");
  if (namespaceExists(place, SWITCH)) {
    const namespace = namespaceOf(place, SWITCH);
    throw new CodedError(
      "RACK_UP",
      `Cannot build the rack: namespace "${namespace}" exists and ${place.runDirectory} does not know it`,
    );
  }
  // A machine that lost its power with a rack on it keeps the nodes' disks: they belong to no rack any more.
  removeData(place);
  const state: RackState = {
    ...{ version: 1, boxes, hosts, tier, profile, bare, image, emulated },
    repository: options.repository ?? dirname(dirname(dirname(import.meta.dirname))),
  };
  writeState(place, state);
  return state;
}

function checkCount(what: string, count: number, max: number): void {
  if (Number.isInteger(count) && count >= 0 && count <= max) return;
  throw new CodedError("RACK_SIZE", `Cannot build a rack with ${what} "${count}": a whole number from 0 to ${max}`);
}

function removeData(place: Place): void {
  if (!existsSync(place.dataDirectory)) return;
  for (const entry of readdirSync(place.dataDirectory)) {
    const path = `${place.dataDirectory}/${entry}`;
    if (path !== place.cacheDirectory) rmSync(path, { recursive: true, force: true });
  }
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // Somebody else put something there, or another rack removed it: both mean that it is not ours to remove.
  }
}

async function quietly(argv: readonly string[]): Promise<boolean> {
  const child = Bun.spawn([...argv], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
  return (await child.exited) === 0;
}

function withoutUndefined(options: UpOptions): Partial<RackSize> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/** All at once; when some fail, the others are still waited for, and the first failure is thrown. */
async function inParallel<T>(items: readonly T[], action: (item: T) => Promise<unknown>): Promise<void> {
  const results = await Promise.allSettled(items.map(action));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
}

function lockPath(place: Place): string {
  return `${place.runDirectory}/lock`;
}
