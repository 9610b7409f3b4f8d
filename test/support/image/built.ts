/** The image of this checkout: built once for all tests that start it. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { command } from "../../../appliance/command.ts";

const REPOSITORY = resolve(import.meta.dir, "../../..");
const NAME = `${REPOSITORY}/out/ringfence-0.1.0-x86_64`;
/** What decides about an image's content. */
const SOURCES = ["src", "appliance", "rootfs", "package.json", "package-lock.json"];

/** Path of the disk image; builds it unless there is one of this commit. */
export async function builtImage(): Promise<string> {
  const git = (...words: string[]): Promise<string> => command(["git", "-C", REPOSITORY, ...words]);
  const commit = (await git("rev-parse", "HEAD")).trim();
  const isChanged = (await git("status", "--porcelain", "--", ...SOURCES)) !== "";
  const manifest = `${NAME}.manifest`;
  const isBuilt = existsSync(`${NAME}.img`) && existsSync(manifest) && readFileSync(manifest, "utf8").includes(commit);
  if (!isBuilt || isChanged) await command([`${REPOSITORY}/scripts/image`, "build"]);
  return `${NAME}.img`;
}
