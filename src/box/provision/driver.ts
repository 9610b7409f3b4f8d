import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { errorChain } from "../../base/error.ts";
import { FILE_BYTES_MAX, PROVISIONED, type ProvisionedFile, planProvision } from "./planner.ts";
import type { Medium, ProvisionPorts } from "./ports.ts";

/**
 * Takes over what sticks and the ESP bring. What a medium lacks or has wrong keeps nothing else from its start; nothing
 * here throws. Returns whether anything was taken over.
 */
export async function provision(ports: ProvisionPorts): Promise<boolean> {
  let isChanged = false;
  for (const medium of ports.media()) {
    try {
      isChanged = (await takeFrom(medium, ports)) || isChanged;
    } catch (error) {
      ports.say(`${medium.name} is left alone: ${errorChain(error)}`);
    }
  }
  return isChanged;
}

async function takeFrom(medium: Medium, ports: ProvisionPorts): Promise<boolean> {
  // Read first, and read-only: most sticks bring nothing, and are not touched.
  const found = await medium.use(false, async (folder) => (folder === undefined ? undefined : readFolder(folder)));
  if (found === undefined || Object.keys(found).length === 0) return false;
  const plan = planProvision(medium.name, { found, kept: ports.kept(), isMember: ports.isMember() });
  if (plan.problems.length > 0) {
    for (const problem of plan.problems) {
      ports.say(problem);
      ports.refused(problem);
    }
    ports.say(`Nothing of ${medium.name} was taken over, and what the box has stays as it is.`);
    ports.record(medium.name, `refused: ${plan.problems[0] ?? ""}`.slice(0, 200));
    return false;
  }
  for (const { file, text } of plan.writes) ports.write(file, text);
  for (const text of plan.said) ports.say(`${medium.name}: ${text}`);
  // Only now: until it is on the data partition the stick's copy may be the only one.
  if (plan.wipes.length > 0) await wipe(medium, plan.wipes, ports);
  if (plan.writes.length > 0) ports.record(medium.name, plan.writes.map((one) => one.file).join(" "));
  return plan.writes.length > 0;
}

async function wipe(medium: Medium, files: readonly ProvisionedFile[], ports: ProvisionPorts): Promise<void> {
  try {
    await medium.use(true, async (folder) => {
      for (const file of files) if (folder !== undefined) overwrite(`${folder}/${file}`);
    });
    ports.say(`${medium.name}: ${files.join(" and ")} wiped from it`);
  } catch (error) {
    // A write-protected stick: the person has to know that the secret is still on it.
    ports.say(
      `${medium.name}: ${files.join(" and ")} COULD NOT BE WIPED from it (${errorChain(error)}): do it by hand`,
    );
  }
}

function readFolder(folder: string): Partial<Record<ProvisionedFile, string | undefined>> {
  const found: Partial<Record<ProvisionedFile, string | undefined>> = {};
  for (const file of PROVISIONED) {
    const path = `${folder}/${file}`;
    if (!existsSync(path)) continue;
    found[file] = textOf(path);
  }
  return found;
}

/** Undefined: too large, no file, or no text. */
function textOf(path: string): string | undefined {
  const facts = statSync(path);
  if (!facts.isFile() || facts.size > FILE_BYTES_MAX) return undefined;
  try {
    // Editors of other systems put a mark before the first character.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
    return text.includes("\0") ? undefined : text.replaceAll("\r\n", "\n");
  } catch {
    return undefined;
  }
}

/** Zeros over the same blocks, synced, and then the name goes. Flash may keep an old copy all the same. */
function overwrite(path: string): void {
  if (!existsSync(path)) return;
  const file = openSync(path, "r+");
  try {
    const zeros = Buffer.alloc(fstatSync(file).size);
    for (let at = 0; at < zeros.length; ) at += writeSync(file, zeros, at, zeros.length - at, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  rmSync(path);
}
