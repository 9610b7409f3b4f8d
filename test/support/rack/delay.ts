/**
 * Slow cables, without netem: the switch's end of a cable is given another name, and a relay (relay-main.ts) carries
 * the frames between it and a new port that has the old name. Cuts, filters and power work on that port as before.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { CodedError } from "../../../src/base/error.ts";
import { cgroupOf, inCgroup, killAll, removeCgroup } from "./cgroup.ts";
import { must, startDaemon, waitFor } from "./command.ts";
import { namespaceOf, nodeRunDirectory, type Place } from "./place.ts";
import type { NodePlan, Wire } from "./plan.ts";
import { inNamespace, ipBatch, isCut, SWITCH } from "./switch.ts";

export interface Delay {
  readonly ms: number;
  /** Each frame waits this much longer at most, evenly spread; frames keep their order. */
  readonly jitterMs: number;
}

/** A cable longer than this loses more in the relay's queue than it delays. */
const DELAY_MS_MAX = 10_000;
const START_TIMEOUT_MS = 5_000;

/** Sets the delay, each way, of a cable; 0 ends it. The node sees its carrier go and come when a relay is put in or out. */
export async function setWireDelay(place: Place, plan: NodePlan, wire: Wire, delay: Delay): Promise<void> {
  for (const ms of [delay.ms, delay.jitterMs]) {
    if (ms >= 0 && ms <= DELAY_MS_MAX) continue;
    throw new CodedError("RACK_DELAY", `Cannot delay frames by "${ms}" ms: from 0 to ${DELAY_MS_MAX}`);
  }
  await removeRelay(place, plan, wire);
  if (delay.ms === 0 && delay.jitterMs === 0) return rmSync(delayMark(place, plan, wire), { force: true });
  writeFileSync(delayMark(place, plan, wire), JSON.stringify(delay));
  await insertRelay(place, plan, wire, delay);
}

/** Ends the delay of a node without power; its cables are replaced when it is switched on. */
export async function forgetWireDelay(place: Place, plan: NodePlan, wire: Wire): Promise<void> {
  await stopRelay(place, wire);
  rmSync(delayMark(place, plan, wire), { force: true });
}

/** The delay of a cable; undefined if it has none. */
export function delayOf(place: Place, plan: NodePlan, wire: Wire): Delay | undefined {
  const path = delayMark(place, plan, wire);
  return existsSync(path) ? (JSON.parse(readFileSync(path, "utf8")) as Delay) : undefined;
}

/** Puts the relays of a node with new cables back in: a delay outlives a power cycle, as a cut does. */
export async function restoreDelays(place: Place, plan: NodePlan): Promise<void> {
  for (const wire of plan.wires) {
    const delay = delayOf(place, plan, wire);
    if (delay === undefined) continue;
    await stopRelay(place, wire);
    await insertRelay(place, plan, wire, delay);
  }
}

async function insertRelay(place: Place, plan: NodePlan, wire: Wire, { ms, jitterMs }: Delay): Promise<void> {
  const [outer, inner] = [outerEnd(wire), innerEnd(wire)];
  await ipBatch(namespaceOf(place, SWITCH), [
    `link set ${wire.port} nomaster`,
    `link set ${wire.port} down`,
    `link set ${wire.port} name ${outer}`,
    `link set ${outer} up`,
    `link add ${wire.port} type veth peer name ${inner}`,
    `link set ${inner} up`,
    `link set ${wire.port} up`,
  ]);
  // Packet sockets see frames before the work that a real interface would do: checksums and cutting to size.
  await offloadsOff(place, plan.name, wire.device);
  for (const device of [outer, inner, wire.port]) await offloadsOff(place, SWITCH, device);
  const log = `${nodeRunDirectory(place, plan.name)}/relay-${wire.network}.log`;
  rmSync(log, { force: true });
  const relay = [process.execPath, `${import.meta.dirname}/relay-main.ts`, outer, inner, String(ms), String(jitterMs)];
  const child = startDaemon([...inCgroup(place, relayName(wire)), ...inNamespace(place, SWITCH), ...relay], log, {});
  await waitFor(`the relay of ${wire.port}`, START_TIMEOUT_MS, () => {
    const text = readFileSync(log, "utf8");
    if (child.exitCode !== null) throw new CodedError("RACK_DELAY", `Cannot delay ${wire.port}: ${text.trim()}`);
    return text.includes("relaying");
  });
  if (!isCut(place, plan, wire))
    await ipBatch(namespaceOf(place, SWITCH), [`link set ${wire.port} master ${wire.network}`]);
}

async function removeRelay(place: Place, plan: NodePlan, wire: Wire): Promise<void> {
  if (delayOf(place, plan, wire) === undefined) return;
  await stopRelay(place, wire);
  const switchNamespace = namespaceOf(place, SWITCH);
  await ipBatch(switchNamespace, [
    `link del ${wire.port}`,
    `link set ${outerEnd(wire)} down`,
    `link set ${outerEnd(wire)} name ${wire.port}`,
    `link set ${wire.port} up`,
    ...(isCut(place, plan, wire) ? [] : [`link set ${wire.port} master ${wire.network}`]),
  ]);
}

async function stopRelay(place: Place, wire: Wire): Promise<void> {
  const cgroup = cgroupOf(place, relayName(wire));
  await killAll(cgroup);
  removeCgroup(cgroup);
}

async function offloadsOff(place: Place, node: string, device: string): Promise<void> {
  const features = ["tx", "tso", "gso", "gro"].flatMap((feature) => [feature, "off"]);
  await must([...inNamespace(place, node), "ethtool", "-K", device, ...features]);
}

/** The node's cable ends here while a relay is in it. */
export function outerEnd(wire: Wire): string {
  return `d-${wire.port}`;
}

function innerEnd(wire: Wire): string {
  return `r-${wire.port}`;
}

function relayName(wire: Wire): string {
  return `relay-${wire.port}`;
}

function delayMark(place: Place, plan: NodePlan, wire: Wire): string {
  return `${nodeRunDirectory(place, plan.name)}/delay-${wire.network}`;
}
