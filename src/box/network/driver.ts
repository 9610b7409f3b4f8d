import { CodedError } from "../../base/error.ts";
import type { NetworkSettings } from "../../config/network.ts";
import { type Owned, type Present, planNetwork } from "./planner.ts";
import type { NetworkPorts } from "./ports.ts";
import { presentOf } from "./present.ts";

/** A plan that meets a kernel that changes under it is made again; each time less is left to do. */
const ROUNDS_MAX = 3;

/**
 * Makes this machine's network what the settings say. Returns what could not be done, a line each: a link that is not
 * there (yet) keeps nothing else from its address. Calling it again does only what is left.
 */
export async function applyNetwork(settings: NetworkSettings, ports: NetworkPorts): Promise<readonly string[]> {
  if (settings.hostname !== undefined) ports.setHostname(settings.hostname);
  let problems: readonly string[] = [];
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const before = ports.readOwned();
    const plan = planNetwork(settings, await look(ports), before);
    for (const device of plan.stopDhcp) await ports.stopDhcp(device);
    // Noted first: what was begun is taken back by the next plan, whatever becomes of this one.
    ports.writeOwned(united(before, plan.owned));
    const errors = plan.lines.length === 0 ? [] : await carryOut(ports, plan.lines);
    problems = [...plan.missing.map((name) => `${name} is not there`), ...errors];
    if (errors.length > 0) continue;
    ports.writeOwned(plan.owned);
    for (const { device, metric } of plan.dhcp) ports.startDhcp(device, metric, settings.hostname);
    break;
  }
  ports.writeDns(settings.dns);
  ports.writeSshKeys(settings.sshKeys);
  for (const problem of problems) ports.log(`network: ${problem}`);
  return problems;
}

async function look(ports: NetworkPorts): Promise<Present> {
  const [links, routes] = await Promise.all([
    ports.ip(["-json", "-details", "address", "show"]),
    ports.ip(["-json", "-4", "route", "show", "default"]),
  ]);
  if (links.code !== 0) throw new CodedError("network", `Cannot look at the links: ${links.err.trim()}`);
  return presentOf(links.out, routes.out);
}

/** Every line is tried; what failed is told with its line. */
async function carryOut(ports: NetworkPorts, lines: readonly string[]): Promise<readonly string[]> {
  for (const line of lines) ports.log(`network: ip ${line}`);
  const { code, err } = await ports.ip(["-force", "-batch", "-"], `${lines.join("\n")}\n`);
  if (code === 0) return [];
  // "RTNETLINK answers: File exists" and then "Command failed -:3".
  const problems: string[] = [];
  let why = "";
  for (const text of err.split("\n").filter((one) => one !== "")) {
    const number = /^Command failed -:(\d+)/.exec(text)?.[1];
    if (number !== undefined) problems.push(`ip ${lines[Number(number) - 1] ?? "?"}: ${why}`);
    else why = text.replace(/^(RTNETLINK answers|Error): /, "");
  }
  return problems.length > 0 ? problems : [`ip ended with ${code}: ${err.trim()}`];
}

function united(before: Owned, after: Owned): Owned {
  const addresses = [...before.addresses, ...after.addresses];
  return {
    links: [...new Set([...before.links, ...after.links])],
    addresses: addresses.filter(
      (one, at) => addresses.findIndex((other) => JSON.stringify(other) === JSON.stringify(one)) === at,
    ),
    gateway: after.gateway ?? before.gateway,
    dhcp: [...new Set([...before.dhcp, ...after.dhcp])],
  };
}
