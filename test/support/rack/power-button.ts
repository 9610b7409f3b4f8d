/** A host's power by way of its BMC, over the wire, as an administrator with ipmitool does it. */
import { CodedError } from "../../../src/base/error.ts";
import { BMC_USER, bmcPasswordFile } from "./bmc.ts";
import { run, waitFor } from "./command.ts";
import { hasBooted, isOn } from "./node.ts";
import type { Place } from "./place.ts";
import { bmcPlan, type NodePlan } from "./plan.ts";
import { inNamespace } from "./switch.ts";
import { waitReady } from "./up.ts";

/** A host needs 0.3 s from the button to a network that is up; a machine under load more. */
const BUTTON_TIMEOUT_MS = 20_000;

/** Presses the button of `host` and waits until it is done. Returns what the BMC's client said. */
export async function pressPower(place: Place, host: NodePlan, action: "on" | "off"): Promise<string> {
  const address = bmcPlan(host.number).wires[0]?.address ?? "";
  const login = [
    "-I",
    "lanplus",
    "-C",
    "17",
    "-H",
    address,
    "-U",
    BMC_USER,
    "-f",
    bmcPasswordFile(place),
    "-N",
    "1",
    "-R",
    "2",
  ];
  const result = await run([...inNamespace(place, "client"), "ipmitool", ...login, "chassis", "power", action]);
  if (result.code !== 0) {
    const complaint = (result.stderr || result.stdout).trim();
    throw new CodedError(
      "RACK_BMC",
      `Cannot switch ${host.name} ${action} by its BMC at ${address}: ${complaint}; "--plug" goes past the BMC`,
    );
  }
  // Not asked for before it is up: an ARP request that nobody answers is repeated only after a second.
  const done = () => (action === "on" ? hasBooted(place, host) : !isOn(place, host));
  await waitFor(`${host.name} to be ${action}`, BUTTON_TIMEOUT_MS, done);
  if (action === "on") await waitReady(place, host);
  return `${host.name}: ${result.stdout.trim()}`;
}
