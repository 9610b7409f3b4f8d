// Plants each known mistake and shows the simulator catching it. `--ci`: the mistakes that must never be missed, with the
// promise that each one must be seen to break, so that nothing is "caught" by another failure. A name: only that one.

import { SUITES, type Suite } from "./suite.ts";

const STEPS = 5000;

/** What CI plants: the mistake, and the invariants by which it must be seen. */
const CI: ReadonlyMap<string, RegExp> = new Map([
  ["commit-old-term-by-counting", /^only entries of the own term are counted/],
  ["vote-before-durable", /^nothing promised before it is durable|^one grant per voter and term/],
  ["applied-index-outside-transaction", /^one state per applied index|^a request is applied once/],
  ["log-answers-before-the-sync", /^nothing promised before it is durable/],
  ["vip-before-noop", /^the VIP waits for the own no-op|^the holder knows every acknowledged write/],
  ["lease-renewed-by-remaining-time", /^one (VIP holder|power gate open) at every instant/],
  ["power-off-without-lease", /^no power-off by a box without the lease/],
  [
    "deploy-and-resubmit-both-admitted",
    /^capacity is booked once|^no VM runs on two hosts|^no start of a VM that runs elsewhere/,
  ],
]);

interface Caught {
  readonly seed: number;
  readonly by: string;
}

/** Runs seeds with one planted mistake until something notices. */
async function hunt(suite: Suite, mutant: string): Promise<Caught | undefined> {
  const mutants = new Set([mutant]);
  for (let seed = 1; seed <= suite.mutantSeeds; seed++) {
    const { failure } = await suite.run({ seed, steps: STEPS, mutants });
    if (failure !== undefined) return { seed, by: failure.message };
  }
  return undefined;
}

const words = process.argv.slice(2);
const isCi = words.includes("--ci");
const named = words.filter((word) => word !== "--ci");
const known = SUITES.flatMap((suite) => suite.mutants);
const unknown = [...named, ...CI.keys()].find((name) => !known.includes(name));
if (unknown !== undefined) {
  console.error(`Mutant "${unknown}" is unknown. Known: ${known.join(" ")}`);
  process.exit(2);
}
const isWanted = (mutant: string): boolean => (named.length > 0 ? named.includes(mutant) : !isCi || CI.has(mutant));

let caught = 0;
let missed = 0;
for (const suite of SUITES) {
  for (const mutant of suite.mutants.filter(isWanted)) {
    const startedAt = performance.now();
    const result = await hunt(suite, mutant);
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
    const isRight = result !== undefined && (CI.get(mutant)?.test(result.by) ?? true);
    if (isRight) caught++;
    else missed++;
    const verdict = isRight ? "" : result === undefined ? "MISSED " : "BY ANOTHER FAILURE ";
    const seeds = `${String(result?.seed ?? suite.mutantSeeds).padStart(5)} seeds ${seconds} s`;
    console.log(`${mutant.padEnd(40)} ${seeds}  ${verdict}${result?.by.slice(0, 110) ?? ""}`);
  }
}
console.log(`${caught} passed, ${missed} failed`);
process.exitCode = missed === 0 && caught > 0 ? 0 : 1;
