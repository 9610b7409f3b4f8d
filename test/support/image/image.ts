/** The image that the tests boot: built when there is none of exactly this source. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { ARCHITECTURES } from "../../../appliance/architecture.ts";
import { type Built, buildImage } from "../../../appliance/build.ts";
import { sourceDigest } from "../../../appliance/source.ts";

const REPOSITORY = resolve(import.meta.dir, "../../..");

/** What is in `out/`, or what RINGFENCE_IMAGE names: a build by hand, to be looked at more closely. */
export async function theImage(): Promise<string> {
  return process.env["RINGFENCE_IMAGE"] ?? (await theBuild()).image;
}

/** Builds into `out/` unless the last build there was of this source. */
export async function theBuild(): Promise<Built> {
  const out = `${REPOSITORY}/out`;
  const stamp = `${out}/built.json`;
  const digest = await sourceDigest(REPOSITORY);
  if (existsSync(stamp)) {
    const kept = JSON.parse(readFileSync(stamp, "utf8")) as { readonly digest: string; readonly built: Built };
    if (kept.digest === digest && existsSync(kept.built.image)) return kept.built;
  }
  const built = await buildInto(out);
  writeFileSync(stamp, JSON.stringify({ digest, built }));
  return built;
}

/** Builds with the TEST key. */
export async function buildInto(out: string): Promise<Built> {
  const [architecture] = ARCHITECTURES;
  if (architecture === undefined) throw new Error("No architecture is known");
  const report = (text: string): void => console.error(text);
  return buildImage({ repository: REPOSITORY, architecture, out, keyFile: undefined, report });
}
