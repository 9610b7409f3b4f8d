import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { CodedError } from "../src/base/error.ts";
import type { Architecture } from "./architecture.ts";
import { command } from "./command.ts";
import { sha256OfFile } from "./digest.ts";
import { LIBRARY_PACKAGE, PACKAGES } from "./package-list.ts";

/** A Debian package as it went into an image. */
export interface Package {
  readonly name: string;
  readonly version: string;
  /** Of the .deb file, hex. */
  readonly sha256: string;
}

/** apt's own user cannot write to a checkout. */
const AS_ROOT = ["-o", "APT::Sandbox::User=root"];

/**
 * Downloads the packages of the list with their libraries, and the kernel, into `cache` (what is there already is kept), and
 * extracts them side by side into `pool`. Debian's release says which versions; the manifest says which they were.
 */
export async function fetchPackages(
  architecture: Architecture,
  cache: string,
  pool: string,
): Promise<readonly Package[]> {
  mkdirSync(cache, { recursive: true });
  const named = Object.keys(PACKAGES);
  const names = [
    ...(await dependencies(named)).filter((name) => named.includes(name) || LIBRARY_PACKAGE.test(name)),
    await kernelOf(architecture),
  ].sort();
  const wanted = await candidates(names);
  const missing = wanted.filter(({ file }) => !existsSync(`${cache}/${file}`));
  if (missing.length > 0) {
    console.error(`downloading ${missing.length} Debian packages`);
    await command(
      ["apt-get", "download", "-q", ...AS_ROOT, ...missing.map(({ name, version }) => `${name}=${version}`)],
      {
        cwd: cache,
      },
    );
  }
  rmSync(pool, { recursive: true, force: true });
  mkdirSync(pool, { recursive: true });
  const packages: Package[] = [];
  for (const { name, version, file } of wanted) {
    if (!existsSync(`${cache}/${file}`))
      throw new CodedError(
        "package",
        `Cannot find "${file}" after its download; there is ${readdirSync(cache).length} others`,
      );
    await command(["dpkg-deb", "-x", `${cache}/${file}`, pool]);
    packages.push({ name, version, sha256: await sha256OfFile(`${cache}/${file}`) });
  }
  return packages;
}

/** The names and all that they need, by Debian's lists. */
async function dependencies(names: readonly string[]): Promise<readonly string[]> {
  const without = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map(
    (kind) => `--no-${kind}`,
  );
  const text = await command(["apt-cache", "depends", "--recurse", ...without, ...names]);
  return [...new Set(text.split("\n").filter((line) => /^[a-z0-9]/.test(line)))];
}

/** `linux-image-amd64` only points to the kernel of the day. */
async function kernelOf({ kernelPackage }: Architecture): Promise<string> {
  const text = await command(["apt-cache", "depends", kernelPackage]);
  const name = /Depends: (linux-image-\S+)/.exec(text)?.[1];
  if (name === undefined) throw new CodedError("package", `Cannot find the kernel that "${kernelPackage}" stands for`);
  return name;
}

/** The version that apt would install of each, and its file's name as apt-get download writes it. */
async function candidates(
  names: readonly string[],
): Promise<readonly { readonly name: string; readonly version: string; readonly file: string }[]> {
  const text = await command(["apt-cache", "show", "--no-all-versions", ...names]);
  const found = text.split("\n\n").flatMap((stanza) => {
    const field = (key: string): string => new RegExp(`^${key}: (.*)$`, "m").exec(stanza)?.[1] ?? "";
    const [name, version] = [field("Package"), field("Version")];
    if (name === "") return [];
    return [{ name, version, file: `${name}_${version.replaceAll(":", "%3a")}_${field("Architecture")}.deb` }];
  });
  return names.map((name) => {
    const one = found.find((stanza) => stanza.name === name);
    if (one === undefined) throw new CodedError("package", `Cannot find the package "${name}": run apt-get update`);
    return one;
  });
}
