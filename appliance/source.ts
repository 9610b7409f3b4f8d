import { createHash } from "node:crypto";
import packageJson from "../package.json";
import { CodedError } from "../src/base/error.ts";
import { FEATURE_LEVEL } from "../src/parts/feature-level.ts";
import type { Architecture } from "./architecture.ts";
import type { BootKey } from "./boot-key.ts";
import { command } from "./command.ts";
import type { SigningKey } from "./keys.ts";
import type { Description } from "./slot.ts";

/** The smallest feature level that this build still runs with: all formats so far are read. */
const FEATURE_LEVEL_MIN = 1;

/** What of a checkout goes into an image. */
const SOURCES = ["src", "appliance", "rootfs", "package.json", "package-lock.json"];

/** One word for all that an image is built from, with what is not committed. */
export async function sourceDigest(repository: string): Promise<string> {
  const git = (...words: string[]): Promise<string> => command(["git", "-C", repository, ...words]);
  const hash = createHash("sha256");
  hash.update(await git("rev-parse", "HEAD")).update(await git("diff", "--binary", "HEAD", "--", ...SOURCES));
  const added = (await git("ls-files", "--others", "--exclude-standard", "--", ...SOURCES)).split("\n").filter(Boolean);
  for (const path of added) hash.update(path).update(await Bun.file(`${repository}/${path}`).bytes());
  return hash.digest("hex");
}

/** Unix time of the commit, s: every time in an image. */
export async function sourceTime(repository: string): Promise<number> {
  return Number((await command(["git", "-C", repository, "log", "-1", "--format=%ct"])).trim());
}

/**
 * What the checkout says: its commit decides every time and uuid. With changes that are not committed it says so. Throws
 * `boot-key` for a release that the TEST key shall sign.
 */
export async function describeSource(
  repository: string,
  architecture: Architecture,
  key: SigningKey,
  bootKey: BootKey | undefined,
): Promise<Description> {
  const git = (...words: string[]): Promise<string> => command(["git", "-C", repository, ...words]);
  const commit = (await git("rev-parse", "HEAD")).trim();
  const changes = await git("status", "--porcelain", "--", ...SOURCES);
  if (key.kind === "release" && bootKey?.kind === "test")
    throw new CodedError("boot-key", "Cannot sign a release's kernel with the TEST key: --secure FILE names your own");
  return {
    version: packageJson.version,
    build: changes === "" ? commit : `${commit}-changed`,
    builtAt: await sourceTime(repository),
    architecture: architecture.name,
    featureLevel: FEATURE_LEVEL,
    featureLevelMin: FEATURE_LEVEL_MIN,
    key: key.kind,
    bootKey: bootKey?.fingerprint,
  };
}
