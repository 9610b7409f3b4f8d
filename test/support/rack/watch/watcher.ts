/** Starts watchers from a test, a bench or the demo, and reads what they saw. */
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { inCgroup } from "../cgroup.ts";
import { waitFor } from "../command.ts";
import type { Place } from "../place.ts";
import { boxPlan, VIP } from "../plan.ts";
import type { RackState } from "../state.ts";
import { inNamespace, SWITCH } from "../switch.ts";
import type { WatchEvent } from "./event-file.ts";

/** A watcher writes what it has every 50 ms. */
const SETTLE_MS = 120;
const START_TIMEOUT_MS = 10_000;
const INTERVAL_MS_DEFAULT = 5;

/** A watcher that runs. It also ends with this process, and with the rack. */
export interface Watcher {
  /** The event file. */
  readonly path: string;
  /** All events so far, but for those of the last 50 ms. */
  events(): readonly WatchEvent[];
  /** Waits until everything that was seen before this call is in the file, then reads it. */
  settled(): Promise<readonly WatchEvent[]>;
  stop(): Promise<readonly WatchEvent[]>;
}

/** Echoes to addresses from the rack's client: the VIP, guests, anything. */
export function startProber(
  place: Place,
  targets: Readonly<Record<string, string>> = { vip: VIP },
  intervalMs: number = INTERVAL_MS_DEFAULT,
): Promise<Watcher> {
  const words = Object.entries(targets).map(([name, address]) => `${name}=${address}`);
  return start(place, "client", "prober-main.ts", [String(intervalMs), ...words]);
}

/** Who holds the VIP, asked of all boxes at once. */
export function startHolderWatcher(place: Place, state: RackState, vip: string = VIP): Promise<Watcher> {
  const macs = Array.from({ length: state.boxes }, (_, number) => boxPlan(number).wires[0]?.mac ?? "");
  return start(place, SWITCH, "holder-main.ts", [vip, ...macs]);
}

/** Records on guests' disks: name → path on this machine. */
export function startDiskWatcher(place: Place, disks: Readonly<Record<string, string>>): Promise<Watcher> {
  const words = Object.entries(disks).map(([name, path]) => `${name}=${path}`);
  return start(place, "client", "disk-main.ts", words);
}

let started = 0;

async function start(place: Place, namespace: string, program: string, words: readonly string[]): Promise<Watcher> {
  const directory = `${place.runDirectory}/watchers`;
  mkdirSync(directory, { recursive: true });
  const path = `${directory}/${program.replace("-main.ts", "")}-${process.pid}-${++started}.ndjson`;
  // In real time where the kernel lets us: a watcher that waits for a processor sees gaps that nobody else saw.
  const hurry = ["sh", "-c", 'chrt --rr 10 true 2>/dev/null && exec chrt --rr 10 "$@"; exec nice -n -10 "$@"', "sh"];
  const script = [process.execPath, `${import.meta.dirname}/${program}`, path, ...words];
  const child = Bun.spawn([...inCgroup(place, "watchers"), ...inNamespace(place, namespace), ...hurry, ...script], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "pipe",
    detached: true,
  });
  const events = () => (existsSync(path) ? parse(readFileSync(path, "utf8")) : []);
  await waitFor(`watcher ${program} to start`, START_TIMEOUT_MS, async () => {
    if (child.exitCode !== null) throw new Error(`Cannot start ${program}: ${await child.stderr.text()}`);
    return events().length > 0;
  });
  return {
    path,
    events,
    settled: async () => {
      await Bun.sleep(SETTLE_MS);
      return events();
    },
    stop: async () => {
      await child.stdin.end();
      await child.exited;
      return events();
    },
  };
}

function parse(text: string): readonly WatchEvent[] {
  // The last line may still be being written.
  const lines = text
    .slice(0, text.lastIndexOf("\n") + 1)
    .split("\n")
    .filter(Boolean);
  return lines.map((line) => JSON.parse(line) as WatchEvent);
}
