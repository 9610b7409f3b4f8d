// One process of many: runs a stretch of seeds of one component and tells of each as a line of JSON. Started by pool.ts.

import { runSeed } from "./seed.ts";
import { type Stretch, suitesNamed, type WorkerLine } from "./suite.ts";

const stretch = JSON.parse(process.argv[2] ?? "{}") as Stretch;
const suite = suitesNamed(stretch.suite)[0];
if (suite === undefined) throw new Error(`no component "${stretch.suite}"`);

function tell(line: WorkerLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const endAt = performance.now() + stretch.secondsMax * 1000;
const counters = new Map<string, number>();
let seeds = 0;
let steps = 0;
for (let seed = stretch.from; seed < stretch.from + stretch.seeds && performance.now() < endAt; seed++) {
  tell({ kind: "begin", seed });
  const options = { seed, steps: stretch.steps, mutants: new Set(stretch.mutants) };
  const result = await runSeed(suite, options);
  seeds++;
  steps += result.steps;
  for (const [name, count] of result.counters) counters.set(name, (counters.get(name) ?? 0) + count);
  if (result.failure === undefined) continue;
  tell({ kind: "failure", seed, why: result.failure.message });
  if (stretch.stopsAtFailure) break;
}
const { user, system } = process.cpuUsage();
tell({ kind: "end", seeds, steps, cpuSeconds: (user + system) / 1e6, counters: Object.fromEntries(counters) });
