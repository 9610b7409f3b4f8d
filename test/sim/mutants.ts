// Plants each known mistake and shows the simulator catching it: how many seeds that took (the median of some hunts, each
// from another seed on) and which promise was seen to break. `--ci`: one hunt for the mistakes that must never be missed.
// `--hunts N`, `--component NAME`, or names of mutants: only those.

import { availableParallelism } from "node:os";
import { STEPS } from "./arguments.ts";
import { PLANTS } from "./plants.ts";
import { runStretch } from "./pool.ts";
import { SUITES, type Suite } from "./suite.ts";

/** Hunts that make a median. */
const HUNTS = 3;
/** From one hunt's seeds to the next one's. */
const HUNT_STRIDE = 1_000_000;

/** What CI plants: the mistake, and the promises by which it must be seen, so that nothing is "caught" by another failure. */
const CI: ReadonlyMap<string, RegExp> = new Map([
  ["commit-old-term-by-counting", /^only entries of the own term are counted/],
  ["vote-before-durable", /^nothing promised before it is durable|^one grant per voter and term/],
  ["applied-index-outside-transaction", /^one state per applied index|^a request is applied once/],
  ["log-answers-before-the-sync", /^nothing promised before it is durable/],
  ["purge-beyond-the-durable-applied", /^purge never beyond the durable applied index/],
  ["snapshot-without-sessions", /^one state per applied index|^a request is applied once/],
  ["vip-before-noop", /^the VIP waits for the own no-op|^the holder knows every acknowledged write/],
  ["lease-renewed-by-remaining-time", /^one (VIP holder|power gate open|lease) at every instant/],
  ["leader-reads-its-own-state", /^client histories are linearizable/],
  ["vote-against-an-outdated-log-position", /^leader completeness|^one committed log/],
  ["sync-error-ignored", /^what was acknowledged is there, and nothing else|^a crash is no corruption/],
  ["bad-record-taken-for-a-torn-tail", /^corruption is reported and never served/],
  ["local-sql-error-counted-as-applied", /^a request has one outcome|^one state per applied index/],
  ["power-off-without-lease", /^no power-off by a box without the lease/],
  [
    "deploy-and-resubmit-both-admitted",
    /^capacity is booked once|^no VM runs on two hosts|^no start of a VM that runs elsewhere/,
  ],
]);

interface Hunt {
  readonly seeds: number;
  /** Undefined: nobody noticed. */
  readonly by: string | undefined;
}

interface Target {
  readonly suite: Suite;
  readonly mutant: string;
}

/** Runs seeds with one planted mistake until something notices. */
async function hunt({ suite, mutant }: Target, from: number): Promise<Hunt> {
  const isPlant = PLANTS.some((plant) => plant.name === mutant);
  const stretch = {
    suite: suite.name,
    from,
    seeds: suite.mutantSeeds,
    steps: STEPS,
    mutants: isPlant ? [] : [mutant],
    secondsMax: Number.MAX_SAFE_INTEGER,
    stopsAtFailure: true,
  };
  const { seeds, failures } = await runStretch(stretch, isPlant ? mutant : undefined);
  return { seeds, by: failures[0]?.why };
}

function parse(words: readonly string[]): { targets: readonly Target[]; hunts: number } {
  const isCi = words.includes("--ci");
  const value = (flag: string): string | undefined => {
    const at = words.indexOf(flag);
    return at < 0 ? undefined : words[at + 1];
  };
  const hunts = Number(value("--hunts") ?? (isCi ? 1 : HUNTS));
  const component = value("--component");
  const named = words.filter((word, i) => !word.startsWith("--") && !/^--(hunts|component)$/.test(words[i - 1] ?? ""));
  const all = SUITES.flatMap((suite) => suite.mutants.map((mutant) => ({ suite, mutant })));
  const unknown = [...named, ...CI.keys()].find((name) => !all.some(({ mutant }) => mutant === name));
  if (
    unknown !== undefined ||
    !(hunts > 0) ||
    (component !== undefined && !all.some((t) => t.suite.name === component))
  ) {
    console.error(`${unknown ?? words.join(" ")}: unknown. Mutants: ${all.map(({ mutant }) => mutant).join(" ")}`);
    process.exit(2);
  }
  const isWanted = ({ mutant, suite }: Target): boolean => {
    if (named.length > 0) return named.includes(mutant);
    return isCi ? CI.has(mutant) : component === undefined || suite.name === component;
  };
  return { targets: all.filter(isWanted), hunts };
}

/** One line of the table; true when every hunt was successful. */
async function show(target: Target, count: number): Promise<boolean> {
  const startedAt = performance.now();
  const hunts: Hunt[] = [];
  for (let i = 0; i < count; i++) {
    const result = await hunt(target, 1 + i * HUNT_STRIDE);
    hunts.push(result);
    if (result.by === undefined) break;
  }
  const expected = CI.get(target.mutant) ?? /./;
  const wrong = hunts.find(({ by }) => by === undefined || !expected.test(by));
  const counts = hunts.map(({ seeds }) => seeds).sort((a, b) => a - b);
  const median = counts[Math.floor(counts.length / 2)] ?? 0;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1).padStart(6);
  const verdict = wrong === undefined ? "" : wrong.by === undefined ? "MISSED " : "BY ANOTHER FAILURE ";
  const by = (wrong ?? hunts[0])?.by?.slice(0, 100).split("\n")[0] ?? "";
  const seeds = `${String(median).padStart(6)} ${String(counts[counts.length - 1]).padStart(6)}`;
  console.log(`${target.suite.name.padEnd(8)} ${target.mutant.padEnd(42)} ${seeds} ${seconds} s  ${verdict}${by}`);
  return wrong === undefined;
}

const { targets, hunts } = parse(process.argv.slice(2));
console.log(`${"".padEnd(51)} median    max  of ${hunts}`);
const waiting = [...targets];
let caught = 0;
let missed = 0;
const lane = async (): Promise<void> => {
  for (let target = waiting.shift(); target !== undefined; target = waiting.shift()) {
    if (await show(target, hunts)) caught++;
    else missed++;
  }
};
await Promise.all(Array.from({ length: availableParallelism() }, lane));
console.log(`${caught} passed, ${missed} failed`);
process.exitCode = missed === 0 && caught > 0 ? 0 : 1;
