import { existsSync, mkdirSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { CodedError } from "../src/base/error.ts";
import type { Architecture } from "./architecture.ts";
import { command } from "./command.ts";
import { sha256OfFile } from "./digest.ts";
import { FOOTER_CHECKER, LIBRARY_PACKAGE, PACKAGES } from "./package-list.ts";

/** A Debian package as it went into an image. */
export interface Package {
  readonly name: string;
  readonly version: string;
  /** Of the .deb file, hex. */
  readonly sha256: string;
}

/** apt's own user cannot write to a checkout. */
export const AS_ROOT = ["-o", "APT::Sandbox::User=root"];
/** What this machine knows of its own packages; as new as its last `apt-get update`. */
const OWN_LISTS = "/var/lib/apt/lists";

/**
 * Downloads the packages of the list with their libraries, the kernel, and GRUB's modules, into `cache` (what is there already
 * is kept), and extracts them side by side into `pool`; for a secure image with what that takes in addition. Debian's release
 * says which versions; the manifest says which they were.
 */
export async function fetchPackages(
  architecture: Architecture,
  cache: string,
  pool: string,
  isSecure: boolean,
): Promise<readonly Package[]> {
  mkdirSync(cache, { recursive: true });
  const apt = await aptOptions(architecture, cache);
  const named = [...Object.keys(PACKAGES), ...(isSecure ? [FOOTER_CHECKER.package] : [])];
  const names = [
    ...(await dependencies(apt, named)).filter((name) => named.includes(name) || LIBRARY_PACKAGE.test(name)),
    ...architecture.grubPackages,
    await kernelOf(apt, architecture),
  ].sort();
  const wanted = await candidates(apt, names);
  const missing = wanted.filter(({ file }) => !existsSync(`${cache}/${file}`));
  if (missing.length > 0) {
    console.error(`downloading ${missing.length} Debian packages`);
    await command(["apt-get", "download", "-q", ...apt, ...missing.map(({ name, version }) => `${name}=${version}`)], {
      cwd: cache,
    });
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

/**
 * With which apt looks for packages of the architecture. A foreign one has lists and a state of its own, with nothing installed:
 * this machine's dpkg never hears of it. The sources are this machine's, and the lists are renewed when its own are newer.
 */
async function aptOptions({ debian }: Architecture, cache: string): Promise<readonly string[]> {
  if ((await command(["dpkg", "--print-architecture"])).trim() === debian) return AS_ROOT;
  const state = `${cache}/apt-${debian}`;
  const lists = `${state}/lists`;
  const isNew = !existsSync(lists);
  for (const directory of [`${lists}/partial`, `${state}/cache/archives/partial`])
    mkdirSync(directory, { recursive: true });
  writeFileSync(`${state}/status`, "");
  const settings = {
    "APT::Architecture": debian,
    "APT::Architectures": debian,
    "Dir::State::lists": lists,
    "Dir::State::status": `${state}/status`,
    "Dir::Cache": `${state}/cache`,
  };
  const options = [...AS_ROOT, ...Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`])];
  if (isNew || statSync(lists).mtimeMs < statSync(OWN_LISTS).mtimeMs) {
    console.error(`fetching Debian's lists of ${debian} packages`);
    await command(["apt-get", "update", "-q", ...options]);
    utimesSync(lists, new Date(), new Date());
  }
  return options;
}

/** The names and all that they need, by Debian's lists. */
async function dependencies(apt: readonly string[], names: readonly string[]): Promise<readonly string[]> {
  const without = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"].map(
    (kind) => `--no-${kind}`,
  );
  const text = await command(["apt-cache", ...apt, "depends", "--recurse", ...without, ...names]);
  return [...new Set(text.split("\n").filter((line) => /^[a-z0-9]/.test(line)))];
}

/** `linux-image-amd64` only points to the kernel of the day. */
async function kernelOf(apt: readonly string[], { kernelPackage }: Architecture): Promise<string> {
  const text = await command(["apt-cache", ...apt, "depends", kernelPackage]);
  const name = /Depends: (linux-image-\S+)/.exec(text)?.[1];
  if (name === undefined) throw new CodedError("package", `Cannot find the kernel that "${kernelPackage}" stands for`);
  return name;
}

/** The version that apt would install of each, and its file's name as apt-get download writes it. */
async function candidates(
  apt: readonly string[],
  names: readonly string[],
): Promise<readonly { readonly name: string; readonly version: string; readonly file: string }[]> {
  const text = await command(["apt-cache", ...apt, "show", "--no-all-versions", ...names]);
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
