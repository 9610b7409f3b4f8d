/**
 * The test runner behind `scripts/test`. One process a file with a time limit, because uvu has neither and because a
 * file that runs no test must not be green. The last line is `N passed, N failed`.
 */

import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Glob } from "bun";
import { PATIENCE } from "./patience.ts";
import { placeOf } from "./rack/place.ts";
import { readState } from "./rack/state.ts";
import { down } from "./rack/up.ts";

interface Tally {
  passed: number;
  failed: number;
}

/** Seconds that a file may take on a quiet machine unless its first lines say `time-limit: N s`. */
const LIMIT_SECONDS_DEFAULT = 60;
/** Programs that count by themselves, a weekend's simulation among them, watch their own parts. */
const COUNTING_SECONDS_MAX = 7 * 24 * 3600;
const ROOT = resolve(import.meta.dir, "../..");
const BUN = process.execPath;

/** The suites by name, in the order of a full run: cheap and certain first. */
const suites: Record<string, (words: string[]) => Promise<Tally>> = {
  check: () => checks(),
  unit: (words) => files("test/unit/**/*.test.ts", 2, words),
  scenario: (words) => files("test/scenario/**/*.test.ts", 2, words),
  sim: (words) => simulator(words),
  mutants: (words) => mutants(words),
  rack: (words) => files("test/rack/**/*.test.ts", 1, words),
  image: (words) =>
    words.length === 0
      ? files(IMAGE_SHORT, 1, [])
      : files("test/image/**/*.test.ts", 1, words[0] === "long" ? words.slice(1) : words),
};
/** What CI runs; of `mutants` a part. */
const CI = ["check", "unit", "scenario", "sim", "mutants", "rack", "image"];
/** Boot and console, an update with its fallback, the watchdog's bite: each boot in the emulator takes a minute. */
const IMAGE_SHORT = "test/image/{boot,update,watchdog}.test.ts";

const [word = "ci", ...words] = process.argv.slice(2);
if (word === "--help" || word === "-h") {
  console.log(`usage: ./scripts/test [check|unit|scenario|sim|mutants|rack|image|all] [PATTERN | options]

  without words   what CI runs: ${CI.join(", ")}
  unit PATTERN    only the files whose path contains PATTERN
  image           the appliance's image in an emulator: boots, updates and hangs it (a quarter of an hour); image long:
                  all that can happen to it, on both architectures (two hours)
  sim             the fixed seeds and two minutes a core of new ones; --hours N: new ones for a night; --help
  mutants         plants each known mistake and shows the simulator catching it; CI plants those that must never be missed
                  --generic [FILE ...]: changes the consensus core's operators one at a time (an hour; by hand)`);
  process.exit(0);
}
const chosen = word === "ci" || word === "all" ? CI : [word];
/** Within a full run, where nobody waits for the rare ones, mutants does less; `all` is all that there is of the image. */
const wordsFor = (name: string): string[] => {
  if (name === "mutants" && chosen.length > 1) return ["--ci"];
  return name === "image" && word === "all" ? ["long"] : words;
};
const total: Tally = { passed: 0, failed: 0 };
for (const name of chosen) {
  const suite = suites[name];
  if (suite === undefined) {
    console.error(`Cannot run tests: no suite named "${name}" (see ./scripts/test --help)`);
    process.exit(2);
  }
  const startedAt = performance.now();
  const tally = await suite(wordsFor(name));
  total.passed += tally.passed;
  total.failed += tally.failed;
  console.log(
    `${name}: ${tally.passed} ok, ${tally.failed} not, ${((performance.now() - startedAt) / 1000).toFixed(1)} s`,
  );
}
if (total.passed + total.failed === 0) total.failed = 1;
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exit(total.failed === 0 ? 0 : 1);

/** Format, lint and types: each command is one test. */
async function checks(): Promise<Tally> {
  const commands = [
    ["biome", "check", "."],
    ["tsc", "-p", "tsconfig.json"],
    ["tsc", "-p", "tsconfig.pure.json"],
  ];
  const tally: Tally = { passed: 0, failed: 0 };
  for (const [program, ...words] of commands) {
    const result = await run([`node_modules/.bin/${program}`, ...words], 300);
    if (result.code === 0) tally.passed++;
    else {
      tally.failed++;
      console.log(`FAIL ${program} ${words.join(" ")}\n${result.output}`);
    }
  }
  return tally;
}

