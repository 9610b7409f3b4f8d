import type { HostInference } from "./inference.ts";

/** Monotonic milliseconds. */
export type Now = () => number;

/** What a beacon line says, whoever kept the connection. Times of the host are its uptime in ms; `at` is ours. */
export type HostLine =
  | { readonly kind: "hello"; readonly at: number; readonly bootId: string }
  | {
      readonly kind: "tick";
      readonly at: number;
      readonly uptimeMs: number;
      /** Null: not since the loop began. */
      readonly libvirtUptimeMs: number | null;
      readonly diskUptimeMs: number | null;
    }
  | {
      readonly kind: "sample";
      readonly at: number;
      readonly memoryTotalKib: number;
      readonly memoryAvailableKib: number;
      readonly cpuTicks: number;
      readonly cpuIdleTicks: number;
    };

/** Further evidence about a silent host. Each asks at most what its owner allows; a rejection or `undefined` is no evidence. */
export interface Evidence {
  /** The power state that the host's BMC answers now. */
  bmcPower(hostId: number): Promise<"on" | "off" | undefined>;
  /** The text of the host's last beat on the shared datastore, read through another host. */
  storageBeat(hostId: number): Promise<string | undefined>;
  /** One try to bring a hung libvirtd back. */
  restartLibvirtd(hostId: number): Promise<void>;
}

/** One host's level on the leader: said at each change and again every second. */
export interface HostLevel {
  readonly kind: "host-up" | "host-down" | "host-isolated" | "host-undecided";
  readonly hostId: number;
  readonly inference: HostInference;
  /** Since when it is of this kind, by this leader's clock. */
  readonly since: number;
}
