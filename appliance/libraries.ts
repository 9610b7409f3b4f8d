import { cpSync, existsSync, lstatSync, mkdirSync, readFileSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { CodedError } from "../src/base/error.ts";
import type { Architecture } from "./architecture.ts";
import { readElfNeeds } from "./elf.ts";

/**
 * Copies the libraries that the `files` (paths below `root`) need from `pool`, and what these need, each under the name it is
 * asked for by, and the dynamic loader. Throws `library` for one that no package brought.
 */
export function copyLibraries(architecture: Architecture, pool: string, root: string, files: readonly string[]): void {
  const { libraries, loader, elfMachine } = architecture;
  const directory = `usr/lib/${libraries}`;
  const queue = [...files];
  const seen = new Set<string>();
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    if (seen.has(file) || lstatSync(`${root}/${file}`).isSymbolicLink()) continue;
    seen.add(file);
    const needs = readElfNeeds(readFileSync(`${root}/${file}`));
    if (needs === undefined) continue;
    if (needs.machine !== elfMachine)
      throw new CodedError(
        "library",
        `Cannot use "${file}": it is for ELF machine ${needs.machine}, not ${elfMachine}`,
      );
    if (needs.interpreter !== undefined && needs.interpreter !== loader)
      throw new CodedError("library", `Cannot use "${file}": its loader is ${needs.interpreter}, not ${loader}`);
    for (const name of needs.libraries) {
      const isLoader = loader.endsWith(`/${name}`);
      const target = isLoader ? `usr${loader}` : `${directory}/${name}`;
      if (!existsSync(`${root}/${target}`)) copyLibrary(architecture, pool, root, name, target);
      queue.push(target);
    }
  }
}

/** One library by its name. */
export function copyLibrary(
  { libraries }: Architecture,
  pool: string,
  root: string,
  name: string,
  target = `usr/lib/${libraries}/${name}`,
): void {
  const found = [`lib/${libraries}`, `usr/lib/${libraries}`]
    .map((place) => `${pool}/${place}/${name}`)
    .find(existsSync);
  if (found === undefined) throw new CodedError("library", `Cannot find the library "${name}" in any package`);
  mkdirSync(dirname(`${root}/${target}`), { recursive: true });
  cpSync(realpathSync(found), `${root}/${target}`);
}
