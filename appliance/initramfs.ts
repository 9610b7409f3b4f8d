import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { busyboxApplets } from "./applets.ts";
import type { Architecture } from "./architecture.ts";
import { command } from "./command.ts";
import { cpioArchive } from "./cpio.ts";
import { copyModules } from "./kernel-modules.ts";
import { copyLibraries } from "./libraries.ts";
import { FOOTER_CHECKER } from "./package-list.ts";

/** Beside /dev, which the kernel fills when it is mounted: what the init script has for its input and output until then. */
const CONSOLE = { path: "dev/console", major: 5, minor: 1 };

/** Where things come from and go to. */
export interface InitramfsSources {
  readonly repository: string;
  readonly pool: string;
  readonly architecture: Architecture;
  readonly timeSeconds: number;
  /** With which a secure image checks its footer (keys.ts); undefined: it is no secure one. */
  readonly footerKey: string | undefined;
}

/** Puts the initramfs together in `directory` and packs it into `file` (zstd: what the kernel unpacks fastest). */
export async function buildInitramfs(directory: string, file: string, sources: InitramfsSources): Promise<void> {
  const { repository, pool, architecture, timeSeconds, footerKey } = sources;
  rmSync(directory, { recursive: true, force: true });
  for (const name of ["bin", "dev", "proc", "sys", "run", "root", "usr/lib", "usr/lib64"])
    mkdirSync(`${directory}/${name}`, { recursive: true });
  for (const name of ["lib", "lib64"]) symlinkSync(`usr/${name}`, `${directory}/${name}`);
  // The kernel asks /sbin/modprobe.
  symlinkSync("bin", `${directory}/sbin`);
  cpSync(`${pool}/bin/busybox`, `${directory}/bin/busybox`);
  cpSync(`${pool}/sbin/dmsetup`, `${directory}/bin/dmsetup`, { dereference: true });
  for (const name of busyboxApplets(`${directory}/bin/busybox`)) {
    if (name !== "busybox") symlinkSync("busybox", `${directory}/bin/${name}`);
  }
  const programs = ["bin/dmsetup"];
  if (footerKey !== undefined) {
    cpSync(`${pool}/${FOOTER_CHECKER.file}`, `${directory}/bin/signify`);
    programs.push("bin/signify");
  }
  copyLibraries(architecture, pool, directory, programs);
  await copyModules(pool, directory, "boot", architecture.name);
  mkdirSync(`${directory}/etc`);
  if (footerKey !== undefined) writeFileSync(`${directory}/etc/footer.pub`, footerKey);
  cpSync(`${repository}/rootfs/etc/modprobe.d`, `${directory}/etc/modprobe.d`, { recursive: true });
  cpSync(`${repository}/appliance/boot/init`, `${directory}/init`);
  const plain = `${file}.cpio`;
  writeFileSync(plain, cpioArchive(directory, timeSeconds, [CONSOLE]));
  // One thread: the same bytes on every machine.
  await command(["zstd", "-q", "-f", "-19", "--single-thread", plain, "-o", file]);
  rmSync(plain);
}
