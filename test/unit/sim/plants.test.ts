import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { PLANTS, planted } from "../../sim/plants.ts";
import { runStretch } from "../../sim/pool.ts";
import { SUITES } from "../../sim/suite.ts";

const ROOT = resolve(import.meta.dir, "../../..");

test("every plant fits the source as it is, changes it, and is known to its component", () => {
  for (const plant of PLANTS) {
    for (const file of new Set(plant.edits.map((edit) => edit.file))) {
      const source = readFileSync(resolve(ROOT, file), "utf8");
      const result = planted(plant, file, source);
      assert.is.not(result, source, plant.name);
      // What it becomes must at least be code.
      new Bun.Transpiler({ loader: "ts" }).transformSync(result);
    }
    const suite = SUITES.find((each) => each.name === plant.suite);
    assert.ok(suite?.mutants.includes(plant.name), plant.name);
  }
  assert.is(new Set(PLANTS.map((plant) => plant.name)).size, PLANTS.length);
});

test("a planted process has the mistake, and the same seeds without it pass", async () => {
  const stretch = {
    suite: "core",
    from: 1,
    seeds: 20,
    steps: 3000,
    mutants: [],
    secondsMax: 60,
    stopsAtFailure: true,
  };
  const [good, bad] = await Promise.all([
    runStretch(stretch),
    runStretch(stretch, "deposed-leader-sends-with-the-new-term"),
  ]);
  assert.equal(good.failures, []);
  assert.is(bad.failures.length, 1);
});

test("a plant that the code has moved away from is an error, not a mistake that nobody catches", async () => {
  const moved = { name: "moved", suite: "core", edits: [{ file: "a.ts", from: "x", to: "y" }] };
  assert.throws(() => planted(moved, "a.ts", "z"), /is 0 times in a.ts/);
  assert.throws(() => planted(moved, "a.ts", "x x"), /is 2 times in a.ts/);
  assert.is(planted(moved, "b.ts", "x x"), "x x");
});

test.run();
