// Nothing of the history and of the paper is left out: each item names the story or the test that holds it, and that exists.

import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Glob } from "bun";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseStory } from "../support/scenario/story.ts";

const ROOT = resolve(import.meta.dir, "../..");
/** How many items each list of the history has. */
const ITEMS = { A: 24, H: 67, M: 44 };
/** Rules of the paper that must be in the table; fewer would mean that it was cut. */
const RULES_MIN = 80;

const read = (path: string): string => readFileSync(resolve(ROOT, path), "utf8");
const readme = read("test/scenario/README.md");

/** The rows of a Markdown table without its head. */
function rows(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("|---"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

test("each item of the history is covered by a story, held elsewhere, or said not to apply", () => {
  const told = [...new Glob("*.txt").scanSync(import.meta.dir)].flatMap(
    (name) => parseStory(name, read(`test/scenario/${name}`)).covers,
  );
  const elsewhere = rows(readme.slice(readme.indexOf("## Where"))).flatMap(([items = ""]) => items.split(", "));
  const notOurs = /^Do not apply: .*/m.exec(readme)?.[0].match(/\b[AHM]\d+\b/g) ?? [];
  const held = new Set([...told, ...elsewhere, ...notOurs]);
  const all = Object.entries(ITEMS).flatMap(([list, count]) =>
    Array.from({ length: count }, (_, at) => `${list}${at + 1}`),
  );
  assert.equal(
    all.filter((item) => !held.has(item)),
    [],
  );
  assert.equal(
    told.filter((item) => !all.includes(item)),
    [],
  );
});

test("what is held elsewhere is a test that exists", () => {
  const wrong = rows(readme.slice(readme.indexOf("## Where")))
    .slice(1)
    .filter(([, path = "", title = ""]) => !hasTest(path, title))
    .map((row) => row.join(" | "));
  assert.equal(wrong, []);
});

test("each rule of the paper names a story or a test that exists", () => {
  const rules = rows(read("test/scenario/paper.md")).slice(1);
  const wrong = rules.filter(([, , where = ""]) => {
    const [file = "", title = ""] = where.split(": ");
    if (file === "story") return !existsSync(resolve(import.meta.dir, `${title}.txt`));
    return !hasTest(`test/unit/${file}.test.ts`, title);
  });
  assert.equal(
    wrong.map((row) => row.join(" | ")),
    [],
  );
  assert.ok(rules.length >= RULES_MIN, `${rules.length} rules`);
});

function hasTest(path: string, title: string): boolean {
  return existsSync(resolve(ROOT, path)) && title.length > 10 && read(path).includes(`test("${title}`);
}

test.run();
