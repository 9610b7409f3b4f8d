/** How fast the simulator of the core goes on one core. */
import { must } from "../support/rack/command.ts";
import type { BenchRow } from "./row.ts";
import type { SimRate } from "./sim-main.ts";

/** A minute is what the figure is about. */
const CPU_SECONDS = 60;
const STEPS = 20_000;
const TIMEOUT_MS = 300_000;

/**
 * The core component as CI runs it (one seed in a hundred runs twice, which counts once), storms of 20,000 steps, from
 * seed 1 on: in a process of its own that may use one processor, per second of its processor time, all threads together.
 */
export async function bench({ log }: { readonly log: (line: string) => void }): Promise<BenchRow[]> {
  const bun = [process.execPath, `${import.meta.dirname}/sim-main.ts`, `${CPU_SECONDS}`, `${STEPS}`];
  const text = await must(["taskset", "--cpu-list", await lastCpu(), ...bun], { timeoutMs: TIMEOUT_MS });
  const { seeds, steps, cpuMs, elapsedMs } = JSON.parse(text) as SimRate;
  log(
    `sim: ${seeds} seeds, ${steps} steps in ${(cpuMs / 1000).toFixed(1)} s of one core, ${(elapsedMs / 1000).toFixed(1)} s by the clock`,
  );
  const alone = { peer: null, peerValue: null, ratio: null };
  return [
    { key: "sim.stepsPerSecond", value: (steps * 1000) / cpuMs, unit: "steps/core-s", n: steps, ...alone },
    { key: "sim.seedsPerMinute", value: (seeds * 60_000) / cpuMs, unit: "seeds/core-min", n: seeds, ...alone },
  ];
}

/** The last processor that this process may use: interrupts are most often the first one's. */
async function lastCpu(): Promise<string> {
  const list = await must(["taskset", "--cpu-list", "--pid", String(process.pid)]);
  return /(\d+)\s*$/.exec(list)?.[1] ?? "0";
}
