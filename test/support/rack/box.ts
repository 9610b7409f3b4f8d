/** A box: runs the product of this checkout on a disk of its own. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { prepareBoxImage } from "./box-image.ts";
import { nodeDataDirectory, type Place } from "./place.ts";
import { type NodePlan, VIP } from "./plan.ts";
import type { Software } from "./software.ts";
import type { RackState } from "./state.ts";

/** Gives the text of a box's configuration file. */
export interface BoxFiles {
  readonly onedConf?: (plan: NodePlan, state: RackState) => string;
  readonly boxConf?: (plan: NodePlan, state: RackState) => string;
}

/** The commands of the product, each called by its name in a box. */
const commandNames = [
  "onezone",
  "onehost",
  "onevm",
  "onetemplate",
  "oneuser",
  "onedatastore",
  "oneimage",
  "onedb",
  "ringfence",
];

/** Makes the box's disk as an installer leaves it. What is there already is kept. */
export async function prepareBox(place: Place, plan: NodePlan, state: RackState, files: BoxFiles = {}): Promise<void> {
  const { onedConf = onedConfDefault, boxConf = boxConfDefault } = files;
  const isMachine = state.image !== "" && plan.number >= state.boxes - state.emulated;
  if (isMachine) return prepareBoxImage(place, plan, state, { onedConf, boxConf });
  const data = nodeDataDirectory(place, plan.name);
  for (const directory of ["etc", "lib", "log", "ssh"])
    mkdirSync(`${data}/${directory}`, { recursive: true, mode: 0o700 });
  writeNew(`${data}/etc/oned.conf`, onedConf(plan, state));
  writeNew(`${data}/etc/box.conf`, boxConf(plan, state));
}

/** What the box's init is told. `bun` is the interpreter's path. */
export function boxSoftware(place: Place, plan: NodePlan, state: RackState, bun: string): Software {
  const data = nodeDataDirectory(place, plan.name);
  const source = `${state.repository}/src`;
  return {
    binds: [
      [`${data}/etc`, "/etc/one"],
      [`${data}/lib`, "/var/lib/one"],
      [`${data}/log`, "/var/log/one"],
      [`${data}/ssh`, "/root/.ssh"],
    ],
    files: Object.fromEntries(
      commandNames.map((name) => [
        `bin/${name}`,
        `#!/bin/sh\nexec ${quote(bun)} ${quote(`${source}/cli/main.ts`)} ${name} "$@"\n`,
      ]),
    ),
    network: plan.wires
      .map((wire) => `ip address add ${wire.address}/24 dev ${wire.device}\nip link set ${wire.device} up\n`)
      .join(""),
    services: [
      "exec >>/var/log/one/console.log 2>&1",
      `echo "$(date -Is) ${plan.name} boots"`,
      // libuv's default of 4 threads would let four slow disk calls hold up all others.
      "export UV_THREADPOOL_SIZE=16",
      state.bare ? "" : `service ${quote(bun)} ${quote(`${source}/supervisor.ts`)} &`,
      "",
    ].join("\n"),
  };
}

function onedConfDefault(_plan: NodePlan, state: RackState): string {
  return onedConf(`PROFILE = "${state.profile}"`);
}

function onedConf(raft: string): string {
  return `# Written by the rack at the first start of this box; yours to change.
VIP = [ INTERFACE = "eth0", ADDRESS = "${VIP}/24" ]
RAFT = [ ${raft} ]
`;
}

/** For racks with emulated machines: they stand still for hundreds of ms, three at once for seconds. */
export function patientConf(electionMs: number): BoxFiles {
  const raft = `ELECTION_TIMEOUT_MS = ${electionMs}, BROADCAST_TIMEOUT_MS = ${electionMs / 5}`;
  return { onedConf: () => onedConf(raft) };
}

/** OpenNebula's own numbers. */
export const PATIENT_CONF = patientConf(2500);

function boxConfDefault(plan: NodePlan): string {
  const [mgmt, bmc] = plan.wires;
  return `# Written by the rack at the first start of this box; yours to change.
SERVER_ID = ${plan.number === 0 ? -1 : plan.number}
NETWORK = [ HOSTNAME = "${plan.name}", MGMT = "${mgmt?.address}", BMC = "${bmc?.address}", BMC_INTERFACE = "${bmc?.device}" ]
`;
}

function writeNew(path: string, text: string): void {
  if (!existsSync(path)) writeFileSync(path, text);
}

/** A word as the shell reads it back unchanged. */
export function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
