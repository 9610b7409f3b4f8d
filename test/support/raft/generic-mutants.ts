// Changes the core's code a little, one place at a time, and runs all tests of the core against each change:
// `generic-mutants.ts [FILE …] [--from N] [--count N]`. A change that nothing notices is a survivor: a missing test, or no
// mistake at all; survivors.ts says why. Takes some minutes at the lowest priority; run by hand.

import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { setPriority, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { Mutation } from "./mutations.ts";
import { mutationsOf } from "./mutations.ts";
import { explanationOf } from "./survivors.ts";

const ROOT = resolve(import.meta.dir, "../../..");
const COPIED = [
  "src/base",
  "src/raft",
  "test/unit/raft",
  "test/support/raft",
  "test/support/scenario",
  "test/scenario",
];
/** No decisions in them. */
const SKIPPED = ["mutants.ts", "messages.ts", "types.ts"];
/** A change that makes the suite run so many times as long as without a change is noticed by that, ms. */
const LIMIT_FACTOR = 5;
const LIMIT_LEAST_MS = 5000;
/** Until it is measured. */
let limitMs = 60_000;
/** Lowest: whoever works on this machine goes first. */
const PRIORITY = 19;
const words = process.argv.slice(2);
const option = (name: string, absent: number): number => {
  const at = words.indexOf(name);
  return at < 0 ? absent : Number(words.splice(at, 2)[1]);
};
const from = option("--from", 0);
const count = option("--count", Number.POSITIVE_INFINITY);

const home = mkdtempSync(join(tmpdir(), "raft-mutants-"));
setPriority(PRIORITY);
let killed = 0;
let explained = 0;
const survivors: string[] = [];
try {
  for (const path of COPIED) {
    mkdirSync(join(home, path), { recursive: true });
    cpSync(join(ROOT, path), join(home, path), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(home, "node_modules"));
  const startedAt = performance.now();
  if ((await isNoticed()) !== undefined) throw new Error("the tests of the core are red without any change");
  limitMs = Math.max(LIMIT_LEAST_MS, LIMIT_FACTOR * (performance.now() - startedAt));
  const files = readdirSync(join(ROOT, "src/raft")).filter((name) => name.endsWith(".ts") && !SKIPPED.includes(name));
  const all = files
    .filter((name) => words.length === 0 || words.includes(name))
    .flatMap((name) => mutationsOf(readFileSync(join(ROOT, "src/raft", name), "utf8")).map((each) => ({ name, each })));
  for (const { name, each } of all.slice(from, from + count)) await tryOut(name, each);
} finally {
  rmSync(home, { recursive: true, force: true });
}
const total = killed + explained + survivors.length;
// Those that are explained are no mistakes; what is left of the others must be nothing.
const ofAll = ((100 * killed) / total).toFixed(1);
const ofMistakes = ((100 * killed) / (total - explained)).toFixed(1);
console.log(`${total} changes, ${killed} noticed: ${ofAll} % of all, ${ofMistakes} % of those that are not explained`);
console.log(`${killed + explained} passed, ${survivors.length} failed`);
process.exitCode = survivors.length === 0 ? 0 : 1;

async function tryOut(name: string, mutation: Mutation): Promise<void> {
  const path = join(home, "src/raft", name);
  const source = readFileSync(path, "utf8");
  const lines = source.split("\n");
  lines[mutation.line - 1] = mutation.after;
  writeFileSync(path, lines.join("\n"));
  const by = await isNoticed();
  writeFileSync(path, source);
  if (by !== undefined) {
    killed++;
    return;
  }
  const why = explanationOf(name, mutation);
  if (why !== undefined) {
    explained++;
    return;
  }
  survivors.push(name);
  console.log(`SURVIVES ${name}:${mutation.line}\n  - ${mutation.before}\n  + ${mutation.after || "(left out)"}`);
}

/** What ended the suite, or undefined when it is green. */
async function isNoticed(): Promise<string | undefined> {
  const child = Bun.spawn([process.execPath, "test/support/raft/generic-suite.ts"], {
    cwd: home,
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
    env: { ...process.env, UV_THREADPOOL_SIZE: "16" },
  });
  const timer = setTimeout(() => child.kill("SIGKILL"), limitMs);
  const code = await child.exited;
  clearTimeout(timer);
  return code === 0 ? undefined : `exit code ${code}`;
}
