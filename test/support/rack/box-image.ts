/** A box as a machine of its own: an emulator with a disk from the image, on the box's cables. Reached as people do: by ssh. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { releaseOf } from "../../../appliance/disk.ts";
import { emulator } from "../../../appliance/emulator.ts";
import { machineConf, SESSION } from "../image/box.ts";
import { copyDisk, putFiles } from "../image/disk-file.ts";
import { type BoxFiles, quote } from "./box.ts";
import { must } from "./command.ts";
import { namespaceOf, nodeDataDirectory, nodeRunDirectory, type Place } from "./place.ts";
import type { NodePlan, Wire } from "./plan.ts";
import type { RackState } from "./state.ts";
import { inNamespace, ipBatch } from "./switch.ts";

/** Several emulators on few processors starve each other: what is a hang on a machine of its own is none there. */
const HANG_SECONDS = 20;
/** A box whose machine is gone is noticed by ssh after so long. */
const SSH_ALIVE_SECONDS = 10;

/** True for a box that is an emulated machine. */
export function isEmulated(place: Place, plan: NodePlan): boolean {
  return existsSync(diskOf(place, plan));
}

/** The disk of such a box. */
function diskOf(place: Place, plan: NodePlan): string {
  return `${nodeDataDirectory(place, plan.name)}/disk.img`;
}

/** Writes a disk from the rack's image as an installer leaves it. What is there already is kept. */
export async function prepareBoxImage(
  place: Place,
  plan: NodePlan,
  state: RackState,
  files: Required<BoxFiles>,
): Promise<void> {
  if (isEmulated(place, plan)) return;
  const data = nodeDataDirectory(place, plan.name);
  for (const directory of ["lib/.one", "log"]) mkdirSync(`${data}/${directory}`, { recursive: true, mode: 0o700 });
  const disk = `${data}/disk.new`;
  await copyDisk(state.image, disk);
  await putFiles(disk, {
    "etc/oned.conf": files.onedConf(plan, state),
    "etc/box.conf": `${files.boxConf(plan, state)}${interfaceConf(plan)}${machineConf(state.image, HANG_SECONDS)}`,
    "ssh/authorized_keys": readFileSync(`${keyFile(place)}.pub`, "utf8"),
    "lib/.one/one_auth": `${SESSION}\n`,
  });
  writeFileSync(`${data}/lib/.one/one_auth`, `${SESSION}\n`, { mode: 0o600 });
  renameSync(disk, diskOf(place, plan));
}

/** What a box of the rack without a machine of its own is given by the rack. */
function interfaceConf(plan: NodePlan): string {
  const interfaces = plan.wires.map(
    ({ device, address }) => `INTERFACE = [ NAME = "${device}", ADDRESS = "${address}/24" ]\n`,
  );
  return interfaces.join("");
}

/**
 * Cables the machine: in the box's namespace, each wire's end and a tap are one bridge, so all that is done to the rack's
 * cables is done to the machine's. The words of its emulator.
 */
export async function emulatorOf(place: Place, plan: NodePlan): Promise<readonly string[]> {
  await ipBatch(
    namespaceOf(place, plan.name),
    plan.wires.flatMap((wire) => [
      // The machine has the wire's MAC: its own end may not have it too.
      `link set ${wire.device} address ${wire.mac.replace(/^02:/, "06:")}`,
      `tuntap add dev ${tapOf(wire)} mode tap`,
      `link add ${bridgeOf(wire)} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
      ...[wire.device, tapOf(wire)].map((port) => `link set ${port} master ${bridgeOf(wire)}`),
      ...[wire.device, tapOf(wire), bridgeOf(wire)].map((link) => `link set ${link} up`),
    ]),
  );
  const run = nodeRunDirectory(place, plan.name);
  const disk = diskOf(place, plan);
  const log = serialLog(place, plan.name);
  return [
    ...emulator({
      ...{ image: disk, format: "raw", architecture: releaseOf(disk).architecture },
      // With one, what the core thread does in a cluster leaves the rest of the box nothing in an emulator.
      ...{ disk: "virtio", isUefi: false, watchdog: "i6300esb", processors: 2, memoryMib: 512 },
    }),
    ...plan.wires.flatMap((wire) => [
      "-netdev",
      `tap,id=${wire.device},ifname=${tapOf(wire)},script=no,downscript=no`,
      "-device",
      `virtio-net-pci,netdev=${wire.device},mac=${wire.mac},romfile=`,
    ]),
    ...["-chardev", `socket,id=line,path=${run}/serial,server=on,wait=off,logfile=${log},logappend=on`],
    ...["-serial", "chardev:line"],
    ...["-qmp", `unix:${run}/qmp,server=on,wait=off`],
  ];
}

/** All that a box's machine has said on its first line, of every boot since the rack came up. */
export function serialLog(place: Place, name: string): string {
  return `${nodeDataDirectory(place, name)}/log/serial.log`;
}

function tapOf(wire: Wire): string {
  return `tap-${wire.device}`;
}

function bridgeOf(wire: Wire): string {
  return `br-${wire.device}`;
}

/** The words that run `argv` in the machine, from the rack's client. */
export function sshTo(place: Place, plan: NodePlan, argv: readonly string[]): readonly string[] {
  const options = {
    ...{ BatchMode: "yes", StrictHostKeyChecking: "no", UserKnownHostsFile: "/dev/null", LogLevel: "ERROR" },
    ...{ ConnectTimeout: SSH_ALIVE_SECONDS, ServerAliveInterval: SSH_ALIVE_SECONDS, ServerAliveCountMax: 1 },
  };
  return [
    ...inNamespace(place, "client"),
    ...["ssh", "-i", keyFile(place), ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`])],
    ...[`root@${plan.wires[0]?.address}`, "--", argv.map(quote).join(" ")],
  ];
}

function keyFile(place: Place): string {
  return `${place.dataDirectory}/ssh-key`;
}

/** Makes the key that opens all boxes of the rack. */
export async function prepareSshKey(place: Place): Promise<void> {
  mkdirSync(place.dataDirectory, { recursive: true });
  if (existsSync(keyFile(place))) return;
  await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "rack", "-f", keyFile(place)]);
}
