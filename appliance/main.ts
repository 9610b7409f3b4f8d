/** `./scripts/image`: builds an image, boots it in an emulator, writes it to a disk. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import packageJson from "../package.json";
import { CodedError, errorChain } from "../src/base/error.ts";
import { ARCHITECTURES, architectureNamed } from "./architecture.ts";
import { buildImage, type Secure } from "./build.ts";
import { command } from "./command.ts";
import { releaseOf } from "./disk.ts";
import { DISKS, emulator, userNetwork, WATCHDOGS } from "./emulator.ts";
import { flash } from "./flash.ts";

const REPOSITORY = resolve(import.meta.dir, "..");
const EXIT_USAGE = 2;
/** Size of the disk of `run`. */
const RUN_DISK = "2G";
const DEFAULT_ARCHITECTURE = "x86_64";

const USAGE = `usage: ./scripts/image COMMAND

  build [--arch ${ARCHITECTURES.map(({ name }) => name).join("|")}] [--key FILE] [--out DIRECTORY]
        [--secure [FILE] [--secure-boot KEY --certificate CERT]]
                      a disk image, an update bundle and lists of what is in them, in out/;
                      without --key signed by the TEST key that everybody knows.
                      --secure: the boot loader starts only kernels and initramfs that the OpenPGP secret key in FILE has
                      signed (RSA, armored, no passphrase; without FILE a TEST key). --secure-boot: UEFI's loader is
                      signed too, for a firmware that trusts CERT (both PEM; appliance/HARDWARE.md)
  run [--arch NAME] [--uefi] [--disk ${DISKS.join("|")}] [--watchdog ${WATCHDOGS.join("|")}] [--memory MIB] [--image FILE]
                      boots it in QEMU on this terminal; Ctrl-A X ends it, and nothing is kept.
                      FILE itself says which machine it is for; arm64 always has UEFI
  flash DEVICE [--arch NAME] [--fixed-disk] [--image FILE]
                      writes it to a disk or stick, and reads it back
`;

async function main(): Promise<void> {
  const [name = "", ...words] = process.argv.slice(2);
  if (name === "build") await build(words);
  else if (name === "run") await run(words);
  else if (name === "flash") await flashDevice(words);
  else usage(name === "" || name === "--help" || name === "-h" ? undefined : `There is no command "${name}"`);
}

