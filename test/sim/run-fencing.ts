// The simulator of fencing and recovery from the command line: many seeds, or one told line by line.

import { parseArgs } from "node:util";
import { FENCING_MUTANTS, runSeed } from "./fencing.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "1000" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    mutant: { type: "string" },
  },
});
if (values.mutant !== undefined && !FENCING_MUTANTS.some((name) => name === values.mutant)) {
  console.error(`Mutant "${values.mutant}" is unknown; known are ${FENCING_MUTANTS.join(" ")}`);
  process.exit(2);
}
const mutants = new Set(values.mutant === undefined ? [] : [values.mutant]);
const isReplay = values.seed !== undefined;
const from = Number(values.seed ?? values.from);
const count = isReplay ? 1 : Number(values.seeds);
const totals: Record<string, number> = {};
let failed = 0;
for (let seed = from; seed < from + count; seed++) {
  const run = await runSeed(seed, mutants, isReplay ? (line) => console.log(line) : undefined);
  for (const [what, times] of Object.entries(run.counters)) totals[what] = (totals[what] ?? 0) + times;
  if (run.ok) continue;
  failed++;
  const mutant = values.mutant === undefined ? "" : ` --mutant ${values.mutant}`;
  console.log(`seed ${seed}: ${run.violation}`);
  if (!isReplay) console.log(`  replay: npx bun test/sim/run-fencing.ts --seed ${seed}${mutant}`);
}
for (const [what, times] of Object.entries(totals).sort()) console.log(`  ${String(times).padStart(8)} ${what}`);
console.log(`${count - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 && count > 0 ? 0 : 1;
