import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { CodedError } from "../src/base/error.ts";
import type { Architecture, Foreign } from "./architecture.ts";
import { command } from "./command.ts";

/** What runs the bundles: the interpreter, and SQLite's add-on for it. */
export interface Runtime {
  readonly bun: string;
  readonly addOn: string;
}

/** Where sqlite3's build puts it. */
const ADD_ON = "build/Release/node_sqlite3.node";

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly integrity?: string }>>;
}

/**
 * For the builder's own architecture what npm has installed; for a foreign one Bun from its npm package and a cross-built
 * add-on, both of the lock file's versions and kept in `cache`. What lies in between is in `work`, made anew.
 */
export async function prepareRuntime(
  { name, bunPackage, foreign }: Architecture,
  repository: string,
  cache: string,
  work: string,
): Promise<Runtime> {
  const modules = `${repository}/node_modules`;
  if (foreign === undefined) return { bun: `${modules}/bun/bin/bun.exe`, addOn: `${modules}/sqlite3/${ADD_ON}` };
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  const { packages } = JSON.parse(readFileSync(`${repository}/package-lock.json`, "utf8")) as Lock;
  const locked = (path: string): { readonly version: string; readonly integrity: string } => {
    const { version, integrity } = packages[`node_modules/${path}`] ?? {};
    if (version !== undefined && integrity !== undefined) return { version, integrity };
    throw new CodedError("runtime", `Cannot find "${path}" in package-lock.json`);
  };
  const bun = await fetchBun(bunPackage, locked(bunPackage), cache, work);
  const addOn = `${cache}/node_sqlite3-${locked("sqlite3").version}-${name}.node`;
  if (!existsSync(addOn)) await crossBuild(foreign, modules, `${work}/sqlite3`, addOn);
  return { bun, addOn };
}

async function fetchBun(
  bunPackage: string,
  { version, integrity }: { readonly version: string; readonly integrity: string },
  cache: string,
  work: string,
): Promise<string> {
  // As npm names what it packs.
  const file = `${cache}/${bunPackage.replace("@", "").replace("/", "-")}-${version}.tgz`;
  if (!existsSync(file))
    await command(["npm", "pack", "--silent", "--pack-destination", cache, `${bunPackage}@${version}`], { cwd: work });
  const sum = `sha512-${createHash("sha512").update(readFileSync(file)).digest("base64")}`;
  if (sum !== integrity) {
    rmSync(file);
    throw new CodedError("runtime", `Cannot use "${file}": its sum is ${sum}, and package-lock.json has ${integrity}`);
  }
  await command(["tar", "-xzf", file, "-C", work, "package/bin/bun"]);
  return `${work}/package/bin/bun`;
}

/** As npm builds it, with other compilers: sqlite3's own sources in a directory of their own, so that the builder's stays. */
async function crossBuild({ node, compilers }: Foreign, modules: string, work: string, target: string): Promise<void> {
  console.error("cross-building SQLite's add-on (two minutes, once)");
  for (const name of ["binding.gyp", "package.json", "deps", "src"])
    cpSync(`${modules}/sqlite3/${name}`, `${work}/${name}`, { recursive: true });
  const tool = (name: string): string => `${compilers}${name}`;
  await command(["npm", "run", "--silent", "rebuild", "--", `--arch=${node}`, "--jobs=max"], {
    cwd: work,
    environment: {
      ...{ CC: tool("gcc"), CXX: tool("g++"), AR: tool("ar"), LINK: tool("g++") },
      // binding.gyp asks for packages by name, also when this directory is outside of the checkout.
      NODE_PATH: modules,
      CFLAGS: `-ffile-prefix-map=${work}=.`,
      CXXFLAGS: `-ffile-prefix-map=${work}=.`,
    },
  });
  await command([tool("strip"), "--strip-unneeded", `${work}/${ADD_ON}`]);
  // Moved last: what is there is whole.
  cpSync(`${work}/${ADD_ON}`, `${target}.new`);
  renameSync(`${target}.new`, target);
}
