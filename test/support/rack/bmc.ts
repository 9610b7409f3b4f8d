/** The rack's BMCs: the simulated one of this project, one process a host, in a namespace that keeps its power. */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { CodedError } from "../../../src/base/error.ts";
import { quote } from "./box.ts";
import { cgroupOf } from "./cgroup.ts";
import { nodeRunDirectory, type Place } from "./place.ts";
import { hostUuid, type NodePlan } from "./plan.ts";
import type { RackState } from "./state.ts";

export const BMC_USER = "admin";
const BMC_PORT = 623;
/** A control request is one line and its answer; more than this means that the BMC's process is not well. */
const CONTROL_TIMEOUT_MS = 3_000;

/** Makes the rack's BMC password: 20 bytes at most in IPMI 2.0, so 16 letters and digits. */
export function prepareBmc(place: Place): void {
  const path = bmcPasswordFile(place);
  if (existsSync(path)) return;
  mkdirSync(place.dataDirectory, { recursive: true });
  writeFileSync(path, randomBytes(8).toString("hex"), { mode: 0o600 });
}

/** The file with the password of {@link BMC_USER} on all BMCs of the rack. */
export function bmcPasswordFile(place: Place): string {
  return `${place.dataDirectory}/bmc-password`;
}

/** The program and words of a BMC; undefined while the checkout has none. */
export function bmcArguments(
  place: Place,
  plan: NodePlan,
  state: RackState,
  bun: string,
): readonly string[] | undefined {
  const program = `${state.repository}/src/node-ipmi/bmc/main.ts`;
  if (!existsSync(program)) return undefined;
  return [
    bun,
    program,
    ...["--listen", `${plan.wires[0]?.address}:${BMC_PORT}`],
    ...["--user", BMC_USER, "--password-file", bmcPasswordFile(place)],
    ...["--guid", hostUuid(plan.number).replaceAll("-", "")],
    ...["--power-command", writePowerScript(place, plan, bun)],
    ...["--control", controlSocket(place, plan)],
  ];
}

/** Switches a fault of a BMC on, or all off with `none`. Returns the BMC's answer. */
export function setBmcFault(place: Place, plan: NodePlan, fault: string, value?: unknown): Promise<unknown> {
  const path = controlSocket(place, plan);
  if (!existsSync(path))
    throw new CodedError("RACK_BMC", `Cannot reach the BMC "${plan.name}": it does not run (${path} is missing)`);
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = "";
    const fail = (cause: unknown) => {
      socket.destroy();
      reject(new CodedError("RACK_BMC", `Cannot set fault "${fault}" of "${plan.name}"`, cause));
    };
    socket.setTimeout(CONTROL_TIMEOUT_MS, () => fail(new Error(`no answer for ${CONTROL_TIMEOUT_MS} ms`)));
    socket.on("error", fail);
    socket.on("connect", () => socket.write(`${JSON.stringify({ fault, value })}\n`));
    socket.on("data", (bytes) => {
      text += bytes.toString();
      if (!text.includes("\n")) return;
      socket.destroy();
      try {
        const answer = JSON.parse(text) as { error?: unknown };
        if (answer.error !== undefined) fail(new Error(String(answer.error)));
        else resolve(answer);
      } catch (error) {
        fail(error);
      }
    });
    socket.on("close", () => fail(new Error("it closed the connection without an answer")));
  });
}

/** The password in clear, for a client that takes it on standard input or from the environment. */
export function bmcPassword(place: Place): string {
  return readFileSync(bmcPasswordFile(place), "utf8");
}

/**
 * A BMC splits its power command at blanks; the script's path has none, whatever the checkout's path has. `get` is
 * answered by the shell alone, as isOn() of node.ts does it: boxes ask several times a second once a host is silent, and
 * an interpreter for each answer would take the machine from the rack that is being judged.
 */
function writePowerScript(place: Place, plan: NodePlan, bun: string): string {
  const script = `${nodeRunDirectory(place, plan.name)}/power`;
  const rackName = place.name === "" ? "-" : place.name;
  const host = `hv${plan.number}`;
  const words = [bun, `${import.meta.dirname}/power-command.ts`, rackName, host];
  const text = `#!/bin/sh
[ "$1" = get ] || exec ${words.map(quote).join(" ")} "$@"
power=off
[ ! -e ${quote(`${cgroupOf(place, host)}/cgroup.events`)} ] || while read -r key value; do
  [ "$key $value" != "populated 1" ] || power=on
done <${quote(`${cgroupOf(place, host)}/cgroup.events`)}
echo "$power"
`;
  writeFileSync(script, text, { mode: 0o755 });
  return script;
}

function controlSocket(place: Place, plan: NodePlan): string {
  return `${nodeRunDirectory(place, plan.name)}/control.sock`;
}
