import { readFileSync, writeFileSync } from "node:fs";
import { CodedError } from "../base/error.ts";

/** Per-interface settings under net.ipv4.conf. */
export type InterfaceSetting = "arp_ignore" | "arp_announce" | "arp_notify" | "rp_filter" | "forwarding";

/** Reads one setting of one interface. Throws when the interface does not exist. */
export function readSetting(interfaceName: string, setting: InterfaceSetting): number {
  return Number(attempt("read", interfaceName, setting, (path) => readFileSync(path, "utf8")));
}

/** Writes one setting of one interface; the larger of this one and the one of `all` is in force for arp_*. */
export function writeSetting(interfaceName: string, setting: InterfaceSetting, value: number): void {
  attempt("write", interfaceName, setting, (path) => writeFileSync(path, `${value}\n`));
}

/**
 * Keeps UDP and TCP ports from being given to sockets that ask for none; what was reserved before stays. Throws when the kernel
 * does not let us.
 */
export function reserveLocalPorts(first: number, last: number): void {
  const path = "/proc/sys/net/ipv4/ip_local_reserved_ports";
  try {
    const known = readFileSync(path, "utf8").trim();
    writeFileSync(path, `${known === "" ? "" : `${known},`}${first}-${last}\n`);
  } catch (cause) {
    throw new CodedError("sysctl", `Cannot reserve the local ports ${first}-${last}`, cause);
  }
}

function attempt<T>(verb: string, interfaceName: string, setting: string, action: (path: string) => T): T {
  // A name has no slash and no "..": a file path is made of it. VLAN names may hold a dot, which /proc keeps as it is.
  if (!/^[A-Za-z0-9_.:@-]{1,15}$/.test(interfaceName) || interfaceName === "." || interfaceName === "..") {
    throw new CodedError("sysctl", `Cannot ${verb} ${setting}: "${interfaceName}" is not an interface name`);
  }
  try {
    return action(`/proc/sys/net/ipv4/conf/${interfaceName}/${setting}`);
  } catch (cause) {
    throw new CodedError("sysctl", `Cannot ${verb} ${setting} of interface "${interfaceName}"`, cause);
  }
}
