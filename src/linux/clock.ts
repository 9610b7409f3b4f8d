import { readFileSync } from "node:fs";
import { CodedError } from "../base/error.ts";
import { libc } from "./libc.ts";

const CLOCK_MONOTONIC = 1;
const CLOCK_MONOTONIC_RAW = 4;
const CLOCK_BOOTTIME = 7;

/** The kernel's clocks in ms with a fraction (clock_gettime(2)); resolution 1 ns, safe for 285 years of uptime. */
export interface Clock {
  /** Not slewed by NTP: what promises and leases are measured on. Stands still while the machine is suspended. */
  monotonicRaw(): number;
  /** Slewed by NTP; the clock of `performance.now()` and of kernel timers. */
  monotonic(): number;
  /** Goes on while the machine is suspended: what lease tokens are made of. */
  bootTime(): number;
  /** Names this boot of the kernel: a UUID, another one after every restart of the machine. */
  bootId(): string;
}

/** Opens the clocks. Throws when the kernel lacks one (none does since 2.6.39). */
export function createClock(): Clock {
  const timespec = new BigInt64Array(2);
  const gettime = (id: number): number => {
    if (libc.clock_gettime(id, timespec) !== 0) throw new CodedError("clock", `Cannot read clock ${id}`);
    return Number(timespec[0]) * 1e3 + Number(timespec[1]) / 1e6;
  };
  return {
    monotonicRaw: () => gettime(CLOCK_MONOTONIC_RAW),
    monotonic: () => gettime(CLOCK_MONOTONIC),
    bootTime: () => gettime(CLOCK_BOOTTIME),
    bootId: () => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim(),
  };
}
