import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";
import { CodedError } from "../src/base/error.ts";
import { busyboxApplets } from "./applets.ts";
import type { Architecture } from "./architecture.ts";
import { buildBundles } from "./bundles.ts";
import { copyModules } from "./kernel-modules.ts";
import { copyLibraries, copyLibrary } from "./libraries.ts";
import { OPENED_LIBRARIES, PACKAGES } from "./package-list.ts";
import type { Runtime } from "./runtime.ts";

/** The commands of a box, all by one bundle. */
const COMMANDS = "onezone onehost onevm onetemplate oneuser onedatastore oneimage onedb ringfence".split(" ");
/** Mount points, and what programs want to exist. */
const DIRECTORIES = "proc sys dev run tmp var data boot/efi etc/one root/.ssh usr/bin usr/sbin usr/lib usr/lib64".split(
  " ",
);
/** Debian has moved these into /usr; so has the root. */
const MERGED = ["bin", "sbin", "lib", "lib64"];
/** Places of programs, in which busybox's names do not take that of a real one. */
const PROGRAM_PLACES = ["usr/bin", "usr/sbin"];

/** Where things come from. */
export interface RootSources {
  readonly repository: string;
  readonly pool: string;
  readonly runtime: Runtime;
  readonly architecture: Architecture;
  /** Texts that are known at build time, path → text. */
  readonly texts: Readonly<Record<string, string>>;
}

/** Puts the root file system together in `root`, which is made anew. All but the kernel and its initramfs. */
export async function buildRoot(root: string, sources: RootSources): Promise<void> {
  const { repository, pool, runtime, architecture } = sources;
  rmSync(root, { recursive: true, force: true });
  for (const directory of DIRECTORIES) mkdirSync(`${root}/${directory}`, { recursive: true });
  for (const name of MERGED) symlinkSync(`usr/${name}`, `${root}/${name}`);
  const programs = copyPackageFiles(pool, root, architecture);
  await buildBundles(repository, `${root}/usr/lib/ringfence`, runtime.addOn);
  cpSync(runtime.bun, `${root}/usr/bin/bun`);
  cpSync(`${repository}/rootfs`, root, { recursive: true, force: true });
  const boxConf = `${root}/usr/lib/ringfence/box.conf`;
  writeFileSync(boxConf, readFileSync(boxConf, "utf8").replace("ttyS0", architecture.serialPort));
  for (const [path, text] of Object.entries(sources.texts)) {
    mkdirSync(dirname(`${root}/${path}`), { recursive: true });
    writeFileSync(`${root}/${path}`, text);
  }
  copyLibraries(architecture, pool, root, [...programs, "usr/bin/bun", "usr/lib/ringfence/node_sqlite3.node"]);
  for (const name of OPENED_LIBRARIES) copyLibrary(architecture, pool, root, name);
  linkBusybox(root);
  for (const name of ["modprobe", "insmod", "rmmod", "lsmod", "modinfo", "depmod"])
    link(root, `usr/sbin/${name}`, "../bin/kmod");
  for (const name of ["mkfs.ext4", "mke2fs.ext4"]) link(root, `usr/sbin/${name}`, "mke2fs");
  for (const name of COMMANDS)
    program(root, `usr/bin/${name}`, `#!/bin/sh\nexec /usr/bin/bun /usr/lib/ringfence/cli.js ${name} "$@"\n`);
  certificates(root);
  await copyModules(pool, root, "root", architecture.name);
}

/** Gives the files, so that their libraries can be looked for. */
function copyPackageFiles(pool: string, root: string, { libraries }: Architecture): readonly string[] {
  return Object.entries(PACKAGES)
    .flatMap(([name, files]) =>
      files.map((pattern) => {
        const file = pattern.replace("@", libraries);
        const target = MERGED.includes(file.split("/")[0] ?? "") ? `usr/${file}` : file;
        if (!existsSync(`${pool}/${file}`)) throw new CodedError("package", `Cannot find "${file}" in ${name}`);
        mkdirSync(dirname(`${root}/${target}`), { recursive: true });
        cpSync(`${pool}/${file}`, `${root}/${target}`, { recursive: true, dereference: true });
        return target;
      }),
    )
    .filter((file) => lstatSync(`${root}/${file}`).isFile());
}

function linkBusybox(root: string): void {
  const real = new Set(PROGRAM_PLACES.flatMap((place) => readdirSync(`${root}/${place}`)));
  for (const name of busyboxApplets(`${root}/usr/bin/busybox`)) {
    if (real.has(name) || name === "busybox") continue;
    symlinkSync("busybox", `${root}/usr/bin/${name}`);
  }
  link(root, "usr/sbin/init", "../bin/busybox");
  link(root, "usr/sbin/reboot", "../bin/busybox");
  // Of the network program's making: the root is read-only.
  link(root, "etc/resolv.conf", "/run/one/resolv.conf");
}

/** A link in the place of what may be there. */
function link(root: string, path: string, target: string): void {
  rmSync(`${root}/${path}`, { force: true });
  symlinkSync(target, `${root}/${path}`);
}

function program(root: string, path: string, text: string): void {
  writeFileSync(`${root}/${path}`, text);
  chmodSync(`${root}/${path}`, 0o755);
}

/** All of Debian's authorities in one file, as update-ca-certificates writes it. */
function certificates(root: string): void {
  const directory = `${root}/usr/share/ca-certificates/mozilla`;
  const text = readdirSync(directory)
    .sort()
    .map((name) => readFileSync(`${directory}/${name}`, "utf8"))
    .join("");
  mkdirSync(`${root}/etc/ssl/certs`, { recursive: true });
  writeFileSync(`${root}/etc/ssl/certs/ca-certificates.crt`, text);
  rmSync(`${root}/usr/share/ca-certificates`, { recursive: true });
}