async function build(words: readonly string[]): Promise<void> {
  const { options, rest } = read(words, ["arch", "key", "out", "secure-boot", "certificate"], [], ["secure"]);
  if (rest.length > 0) usage(`Cannot understand "${rest.join(" ")}"`);
  const startedAt = performance.now();
  const key = options.get("key");
  const built = await buildImage({
    repository: REPOSITORY,
    architecture: architectureNamed(options.get("arch") ?? DEFAULT_ARCHITECTURE),
    out: resolve(options.get("out") ?? `${REPOSITORY}/out`),
    keyFile: key === undefined ? undefined : resolve(key),
    secure: secureOf(options),
    report: (text) => console.error(text),
  });
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(`${built.image}`);
  console.log(`${built.compressed}   ${megabytes(built.compressedBytes)}`);
  console.log(`${built.bundle}   slot ${megabytes(built.slotBytes)}`);
  console.error(`built in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
}

/** What --secure and what belongs to it ask for. */
function secureOf(options: ReadonlyMap<string, string>): Secure | undefined {
  const [bootKey, key, certificate] = ["secure", "secure-boot", "certificate"].map((name) => options.get(name));
  if ((key === undefined) !== (certificate === undefined)) usage("--secure-boot and --certificate belong together");
  if (bootKey === undefined && key !== undefined) usage("--secure-boot is for an image that is built with --secure");
  if (bootKey === undefined) return undefined;
  return {
    bootKeyFile: bootKey === "" ? undefined : resolve(bootKey),
    loaderSigner:
      key === undefined || certificate === undefined
        ? undefined
        : { key: existing(key), certificate: existing(certificate) },
  };
}

function existing(file: string): string {
  if (!existsSync(file)) throw new CodedError("secure-boot", `Cannot sign the loader: there is no file "${file}"`);
  return resolve(file);
}

async function run(words: readonly string[]): Promise<void> {
  const { options, rest } = read(words, ["arch", "disk", "watchdog", "memory", "image"], ["uefi"]);
  const kind = DISKS.find((one) => one === (options.get("disk") ?? "virtio"));
  const watchdog = WATCHDOGS.find((one) => one === options.get("watchdog"));
  const memoryMib = Number(options.get("memory") ?? 0);
  if (kind === undefined || rest.length > 0) usage(`Cannot understand "${words.join(" ")}"`);
  if (watchdog === undefined && options.has("watchdog")) usage(`There is no watchdog "${options.get("watchdog")}"`);
  if (!Number.isInteger(memoryMib) || memoryMib < 0) usage("--memory is a number of MiB");
  const directory = mkdtempSync(join(tmpdir(), "ringfence-run-"));
  // A disk of its own, larger than the image as a box's is; what the box writes ends with it.
  const disk = join(directory, "disk.qcow2");
  const image = builtImage(options);
  await command(["qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "raw", disk, RUN_DISK]);
  const machine = emulator({
    ...{ image: disk, format: "qcow2", architecture: releaseOf(image).architecture },
    ...{ disk: kind, isUefi: options.has("uefi"), watchdog },
    ...(memoryMib === 0 ? {} : { memoryMib }),
  });
  const child = Bun.spawn([...machine, ...userNetwork(), "-serial", "mon:stdio"], {
    stdio: ["inherit", "inherit", "inherit"],
  });
  // Ctrl-C is the box's: QEMU hands it on.
  process.on("SIGINT", () => undefined);
  process.exitCode = await child.exited;
  rmSync(directory, { recursive: true, force: true });
}

async function flashDevice(words: readonly string[]): Promise<void> {
  const { options, rest } = read(words, ["arch", "image"], ["fixed-disk"]);
  const [device, ...more] = rest;
  if (device === undefined || more.length > 0) usage("flash takes one device, as /dev/sdb");
  await flash(builtImage(options), device, options.has("fixed-disk"));
}

/** The image that was named, or the one that `build` has made. */
function builtImage(options: ReadonlyMap<string, string>): string {
  const named = options.get("image");
  const { name } = architectureNamed(options.get("arch") ?? DEFAULT_ARCHITECTURE);
  const image = resolve(named ?? `${REPOSITORY}/out/ringfence-${packageJson.version}-${name}.img`);
  if (existsSync(image)) return image;
  const hint = named === undefined ? `: ./scripts/image build --arch ${name} makes it` : "";
  throw new CodedError("image", `There is no image "${image}"${hint}`);
}

/** Options with a value, options without one, those that may have one, and other words. */
function read(
  words: readonly string[],
  valued: readonly string[],
  flags: readonly string[] = [],
  optional: readonly string[] = [],
): { options: ReadonlyMap<string, string>; rest: readonly string[] } {
  const options = new Map<string, string>();
  const rest: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    const name = word.slice(2);
    if (!word.startsWith("--")) rest.push(word);
    else if (flags.includes(name)) options.set(name, "");
    else if (optional.includes(name))
      options.set(name, words[at + 1]?.startsWith("--") === false ? (words[++at] ?? "") : "");
    else {
      const value = words[++at];
      if (!valued.includes(name) || value === undefined) usage(`Cannot understand "${word}"`);
      options.set(name, value);
    }
  }
  return { options, rest };
}

function usage(why?: string): never {
  if (why !== undefined) console.error(`${why}\n`);
  (why === undefined ? console.log : console.error)(USAGE);
  process.exit(why === undefined ? 0 : EXIT_USAGE);
}

main().catch((error: unknown) => {
  console.error(`image: ${errorChain(error)}`);
  process.exit(1);
});
