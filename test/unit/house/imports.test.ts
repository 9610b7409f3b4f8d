// The rules of the house that a program can check (ARCHITECTURE.md section 3): who may import whom, and what the pure
// parts may not name. Type-only imports count too: a type is a dependency of the reader.

import { readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import { Glob } from "bun";
import { test } from "uvu";
import * as assert from "uvu/assert";

const ROOT = resolve(import.meta.dir, "../../..");
const PURE_BELOW = ["base", "config", "raft", "one", "scheduler"];
/** Folder → folders it may import besides its own. */
const ALLOWED: Record<string, string[]> = {
  base: [],
  config: ["base"],
  raft: ["base", "config"],
  one: ["base", "config", "raft"],
  scheduler: ["base", "config", "raft", "one"],
  store: ["base"],
  cluster: ["base", "raft", "store"],
  api: ["base", "config", "one"],
  "node-ipmi": [],
  linux: ["base"],
  cli: PURE_BELOW,
  vip: PURE_BELOW,
  fence: PURE_BELOW,
  monitor: PURE_BELOW,
  vmha: PURE_BELOW,
  hypervisor: PURE_BELOW,
  hooks: PURE_BELOW,
  watchdog: PURE_BELOW,
  console: PURE_BELOW,
  box: PURE_BELOW,
};
/** Only these construct what touches the world, and may import everything. */
const JOINTS = new Set(["parts", "main.ts", "supervisor.ts", "console.ts", "panel.ts", "network.ts"]);
/** The exceptions that the architecture names. */
const EXCEPTIONS = new Map([
  ["src/fence/methods/ipmi.ts", ["node-ipmi"]],
  // Reads the log of a box that may be stopped: there is nobody to ask.
  ["src/cli/ringfence/log.ts", ["store"]],
  // Copies a snapshot between the box's disk and a backup's file.
  ["src/cli/nouns/database.ts", ["store"]],
  // Reads which version a bundle's file brings, to pass over the boxes that have it.
  ["src/cli/ringfence/update.ts", ["box"]],
]);
const WORLD = /^(node:|bun($|:)|sqlite3|ssh2|hono|@)/;

const sources = [...new Glob("src/**/*.ts").scanSync(ROOT)].filter((path) => !path.endsWith(".d.ts")).sort();

/** Pure ones whose names do not say so. */
const PURE_FILES = ["src/monitor/inference.ts", "src/box/grub-env.ts"];

function isPure(path: string): boolean {
  const folder = path.split("/")[1] ?? "";
  return PURE_BELOW.includes(folder) || /\/(machine|planner|policy)\.ts$/.test(path) || PURE_FILES.includes(path);
}

function importsOf(path: string): string[] {
  const text = readFileSync(resolve(ROOT, path), "utf8");
  return [
    ...text.matchAll(
      /^\s*(?:import|export)\b[^;"']*?from\s*["']([^"']+)["']|^\s*import\s*["']([^"']+)["']|\bimport\(["']([^"']+)["']\)/gm,
    ),
  ].map((match) => match[1] ?? match[2] ?? match[3] ?? "");
}

function folderOf(path: string): string {
  return path.split("/")[1] ?? "";
}

/** The pure files and all whose values they import: helpers beside a machine.ts are as pure as it is. */
function pureClosure(): string[] {
  const found = new Set(sources.filter(isPure));
  for (const path of found) {
    const text = readFileSync(resolve(ROOT, path), "utf8").replace(/^import type [^;]*;/gm, "");
    for (const [, name = ""] of text.matchAll(/^(?:import|export)\b[^;"']*?from\s*["'](\.[^"']+)["']/gm))
      found.add(relative(ROOT, resolve(ROOT, dirname(path), name)));
  }
  return [...found].sort();
}

test("imports go one way", () => {
  const wrong: string[] = [];
  for (const path of sources) {
    const folder = folderOf(path);
    if (JOINTS.has(folder)) continue;
    const allowed = ALLOWED[folder];
    if (allowed === undefined) {
      wrong.push(`${path}: the folder "${folder}" is not on the map`);
      continue;
    }
    for (const name of importsOf(path)) {
      if (!name.startsWith(".")) continue;
      const target = relative(ROOT, resolve(ROOT, dirname(path), name));
      if (!target.startsWith("src/")) {
        if (target !== "package.json") wrong.push(`${path} imports ${target}, outside src`);
        continue;
      }
      const other = folderOf(target);
      if (other === folder || allowed.includes(other) || EXCEPTIONS.get(path)?.includes(other)) continue;
      wrong.push(`${path} imports ${target}`);
    }
  }
  assert.is(wrong.join("\n"), "");
});

test("pure parts import nothing of the world", () => {
  const wrong = pureClosure().flatMap((path) =>
    importsOf(path)
      .filter((name) => WORLD.test(name))
      .map((name) => `${path} imports ${name}`),
  );
  assert.is(wrong.join("\n"), "");
});

test("helpers beside a machine count as pure", () => {
  for (const path of ["src/fence/held.ts", "src/fence/settled.ts", "src/fence/record.ts"])
    assert.ok(pureClosure().includes(path), path);
});

test("pure parts have no clock and no chance of their own", () => {
  const wrong: string[] = [];
  for (const path of pureClosure()) {
    readFileSync(resolve(ROOT, path), "utf8")
      .split("\n")
      .forEach((line, index) => {
        if (
          /\b(Date\.now|new Date\(\)|Math\.random|performance\.now|setTimeout|setInterval)\b/.test(
            line.replace(/\/\/.*|\*.*/, ""),
          )
        )
          wrong.push(`${path}:${index + 1}: ${line.trim()}`);
      });
  }
  assert.is(wrong.join("\n"), "");
});

test("only linux/ opens the foreign function interface", () => {
  const wrong = sources.filter((path) => !path.startsWith("src/linux/") && importsOf(path).includes("bun:ffi"));
  assert.is(wrong.join("\n"), "");
});

test("each pure file is compiled without the world's names", () => {
  const config = JSON.parse(readFileSync(resolve(ROOT, "tsconfig.pure.json"), "utf8")) as { include: string[] };
  const wrong = sources
    .filter(isPure)
    .filter((path) => !config.include.some((glob) => new Glob(`${glob}{,/**}`).match(path)));
  assert.is(wrong.join("\n"), "");
});

test("the repository names no machine of ours", () => {
  const wrong: string[] = [];
  const place = new RegExp(`(^|[^.\\w])/(${["wo" + "rk", "fa" + "rm"].join("|")})/`);
  for (const path of new Glob("{src,test,scripts,appliance,rootfs}/**/*").scanSync(ROOT)) {
    const text = readFileSync(resolve(ROOT, path), "utf8");
    if (place.test(text)) wrong.push(path);
  }
  assert.is(wrong.join("\n"), "");
});

test.run();
