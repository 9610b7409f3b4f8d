// Every story says what it said before, and nothing that must hold in all of them breaks. See README.md.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Glob } from "bun";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseStory, playStory } from "../support/scenario/story.ts";

/** Issue 3, item 9. */
const STORIES_MIN = 40;

const names = [...new Glob("*.txt").scanSync(import.meta.dir)].sort();
const read = (name: string): string => readFileSync(resolve(import.meta.dir, name), "utf8");

for (const name of names) {
  const story = parseStory(name, read(name));
  test(`${name}: ${story.title}`, () => {
    const { differences, broken } = playStory(story);
    if (broken.length + differences.length > 0) throw new Error([...broken, ...differences].join("\n"));
  });
}

test("there are stories enough", () => {
  assert.ok(names.length >= STORIES_MIN, `${names.length} stories`);
});

test("a story has a title, commands and at least one fact that no rewrite can change", () => {
  const weak = names.filter(
    (name) => !parseStory(name, read(name)).steps.some((step) => /^expect /.test(step.command)),
  );
  assert.equal(weak, []);
});

test("another output, and a fact that does not hold, make a story fail", () => {
  const text =
    "# a title\n> quietly boxes 1\n  1 is candidate in term 1\n  1 is leader in term 9\n> expect 1 follower\n";
  const { differences, broken } = playStory(parseStory("a.txt", text));
  assert.equal(differences, [
    `a.txt:2: > quietly boxes 1
    1 is candidate in term 1
  - 1 is leader in term 9
  + 1 is leader in term 1
  + 1 applies 1@1 .`,
    "a.txt:5: > expect 1 follower\n  + BROKEN: box 1 is leader, not follower",
  ]);
  assert.equal(broken, ["BROKEN: box 1 is leader, not follower"]);
});

test("a story with a command that is not known, or output without a command, fails", () => {
  assert.equal(playStory(parseStory("a.txt", "# t\n> jump\n")).broken, ['BROKEN: there is no command "jump"']);
  assert.throws(() => parseStory("a.txt", "# t\n  out\n"), /a.txt:2: output without a command/);
  assert.throws(() => parseStory("a.txt", "> boxes 1\n"), /first line/);
});

test.run();
