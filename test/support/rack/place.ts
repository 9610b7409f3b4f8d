/** Where a rack lives on this machine. Racks with different names exist side by side: all else is in namespaces. */
import { existsSync, readFileSync } from "node:fs";
import { CodedError } from "../../../src/base/error.ts";

export interface Place {
  /** Empty for the rack that people use; tests have names of their own. */
  readonly name: string;
  /** Before the name of each network namespace. */
  readonly prefix: string;
  /** State, pid files, sockets: /run/ringfence-rack. */
  readonly runDirectory: string;
  /** The nodes' disks: /var/tmp/ringfence-rack. */
  readonly dataDirectory: string;
  /** Built kernels and libvirt's capability probes; survives `down`, shared by all racks. */
  readonly cacheDirectory: string;
  /** All processes of the rack are below this cgroup (version 2). */
  readonly cgroup: string;
}

/** The rack called `name`; by default the one that the environment variable RINGFENCE_RACK names, else the people's one. */
export function placeOf(name: string = process.env["RINGFENCE_RACK"] ?? ""): Place {
  if (!/^[a-z0-9]{0,8}$/.test(name)) {
    throw new CodedError("RACK_NAME", `Cannot use rack name "${name}": up to 8 lower-case letters and digits`);
  }
  const suffix = name === "" ? "" : `-${name}`;
  return {
    name,
    prefix: name === "" ? "rf-" : `rf-${name}-`,
    runDirectory: `/run/ringfence-rack${suffix}`,
    dataDirectory: `/var/tmp/ringfence-rack${suffix}`,
    cacheDirectory: "/var/tmp/ringfence-rack/cache",
    cgroup: `${cgroupRoot()}/ringfence-rack${suffix}`,
  };
}

/** Where cgroup version 2 is mounted: alone, or beside version 1. */
function cgroupRoot(): string {
  for (const line of readFileSync("/proc/mounts", "utf8").split("\n")) {
    const [, path = "", type] = line.split(" ");
    if (type === "cgroup2" && existsSync(`${path}/cgroup.procs`)) return path;
  }
  throw new CodedError(
    "RACK_CGROUP",
    "Cannot find a mounted cgroup2 file system: mount -t cgroup2 none /sys/fs/cgroup/unified",
  );
}

/** The network namespace of a node, or of the switch. */
export function namespaceOf(place: Place, node: string): string {
  return `${place.prefix}${node}`;
}

/** Files about a node that live as long as the rack is up. */
export function nodeRunDirectory(place: Place, node: string): string {
  return `${place.runDirectory}/nodes/${node}`;
}

/** What a node keeps over a power cut. */
export function nodeDataDirectory(place: Place, node: string): string {
  return `${place.dataDirectory}/${node}`;
}

/** The datastore that all hosts share. */
export function datastoreDirectory(place: Place): string {
  return `${place.dataDirectory}/datastore`;
}
