// The simulators from the command line: see HELP in arguments.ts.

import { resolve } from "node:path";
import { type Arguments, parseArguments } from "./arguments.ts";
import { Campaign, tellCounters } from "./campaign.ts";
import { isMutant } from "./mutant.ts";
import { PLANTS } from "./plants.ts";
import { rangesOf, shrink } from "./shrink.ts";
import type { Suite } from "./suite.ts";
import { traceLine } from "./trace.ts";

async function replay(suite: Suite, seed: number, given: Arguments): Promise<boolean> {
  const { steps, mutants, onlyFaults, skipped, traceFile } = given;
  const lines: string[] = [];
  const result = await suite.run({
    seed,
    steps,
    mutants,
    trace: (line) => console.log(line),
    ...(onlyFaults === undefined ? {} : { onlyFaults }),
    ...(skipped === undefined ? {} : { skipped }),
    ...(traceFile === undefined ? {} : { traceEvent: (event) => lines.push(traceLine(event, lines.length + 1)) }),
  });
  if (traceFile !== undefined) await Bun.write(traceFile, lines.map((line) => `${line}\n`).join(""));
  tellCounters(result.counters);
  console.log(`${suite.name}, seed ${seed}: ${result.steps} steps, hash ${result.hash}`);
  if (result.failure !== undefined) console.log(result.failure.stack ?? result.failure.message);
  return result.failure === undefined;
}

/** True when the seed does not fail. */
function tellShrunk(seed: number, { steps, mutants }: Arguments): boolean {
  const shrunk = shrink({ seed, steps, mutants: new Set([...mutants].filter(isMutant)) });
  if (shrunk === undefined) return true;
  const { settings, result, faults, decisions, runs } = shrunk;
  console.log(`${result.failure?.message}`);
  console.log(`after ${runs} runs: ${result.steps} steps, ${decisions} strikes, faults: ${faults.join(" ") || "none"}`);
  const words = [`--steps ${settings.steps}`, `--faults ${faults.join() || "none"}`];
  if (settings.skipped !== undefined && settings.skipped.size > 0) words.push(`--skip ${rangesOf(settings.skipped)}`);
  for (const mutant of mutants) words.push(`--mutant ${mutant}`);
  console.log(`  replay: ./scripts/test sim --component core --seed ${seed} ${words.join(" ")}`);
  return false;
}

/** A mistake in the source needs a process that reads it: this one again, with the plant. Returns its exit code. */
async function runPlanted(plant: string): Promise<number> {
  const command = [process.execPath, "--preload", resolve(import.meta.dir, "plant.ts"), ...process.argv.slice(1)];
  const env = { ...process.env, RINGFENCE_PLANT: plant };
  return await Bun.spawn(command, { stdio: ["ignore", "inherit", "inherit"], env }).exited;
}

const given = parseArguments(process.argv.slice(2));
const plant = PLANTS.find(({ name }) => given.mutants.has(name))?.name;
const isPlanted = process.env["RINGFENCE_PLANT"] === plant;
if (given.seed !== undefined && plant !== undefined && !isPlanted) process.exit(await runPlanted(plant));
let passed = 0;
let failed = 0;
if (given.seed === undefined) {
  const campaign = new Campaign(given);
  if (given.fixed !== undefined) await campaign.fixed(given.fixed.from, given.fixed.seeds);
  if (given.newSeedsMs > 0) await campaign.random(given.newSeedsMs);
  ({ passed, failed } = campaign.close());
} else {
  for (const suite of given.suites) {
    if (given.isShrinking ? tellShrunk(given.seed, given) : await replay(suite, given.seed, given)) passed++;
    else failed++;
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
