import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { CodedError } from "../src/base/error.ts";
import { formatGrubEnv, type GrubEnv } from "../src/box/grub-env.ts";
import type { Release } from "../src/box/release.ts";
import { decodeFooter, FOOTER_BYTES } from "../src/box/slot-footer.ts";
import type { Architecture } from "./architecture.ts";
import type { BootKey } from "./boot-key.ts";
import { command } from "./command.ts";
import { derived, derivedUuid } from "./digest.ts";
import { buildBootLoader, GRUB_DIRECTORY, type LoaderSigner } from "./grub.ts";
import { DISK_BYTES, PARTITIONS, partitionOffset, partitionSize } from "./partitions.ts";
import type { SlotContent } from "./slot.ts";

const SECTOR_BYTES = 512;
/** Both slots hold the image: a disk that loses a block of one on its first day boots the other. */
const FIRST_ENV: GrubEnv = {
  generation: 1,
  order: ["A", "B"],
  slots: { A: { isGood: true, tries: 0 }, B: { isGood: true, tries: 0 } },
  mode: "normal",
};

/** What a disk image is made of. */
export interface DiskSources {
  readonly repository: string;
  readonly pool: string;
  readonly architecture: Architecture;
  readonly slot: SlotContent;
  /** Whose signatures GRUB demands; undefined: none. */
  readonly bootKey: BootKey | undefined;
  readonly loaderSigner: LoaderSigner | undefined;
  /** A directory for what lies in between; made anew. */
  readonly work: string;
}

/** Writes the disk image as a sparse file. Nothing is mounted, so it needs no rights. */
export async function buildDisk(file: string, sources: DiskSources): Promise<void> {
  const { slot, work } = sources;
  const { build: commit, builtAt } = slot.release;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  if (slot.content.length + FOOTER_BYTES > partitionSize("ringfence-a"))
    throw new CodedError("budget", `The slot's ${slot.content.length} bytes do not fit its partition`);
  const esp = `${work}/esp`;
  const loader = await buildBootLoader(sources.architecture, {
    ...sources,
    esp,
    timeSeconds: builtAt,
    biosAt: partitionOffset("ringfence-bios") / SECTOR_BYTES,
  });
  const env = formatGrubEnv(FIRST_ENV);
  for (const name of ["env1", "env2"]) writeFileSync(`${esp}/${GRUB_DIRECTORY}/${name}`, env);
  await makeEsp(`${work}/esp.img`, esp, commit, builtAt);
  await makeData(`${work}/data.img`, commit, builtAt);

  rmSync(file, { force: true });
  const disk = openSync(file, "wx");
  try {
    ftruncateSync(disk, DISK_BYTES);
    await command(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", file], { stdin: partitionTable(commit) });
    const write = (bytes: Uint8Array, offset: number): void => writeSparse(disk, bytes, offset);
    if (loader.bootCode !== undefined) write(loader.bootCode, 0);
    if (loader.biosCore !== undefined) {
      if (loader.biosCore.length > partitionSize("ringfence-bios"))
        throw new CodedError("grub", `GRUB's ${loader.biosCore.length} bytes do not fit the BIOS boot partition`);
      write(loader.biosCore, partitionOffset("ringfence-bios"));
    }
    write(readFileSync(`${work}/esp.img`), partitionOffset("ringfence-esp"));
    for (const name of ["ringfence-a", "ringfence-b"] as const) {
      write(slot.content, partitionOffset(name));
      write(slot.footer, partitionOffset(name) + partitionSize(name) - FOOTER_BYTES);
    }
    write(readFileSync(`${work}/data.img`), partitionOffset("ringfence-data"));
  } finally {
    closeSync(disk);
  }
}

/**
 * What the image of a disk says of itself, by its slot A. Without `verify` nobody looks at the signature, which is for the
 * box to check. Throws `image`.
 */
export function releaseOf(image: string, verify: Parameters<typeof decodeFooter>[1] = () => true): Release {
  const bytes = new Uint8Array(FOOTER_BYTES);
  const disk = openSync(image, "r");
  try {
    const end = partitionOffset("ringfence-a") + partitionSize("ringfence-a");
    readSync(disk, bytes, 0, bytes.length, end - FOOTER_BYTES);
  } finally {
    closeSync(disk);
  }
  const footer = decodeFooter(bytes, verify);
  if (typeof footer === "string") throw new CodedError("image", `Cannot read slot A of "${image}": ${footer}`);
  return footer.release;
}

/** As sfdisk reads it. */
function partitionTable(commit: string): string {
  return [
    "label: gpt",
    `label-id: ${derivedUuid(commit, "disk")}`,
    "unit: sectors",
    ...PARTITIONS.map(
      ({ name, type }) =>
        `start=${partitionOffset(name) / SECTOR_BYTES}, size=${partitionSize(name) / SECTOR_BYTES}, type=${type}, uuid=${derivedUuid(commit, name)}, name=${name}`,
    ),
    "",
  ].join("\n");
}

async function makeEsp(file: string, directory: string, commit: string, timeSeconds: number): Promise<void> {
  const id = derived(commit, "esp").toString("hex", 0, 4);
  const environment = { SOURCE_DATE_EPOCH: String(timeSeconds) };
  const kib = String(partitionSize("ringfence-esp") / 1024);
  // FAT16: 32 MiB are too few clusters for FAT32, and firmware reads both.
  await command(["mkfs.fat", "--invariant", "-F", "16", "-i", id, "-n", "RINGFENCE", "-C", file, kib], { environment });
  setTimes(directory, timeSeconds);
  // -m keeps the files' times; sorted, because the order is the disk's.
  for (const path of treeOf(directory)) {
    if (path.isDirectory) await command(["mmd", "-i", file, `::${path.name}`], { environment });
    else await command(["mcopy", "-m", "-i", file, `${directory}/${path.name}`, `::${path.name}`], { environment });
  }
}

/** An empty file system: what a box begins with is in its image. */
async function makeData(file: string, commit: string, timeSeconds: number): Promise<void> {
  const uuid = derivedUuid(commit, "data");
  await command(
    [
      ...["mkfs.ext4", "-q", "-F", "-L", "ringfence", "-U", uuid, "-E", `hash_seed=${uuid},lazy_itable_init=0`],
      ...["-O", "64bit,metadata_csum", "-J", "size=8", "-m", "1", file, `${partitionSize("ringfence-data") / 1024}k`],
    ],
    { environment: { E2FSPROGS_FAKE_TIME: String(timeSeconds) } },
  );
}

/** Every entry below a directory, sorted, directories before what is in them. */
function treeOf(directory: string): readonly { readonly name: string; readonly isDirectory: boolean }[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .map((entry) => ({
      name: `${entry.parentPath}/${entry.name}`.slice(directory.length + 1),
      isDirectory: entry.isDirectory(),
    }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function setTimes(directory: string, timeSeconds: number): void {
  for (const { name } of treeOf(directory)) utimesSync(`${directory}/${name}`, timeSeconds, timeSeconds);
}

/** Leaves out what is zero anyway: the file stays small, and is quick to compress. */
function writeSparse(disk: number, bytes: Uint8Array, offset: number): void {
  const zero = Buffer.alloc(64 * 1024);
  for (let at = 0; at < bytes.length; at += zero.length) {
    const chunk = bytes.subarray(at, at + zero.length);
    if (zero.subarray(0, chunk.length).equals(chunk)) continue;
    for (let done = 0; done < chunk.length; )
      done += writeSync(disk, chunk, done, chunk.length - done, offset + at + done);
  }
}
