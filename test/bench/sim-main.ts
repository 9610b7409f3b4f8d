/**
 * Seeds of the core's simulator, one after the other, for so long: `sim-main.ts CPU_SECONDS STEPS`. The result as JSON on
 * standard output. A seed that fails ends it: a rate of a simulator that finds something is no rate.
 */
import { runSeed } from "../sim/seed.ts";
import { SUITES } from "../sim/suite.ts";

export interface SimRate {
  readonly seeds: number;
  readonly steps: number;
  /** Of all threads of this process. */
  readonly cpuMs: number;
  readonly elapsedMs: number;
}

/** Where others take the processor away, this ends it. */
const WALL_SHARE_MAX = 4;

async function run(cpuSeconds: number, stepsOfSeed: number): Promise<SimRate> {
  const core = SUITES.find(({ name }) => name === "core");
  if (core === undefined) throw new Error("There is no core component");
  const startedAt = performance.now();
  const cpuAt = process.cpuUsage();
  for (let seeds = 1, steps = 0; ; seeds++) {
    const result = await runSeed(core, { seed: seeds, steps: stepsOfSeed, mutants: new Set() });
    if (result.failure !== undefined) throw new Error(`Seed ${seeds} fails`, { cause: result.failure });
    steps += result.steps;
    const { user, system } = process.cpuUsage(cpuAt);
    const cpuMs = (user + system) / 1000;
    const elapsedMs = performance.now() - startedAt;
    if (cpuMs >= cpuSeconds * 1000 || elapsedMs >= cpuSeconds * 1000 * WALL_SHARE_MAX)
      return { seeds, steps, cpuMs, elapsedMs };
  }
}

if (import.meta.main) {
  const [cpuSeconds, steps] = process.argv.slice(2).map(Number);
  console.log(JSON.stringify(await run(cpuSeconds ?? 1, steps ?? 1000)));
}
