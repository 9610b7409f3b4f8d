import { copyFile, mkdir } from "node:fs/promises";
import type { BunPlugin } from "bun";
import { CodedError } from "../src/base/error.ts";

/**
 * The programs and worker threads of a box, by the name that their bundle gets: `src/parts/core-thread.ts` becomes
 * `core-thread.js`. Threads are found beside the program that starts them (src/base/program.ts).
 */
export const PROGRAMS: Readonly<Record<string, string>> = {
  supervisor: "src/supervisor.ts",
  main: "src/main.ts",
  console: "src/console.ts",
  panel: "src/panel.ts",
  network: "src/network.ts",
  cli: "src/cli/main.ts",
  "core-thread": "src/parts/core-thread.ts",
  "writer-worker": "src/store/log/writer-worker.ts",
  "epoll-worker": "src/linux/epoll-worker.ts",
};

/** SQLite's add-on, beside the bundles. */
const ADD_ON = "node_sqlite3.node";

/**
 * `bindings` looks for the add-on by the place of the file that calls it, which a bundle has lost: it is asked for by its
 * name instead.
 */
const addOnBeside: BunPlugin = {
  name: "add-on-beside",
  setup(build) {
    build.onLoad({ filter: /sqlite3\/lib\/sqlite3-binding\.js$/ }, () => ({
      contents: `module.exports = require("./${ADD_ON}");`,
      loader: "js",
    }));
    build.onResolve({ filter: /^\.\/node_sqlite3\.node$/ }, ({ path }) => ({ path, external: true }));
  },
};

/** The bundler starts x509's container before the polyfill that stands above it in the source: the container asks for it itself. */
const polyfillFirst: BunPlugin = {
  name: "polyfill-first",
  setup(build) {
    build.onLoad({ filter: /tsyringe\/dist\/esm5\/index\.js$/ }, async ({ path }) => ({
      contents: `require("reflect-metadata");\n${await Bun.file(path).text()}`,
      loader: "js",
    }));
  },
};

/**
 * Bundles every program of the checkout `root` into `directory`, beside the file `addOn`. What a program imports late (ssh2,
 * x509: more than half of main) is in files of its own beside it, which a start does not have to read. The same sources
 * give the same bytes.
 */
export async function buildBundles(root: string, directory: string, addOn: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const [name, source] of Object.entries(PROGRAMS)) {
    const result = await Bun.build({
      entrypoints: [`${root}/${source}`],
      root,
      outdir: directory,
      splitting: true,
      naming: { entry: `${name}.js`, chunk: `${name}-[hash].js` },
      target: "bun",
      minify: { whitespace: true, syntax: true, identifiers: false },
      // ssh2 does without these accelerators, and without them needs no compiler for the other architecture.
      external: ["cpu-features", "*/sshcrypto.node"],
      // CommonJS packages would be given the paths of the machine that builds.
      define: { "process.env.NODE_ENV": '"production"', __dirname: '"/"', __filename: '"/"' },
      plugins: [addOnBeside, polyfillFirst],
      throw: false,
    });
    if (!result.success)
      throw new CodedError("bundle", `Cannot bundle "${source}": ${result.logs.map(String).join("\n")}`);
  }
  await copyFile(addOn, `${directory}/${ADD_ON}`);
}
