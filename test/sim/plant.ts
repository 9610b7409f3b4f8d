// Loaded before everything else in a process of its own (bun --preload): the product's source is read with the mistake
// that RINGFENCE_PLANT names. Product code has no switch for it, and an executable is built without this file.

import { readFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { plugin } from "bun";
import { PLANTS, planted } from "./plants.ts";

const ROOT = resolve(import.meta.dir, "../..");
const name = process.env["RINGFENCE_PLANT"];
const plant = PLANTS.find((each) => each.name === name);
if (plant === undefined) throw new Error(`no plant "${name}"`);

const files = new Set(plant.edits.map((edit) => edit.file));

plugin({
  name: "plant",
  setup(build) {
    build.onLoad({ filter: /\/src\/.*\.ts$/ }, ({ path }) => {
      const file = relative(ROOT, path);
      const source = readFileSync(path, "utf8");
      return { contents: files.has(file) ? planted(plant, file, source) : source, loader: "ts" };
    });
  },
});
