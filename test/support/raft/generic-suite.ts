// All tests of the core in one process that ends at the first one that fails: what each generic mutant is judged by. The
// stories go first, because they are quick and see the most.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Glob } from "bun";
import { parseStory, playStory } from "../scenario/story.ts";

const ROOT = resolve(import.meta.dir, "../../..");

for (const name of new Glob("*.txt").scanSync(resolve(ROOT, "test/scenario"))) {
  const story = parseStory(name, readFileSync(resolve(ROOT, "test/scenario", name), "utf8"));
  const { differences, broken } = playStory(story);
  if (differences.length + broken.length > 0) {
    console.log(`killed by ${name}`);
    process.exit(1);
  }
}

Object.assign(globalThis, { UVU_DEFER: 1 });
const { exec } = await import("uvu");
const { UVU_QUEUE } = globalThis as unknown as { UVU_QUEUE: unknown[][] };
const files = [...new Glob("test/unit/raft/*.test.ts").scanSync(ROOT)].sort();
if (files.length === 0) throw new Error("no tests of the core were found");
for (const path of [...files, "test/scenario/mutants.test.ts"]) {
  // uvu's own command does the same: a queue for each file, under the file's name.
  UVU_QUEUE.push([path]);
  Object.assign(globalThis, { UVU_INDEX: UVU_QUEUE.length - 1 });
  await import(resolve(ROOT, path));
}
await exec(true);
