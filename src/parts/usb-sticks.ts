import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  statSync,
} from "node:fs";
import { errorChain } from "../base/error.ts";
import type { ActionResult } from "../console/types.ts";
import { bootReportFields } from "./image.ts";
import { paths } from "./paths.ts";

const PROGRAM_TIMEOUT_MS = 20_000;
/** What a stick may carry; without a type the kernel would try others too. */
const FILE_SYSTEMS = ["vfat", "exfat", "ext4"];
const LISTED_MAX = 40;

/** A partition, or a whole stick without partitions. */
export interface StickPartition {
  /** `/dev/sdb1` */
  readonly device: string;
  readonly label: string;
}

/**
 * What is plugged in by USB: block devices whose way through the machine goes over a USB bus, with the partitions of each
 * but those of `own`, the disk that the box runs from (which may be a stick, too).
 */
export function findSticks(own: string | undefined, sys = "/sys"): readonly StickPartition[] {
  const block = `${sys}/class/block`;
  if (!existsSync(block)) return [];
  const names = readdirSync(block);
  const textOf = (path: string): string => {
    try {
      return readFileSync(path, "utf8").trim();
    } catch {
      return "";
    }
  };
  const disks = names.filter((name) => {
    const target = linkOf(`${block}/${name}`);
    return /\/usb\d+\//.test(target) && !existsSync(`${block}/${name}/partition`) && `/dev/${name}` !== own;
  });
  return disks
    .flatMap((disk) => {
      const parts = names.filter((name) => name.startsWith(disk) && existsSync(`${block}/${name}/partition`));
      return (parts.length > 0 ? parts : [disk]).map((name) => ({
        device: `/dev/${name}`,
        label: [textOf(`${block}/${disk}/device/vendor`), textOf(`${block}/${disk}/device/model`)].join(" ").trim(),
      }));
    })
    .sort((a, b) => (a.device < b.device ? -1 : 1));
}

/** Runs with one partition mounted; unmounted (and with that written) before it returns. Throws what is wrong with it. */
export async function withMounted<T>(
  device: string,
  isReadOnly: boolean,
  work: (directory: string) => Promise<T>,
): Promise<T> {
  mkdirSync(paths.run, { recursive: true });
  const directory = mkdtempSync(`${paths.run}/stick-`);
  const options = isReadOnly ? "ro,nosuid,nodev,noexec" : "rw,nosuid,nodev,noexec";
  try {
    let why: string | undefined = "it has no file system";
    for (const type of FILE_SYSTEMS) {
      why = await obstacle("mount", "-t", type, "-o", options, device, directory);
      if (why === undefined) break;
    }
    if (why !== undefined) throw new Error(`Cannot read "${device}" as ${FILE_SYSTEMS.join(", ")}: ${why}`);
    const done = await work(directory).then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    );
    const still = await obstacle("umount", directory);
    if ("error" in done) throw done.error;
    // What was written is on the stick only when it is unmounted.
    if (still !== undefined) throw new Error(`Cannot let go of "${device}": ${still}`);
    return done.value;
  } finally {
    rmdirSync(directory);
  }
}

/** The sticks for one action. */
export interface Sticks {
  readonly all: readonly StickPartition[];
  /** On the only one that there is. */
  write(work: (directory: string) => Promise<ActionResult>): Promise<ActionResult>;
  /** The file of that name, on whichever it is; it must be on one only. */
  find(name: string, work: (path: string) => Promise<ActionResult>): Promise<ActionResult>;
}

export async function withSticks(work: (sticks: Sticks) => Promise<ActionResult>): Promise<ActionResult> {
  try {
    return await work(openSticks(findSticks(ownDisk())));
  } catch (error) {
    return { isDone: false, text: errorChain(error) };
  }
}

export function openSticks(all: readonly StickPartition[]): Sticks {
  const failed = (text: string): ActionResult => ({ isDone: false, text });
  return {
    all,
    write: async (work) => {
      const [only, ...others] = all;
      if (only === undefined) return failed("There is no USB stick.");
      if (others.length > 0)
        return failed(
          `There is more than one place: ${all.map((one) => one.device).join(", ")}. Leave one plugged in.`,
        );
      const result = await withMounted(only.device, false, work);
      return result.isDone
        ? { ...result, text: `${result.text}It is on ${only.device}; the stick can be pulled.\n` }
        : result;
    },
    find: async (name, work) => {
      const found: string[] = [];
      for (const { device } of all)
        if (await withMounted(device, true, async (at) => existsSync(`${at}/${name}`))) found.push(device);
      const [only, ...others] = found;
      if (only === undefined) return failed(`There is no "${name}" on a USB stick: sticks lists what is there.`);
      if (others.length > 0) return failed(`"${name}" is on ${found.join(" and on ")}. Leave one plugged in.`);
      return withMounted(only, true, (directory) => work(`${directory}/${name}`));
    },
  };
}

/** What the console can take from a stick. */
const TAKEN = /\.(backup|rfb)$/;

/** What is plugged in, and what it has for `restore` and `update`. */
export async function listSticks({ all }: Sticks): Promise<ActionResult> {
  if (all.length === 0) return { isDone: true, text: "No USB stick is plugged in." };
  const lines: string[] = [];
  for (const { device, label } of all) {
    lines.push(`${device} ${label}`);
    try {
      const names = await withMounted(device, true, async (at) =>
        readdirSync(at)
          .filter((name) => TAKEN.test(name))
          .map((name) => `  ${name}, ${Math.ceil(statSync(`${at}/${name}`).size / 1024)} KiB`),
      );
      lines.push(...(names.length === 0 ? ["  no backups and no updates"] : names.sort().slice(0, LISTED_MAX)));
    } catch (error) {
      lines.push(`  ${errorChain(error)}`);
    }
  }
  return { isDone: true, text: lines.join("\n") };
}

/** The disk of the running image: never taken for a stick. */
export function ownDisk(): string | undefined {
  const { disk } = bootReportFields();
  return typeof disk === "string" ? disk : undefined;
}

function linkOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return ""; // It was pulled.
  }
}

/** Runs a program; what it complains of, undefined when it did what it should. */
async function obstacle(...words: string[]): Promise<string | undefined> {
  const child = Bun.spawn(words, { stdin: "ignore", stdout: "ignore", stderr: "pipe", timeout: PROGRAM_TIMEOUT_MS });
  const [said, code] = await Promise.all([child.stderr.text(), child.exited]);
  return code === 0 ? undefined : said.trim() || `${words[0]} ended with ${child.signalCode ?? code}`;
}