/** Every file of a pattern, `parallel` at a time. */
async function files(pattern: string, parallel: number, words: string[]): Promise<Tally> {
  const wanted = [...new Glob(pattern).scanSync(ROOT)]
    .filter((path) => words.every((part) => path.includes(part)))
    .sort();
  const tally: Tally = { passed: 0, failed: 0 };
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let path = wanted[next++]; path !== undefined; path = wanted[next++]) {
      const racks = new Set(rackNames());
      const one = await file(path);
      tally.passed += one.passed;
      tally.failed += one.failed;
      // One file at a time builds racks. What a killed one leaves up would take the machine from all that follow.
      if (parallel === 1) for (const name of rackNames().filter((each) => !racks.has(each))) await takeDown(name, path);
    }
  };
  await Promise.all(Array.from({ length: parallel }, worker));
  return tally;
}

/** The racks that this checkout has up, but for the one that people use: another checkout's tests go on beside ours. */
function rackNames(): readonly string[] {
  const names = readdirSync("/run").flatMap((entry) => /^ringfence-rack-([a-z0-9]+)$/.exec(entry)?.[1] ?? []);
  return names.filter((name) => readState(placeOf(name))?.repository === ROOT);
}

async function takeDown(name: string, path: string): Promise<void> {
  console.log(`${path} left its rack "${name}" up: it is taken down`);
  await down(placeOf(name)).catch((error: unknown) => console.log(`  in vain: ${String(error)}`));
}

async function file(path: string): Promise<Tally> {
  const head = readFileSync(resolve(ROOT, path), "utf8").slice(0, 2000);
  const limitSeconds = PATIENCE * Number(/time-limit: (\d+) s/.exec(head)?.[1] ?? LIMIT_SECONDS_DEFAULT);
  const startedAt = performance.now();
  const result = await run([BUN, path], limitSeconds);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const count = (name: string): number =>
    [...result.output.matchAll(new RegExp(`^\\s*${name}:\\s+(\\d+)`, "gm"))].reduce(
      (sum, match) => sum + Number(match[1]),
      0,
    );
  const ran = count("Total");
  const skipped = count("Skipped");
  const passed = Math.min(count("Passed"), ran);
  const failed = Math.max(ran - passed - skipped, result.code === 0 && ran > 0 ? 0 : 1);
  if (failed > 0) {
    const why = result.timedOut
      ? `took over ${limitSeconds} s`
      : ran === 0
        ? "ran no test"
        : `exit code ${result.code}`;
    console.log(`FAIL ${path} (${why}, ${seconds} s)\n${result.output.slice(-8000)}`);
  } else console.log(`ok   ${path} (${passed} in ${seconds} s${skipped > 0 ? `, ${skipped} skipped` : ""})`);
  return { passed, failed };
}

/** The simulators: the first seeds of each and new ones in CI, or what the options say. A seed is a test. */
async function simulator(words: string[]): Promise<Tally> {
  if (words.includes("--help")) process.exit((await run([BUN, "test/sim/run.ts", "--help"], 60, true)).code);
  return lastLine([BUN, "test/sim/run.ts", ...words]);
}

/** A planted mistake that is caught is a passed test. */
async function mutants(words: string[]): Promise<Tally> {
  if (words[0] === "--generic") return lastLine([BUN, "test/support/raft/generic-mutants.ts", ...words.slice(1)]);
  return lastLine([BUN, "test/sim/mutants.ts", ...words]);
}

/** A program that counts by itself and closes with `N passed, N failed`. */
async function lastLine(command: string[]): Promise<Tally> {
  const result = await run(command, COUNTING_SECONDS_MAX, true);
  const match = /(\d+) passed, (\d+) failed\s*$/.exec(result.output);
  if (match === null) {
    console.log(`FAIL ${command.slice(1).join(" ")}: no closing line, exit code ${result.code}`);
    return { passed: 0, failed: 1 };
  }
  const failed = Number(match[2]);
  return { passed: Number(match[1]), failed: result.code !== 0 && failed === 0 ? 1 : failed };
}

async function run(
  command: string[],
  limitSeconds: number,
  show = false,
): Promise<{ code: number; output: string; timedOut: boolean }> {
  const child = Bun.spawn(command, {
    cwd: ROOT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, UV_THREADPOOL_SIZE: "16", FORCE_COLOR: "0", NO_COLOR: "1" },
  });
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    child.kill("SIGKILL");
  }, limitSeconds * 1000);
  let output = "";
  const drain = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true });
      output += text;
      if (output.length > 4_000_000) output = output.slice(-2_000_000);
      if (show) process.stdout.write(text);
    }
  };
  // A grandchild may hold the pipes open after the child is gone: the exit decides, the drains get a moment more.
  const drains = Promise.all([drain(child.stdout), drain(child.stderr)]);
  const code = await child.exited;
  clearTimeout(timer);
  await Promise.race([drains, Bun.sleep(500)]);
  return { code, output, timedOut };
}
