import { copyFileSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { Architecture } from "./architecture.ts";
import { type BootKey, readBootKey } from "./boot-key.ts";
import { command } from "./command.ts";
import { buildDisk } from "./disk.ts";
import type { LoaderSigner } from "./grub.ts";
import { buildInitramfs } from "./initramfs.ts";
import { kernelRelease } from "./kernel-modules.ts";
import { readSigningKey } from "./keys.ts";
import { fetchPackages } from "./packages.ts";
import { buildRoot } from "./root.ts";
import { prepareRuntime } from "./runtime.ts";
import { billOfMaterials, versionManifest } from "./sbom.ts";
import { checkBudget, packRoot, sealSlot, writeBundle } from "./slot.ts";
import { describeSource, sourceTime } from "./source.ts";

/** What people were promised, 10^6 bytes. */
export const SLOT_MEGABYTES_MAX = 80;
export const DISK_MEGABYTES_MAX = 90;

/** What to build, and from what. */
export interface BuildOptions {
  readonly repository: string;
  readonly architecture: Architecture;
  /** Where results go. */
  readonly out: string;
  /** A release's private key; undefined: the TEST key. */
  readonly keyFile: string | undefined;
  /** With it only what is signed is booted. */
  readonly secure: Secure | undefined;
  /** Told in a line what is done next. */
  readonly report: (text: string) => void;
}

/** With whose keys. */
export interface Secure {
  /** The OpenPGP secret key for kernel and initramfs; undefined: the TEST key. */
  readonly bootKeyFile: string | undefined;
  /** Whoever the firmware is told to trust; undefined: UEFI's loader is not signed. */
  readonly loaderSigner: LoaderSigner | undefined;
}

/** Files of a build. */
export interface Built {
  readonly image: string;
  readonly compressed: string;
  readonly bundle: string;
  readonly slotBytes: number;
  readonly compressedBytes: number;
}

/** Builds everything. The same commit, keys and Debian packages give the same bytes. */
export async function buildImage(options: BuildOptions): Promise<Built> {
  const { repository, architecture, out, secure, report } = options;
  const key = readSigningKey(repository, options.keyFile);
  const bootKey =
    secure === undefined ? undefined : await readBootKey(repository, secure.bootKeyFile, await sourceTime(repository));
  const description = await describeSource(repository, architecture, key, bootKey);
  const work = `${out}/work-${architecture.name}`;
  const pool = `${work}/pool`;
  const name = `${out}/ringfence-${description.version}-${architecture.name}${bootKey === undefined ? "" : "-secure"}`;
  mkdirSync(work, { recursive: true });
  report(`ringfence ${description.version} ${description.build} for ${architecture.name}, ${key.kind} key`);
  const packages = await fetchPackages(architecture, `${out}/packages`, pool, bootKey !== undefined);
  const runtime = await prepareRuntime(architecture, repository, `${out}/packages`, `${work}/runtime`);
  report(`${packages.length} packages; puts the root together`);
  const root = `${work}/root`;
  await buildRoot(root, {
    ...{ repository, pool, runtime, architecture },
    texts: {
      "usr/lib/ringfence/release.json": `${JSON.stringify(description)}\n`,
      "usr/lib/ringfence/update.pub": key.publicPem,
      "usr/lib/ringfence/manifest": versionManifest(description, packages, repository),
    },
  });
  mkdirSync(`${root}/boot`, { recursive: true });
  copyFileSync(`${pool}/boot/vmlinuz-${kernelRelease(pool)}`, `${root}/boot/vmlinuz`);
  await buildInitramfs(`${work}/initramfs`, `${root}/boot/initrd`, {
    ...{ repository, pool, architecture },
    timeSeconds: description.builtAt,
    footerKey: bootKey === undefined ? undefined : key.publicSignify,
  });
  if (bootKey !== undefined) await signBooted(root, bootKey);
  report("packs the slot");
  await packRoot(root, `${work}/slot`, architecture, description.builtAt);
  const slot = sealSlot(`${work}/slot`, description, key);
  checkBudget("slot", slot.content.length, SLOT_MEGABYTES_MAX);
  writeBundle(`${name}.rfb`, slot);
  report("writes the disk");
  await buildDisk(`${name}.img`, {
    ...{ repository, pool, architecture, slot, bootKey, loaderSigner: secure?.loaderSigner },
    work: `${work}/disk`,
  });
  // One frame, one thread. The window reaches over the first slot, so that the second one costs nothing.
  await command(["zstd", "-q", "-f", "-3", "--long=27", "--single-thread", `${name}.img`, "-o", `${name}.img.zst`]);
  const compressedBytes = statSync(`${name}.img.zst`).size;
  checkBudget("compressed image", compressedBytes, DISK_MEGABYTES_MAX);
  writeFileSync(`${name}.spdx.json`, billOfMaterials(repository, description, packages));
  writeFileSync(`${name}.manifest`, versionManifest(description, packages, repository));
  rmSync(root, { recursive: true, force: true });
  return {
    ...{ image: `${name}.img`, compressed: `${name}.img.zst`, bundle: `${name}.rfb` },
    ...{ slotBytes: slot.content.length, compressedBytes },
  };
}

/** Puts the signatures that GRUB looks for beside kernel and initramfs in the root of a slot. */
async function signBooted(root: string, key: BootKey): Promise<void> {
  for (const name of ["vmlinuz", "initrd"]) await key.sign(`${root}/boot/${name}`);
}
