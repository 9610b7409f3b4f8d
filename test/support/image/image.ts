/** The image that the tests boot: built when there is none of exactly this source. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { architectureNamed } from "../../../appliance/architecture.ts";
import { type Built, buildImage, type Secure } from "../../../appliance/build.ts";
import { sourceDigest } from "../../../appliance/source.ts";

const SECURE: Secure = { bootKeyFile: undefined, loaderSigner: undefined };
const REPOSITORY = resolve(import.meta.dir, "../../..");

/** What is in `out/`, or what RINGFENCE_IMAGE names: a build by hand, to be looked at more closely. */
export async function theImage(architecture = "x86_64"): Promise<string> {
  return process.env["RINGFENCE_IMAGE"] ?? (await theBuild(architecture)).image;
}

/** One whose boot loader demands signatures, by the TEST key. */
export async function theSecureImage(): Promise<string> {
  return (await theBuild("x86_64", SECURE)).image;
}

/** Builds into `out/` unless the last build there was of this source. */
export async function theBuild(architecture = "x86_64", secure?: Secure): Promise<Built> {
  const out = `${REPOSITORY}/out`;
  const stamp = `${out}/built-${architecture}${secure === undefined ? "" : "-secure"}.json`;
  const digest = await sourceDigest(REPOSITORY);
  if (existsSync(stamp)) {
    const kept = JSON.parse(readFileSync(stamp, "utf8")) as { readonly digest: string; readonly built: Built };
    if (kept.digest === digest && existsSync(kept.built.image)) return kept.built;
  }
  const built = await buildInto(out, architecture, secure);
  writeFileSync(stamp, JSON.stringify({ digest, built }));
  return built;
}

/** Builds with the TEST keys. */
export async function buildInto(out: string, architecture = "x86_64", secure?: Secure): Promise<Built> {
  return buildImage({
    ...{ repository: REPOSITORY, architecture: architectureNamed(architecture), out, keyFile: undefined, secure },
    report: (text) => console.error(text),
  });
}
