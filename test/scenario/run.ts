// Plays stories by hand: `run.ts [PATTERN] [--rewrite] [--show] [--mutant NAME]`.
// --rewrite puts what was said this time into the files, unless a rule or an `expect` broke. --show prints the stories.

import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { Glob } from "bun";
import type { CoreMutant } from "../../src/raft/mutants.ts";
import { parseStory, playStory } from "../support/scenario/story.ts";

const words = process.argv.slice(2);
const mutantAt = words.indexOf("--mutant");
const mutants = new Set(mutantAt < 0 ? [] : [words[mutantAt + 1] as CoreMutant]);
const patterns = words.filter((word, at) => !word.startsWith("--") && (mutantAt < 0 || at !== mutantAt + 1));
const isRewriting = words.includes("--rewrite") && mutants.size === 0;

let passed = 0;
let failed = 0;
for (const name of [...new Glob("*.txt").scanSync(import.meta.dir)].sort()) {
  if (!patterns.every((pattern) => name.includes(pattern))) continue;
  const path = resolve(import.meta.dir, name);
  const { text, differences, broken } = playStory(parseStory(name, readFileSync(path, "utf8")), mutants);
  if (words.includes("--show")) console.log(text);
  if (isRewriting && broken.length === 0) writeFileSync(path, text);
  if (broken.length === 0 && (isRewriting || differences.length === 0)) {
    passed++;
    continue;
  }
  failed++;
  console.log([`FAIL ${name}`, ...broken, ...differences].join("\n"));
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
