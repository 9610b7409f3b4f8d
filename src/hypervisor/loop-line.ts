import { type ListedDomain, parseDomainRow } from "./domain-list.ts";

/** One line of the beacon, read. Times are the host's uptime in ms; `null`: not yet, since the loop began. */
export type LoopLine =
  | {
      readonly kind: "hello";
      /** Another value means another boot: kernel boot id and start of its first process. */
      readonly bootId: string;
      readonly cpus: number;
      readonly hasKvm: boolean;
      readonly hostname: string;
    }
  | { readonly kind: "uuid"; readonly uuid: string }
  | {
      readonly kind: "tick";
      readonly sequence: number;
      readonly uptimeMs: number;
      readonly libvirtUptimeMs: number | null;
      readonly diskUptimeMs: number | null;
    }
  | {
      readonly kind: "sample";
      readonly memoryTotalKib: number;
      readonly memoryAvailableKib: number;
      /** Ticks since boot of all CPUs together: all, and idle or waiting for a disk. Differences give the use. */
      readonly cpuTicks: number;
      readonly cpuIdleTicks: number;
    }
  | { readonly kind: "domain"; readonly domain: ListedDomain }
  /** The rows since the last such line are all domains, as libvirtd answered at `libvirtUptimeMs`. */
  | { readonly kind: "domains-end"; readonly libvirtUptimeMs: number }
  /** The event stream (re)started: what happened before it is only in a list. */
  | { readonly kind: "events-started" }
  /** The loop says in words what is wrong. */
  | { readonly kind: "complaint"; readonly text: string };

/** Reads one line. Undefined for anything that is not ours: a login banner, a profile that prints, a torn line. */
export function parseLoopLine(line: string): LoopLine | undefined {
  if (!line.startsWith("rf1 ")) return undefined;
  const type = line.slice(4, 5);
  const rest = line.slice(6);
  switch (type) {
    case "T":
      return parseTick(rest.split(" "));
    case "H": {
      const [bootId = "", cpus, kvm, ...name] = rest.split(" ");
      const count = wholeNumber(cpus);
      if (bootId === "" || count === undefined) return undefined;
      return { kind: "hello", bootId, cpus: count, hasKvm: kvm === "1", hostname: name.join(" ") };
    }
    case "U":
      return /^[0-9a-fA-F-]{36}$/.test(rest) ? { kind: "uuid", uuid: rest.toLowerCase() } : undefined;
    case "S":
      return parseSample(rest.split(" "));
    case "D": {
      const domain = parseDomainRow(rest);
      return domain === undefined ? undefined : { kind: "domain", domain };
    }
    case "L": {
      const libvirtUptimeMs = uptime(rest);
      return typeof libvirtUptimeMs === "number" ? { kind: "domains-end", libvirtUptimeMs } : undefined;
    }
    case "R":
      return { kind: "events-started" };
    case "E":
      return { kind: "complaint", text: rest.slice(0, 200) };
    default:
      return undefined;
  }
}

function parseTick(fields: readonly string[]): LoopLine | undefined {
  const sequence = wholeNumber(fields[0]);
  const uptimeMs = uptime(fields[1]);
  const libvirtUptimeMs = uptime(fields[2]);
  const diskUptimeMs = uptime(fields[3]);
  if (sequence === undefined || typeof uptimeMs !== "number") return undefined;
  if (libvirtUptimeMs === undefined || diskUptimeMs === undefined) return undefined;
  return { kind: "tick", sequence, uptimeMs, libvirtUptimeMs, diskUptimeMs };
}

function parseSample(fields: readonly string[]): LoopLine | undefined {
  const numbers = fields.filter((field) => field !== "").map(wholeNumber);
  const [memoryTotalKib, memoryAvailableKib, ...ticks] = numbers;
  if (memoryTotalKib === undefined || memoryAvailableKib === undefined || ticks.length < 5) return undefined;
  // user nice system idle iowait irq softirq steal; what follows (guest time) is inside user already (proc(5)).
  const counted = ticks.slice(0, 8).map((value) => value ?? 0);
  const cpuTicks = counted.reduce((sum, value) => sum + value, 0);
  return {
    kind: "sample",
    memoryTotalKib,
    memoryAvailableKib,
    cpuTicks,
    cpuIdleTicks: (counted[3] ?? 0) + (counted[4] ?? 0),
  };
}

/** `12345.67` s in ms; null for `-`; undefined when it is neither. */
function uptime(field: string | undefined): number | null | undefined {
  if (field === "-") return null;
  if (field === undefined || !/^\d{1,12}(\.\d{1,3})?$/.test(field)) return undefined;
  return Math.round(Number(field) * 1000);
}

function wholeNumber(field: string | undefined): number | undefined {
  return field !== undefined && /^\d{1,15}$/.test(field) ? Number(field) : undefined;
}
