/** `./scripts/image`: builds an image, boots it in an emulator, writes it to a disk. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import packageJson from "../package.json";
import { CodedError, errorChain } from "../src/base/error.ts";
import { ARCHITECTURES, type Architecture } from "./architecture.ts";
import { buildImage } from "./build.ts";
import { DISKS, emulator } from "./emulator.ts";

const REPOSITORY = resolve(import.meta.dir, "..");
const EXIT_USAGE = 2;

const USAGE = `usage: ./scripts/image COMMAND

  build [--arch x86_64] [--key FILE] [--out DIRECTORY]
                      a disk image, an update bundle and lists of what is in them, in out/;
                      without --key signed by the TEST key that everybody knows
  run [--disk ${DISKS.join("|")}] [--firmware bios|uefi] [--memory MB]
                      boots the image that was built, in an emulator, on this terminal; what the box writes is
                      thrown away. Ctrl-A X ends it
`;

async function main(): Promise<void> {
  const [name = "", ...words] = process.argv.slice(2);
  if (name === "build") await build(words);
  else if (name === "run") await runImage(words);
  else usage(name === "" || name === "--help" || name === "-h" ? undefined : `There is no command "${name}"`);
}

async function build(words: readonly string[]): Promise<void> {
  const { options } = read(words, ["arch", "key", "out"]);
  const startedAt = performance.now();
  const key = options.get("key");
  const built = await buildImage({
    repository: REPOSITORY,
    architecture: architecture(options.get("arch")),
    out: resolve(options.get("out") ?? `${REPOSITORY}/out`),
    keyFile: key === undefined ? undefined : resolve(key),
    report: (text) => console.error(text),
  });
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  console.log(`${built.image}`);
  console.log(`${built.compressed}   ${megabytes(built.compressedBytes)}`);
  console.log(`${built.bundle}   slot ${megabytes(built.slotBytes)}`);
  console.error(`built in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
}

/** The box's serial line is this terminal. */
async function runImage(words: readonly string[]): Promise<void> {
  const { options } = read(words, ["disk", "firmware", "memory"]);
  const [disk, firmware, memory] = [
    options.get("disk") ?? "virtio",
    options.get("firmware") ?? "bios",
    options.get("memory") ?? "256",
  ];
  const known = DISKS.find((one) => one === disk);
  if (known === undefined) return usage(`Cannot run with disk "${disk}": there is ${DISKS.join(", ")}`);
  if (firmware !== "bios" && firmware !== "uefi") return usage(`Cannot run with firmware "${firmware}": bios or uefi`);
  if (!/^\d{2,5}$/.test(memory)) return usage(`Cannot run with "${memory}" MB of memory`);
  const machine = {
    image: builtImage(),
    format: "raw",
    disk: known,
    isUefi: firmware === "uefi",
    memoryMb: Number(memory),
  } as const;
  const child = Bun.spawn([...emulator(machine), "-snapshot", "-nographic"], {
    stdio: ["inherit", "inherit", "inherit"],
  });
  process.exitCode = await child.exited;
}

function architecture(name = "x86_64"): Architecture {
  const found = ARCHITECTURES.find((one) => one.name === name);
  if (found !== undefined) return found;
  const known = ARCHITECTURES.map((one) => one.name).join(", ");
  throw new CodedError(
    "architecture",
    `Cannot build for "${name}": there is ${known}${name === "arm64" ? "; arm64 is missing yet" : ""}`,
  );
}

/** The image that `build` has made. */
function builtImage(): string {
  const image = `${REPOSITORY}/out/ringfence-${packageJson.version}-x86_64.img`;
  if (!existsSync(image))
    throw new CodedError("image", `There is no image yet: ./scripts/image build makes "${image}"`);
  return image;
}

/** Options that are known, each with a value, and other words. */
function read(words: readonly string[], known: readonly string[]): { options: Map<string, string>; rest: string[] } {
  const options = new Map<string, string>();
  const rest: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (!word.startsWith("--")) {
      rest.push(word);
      continue;
    }
    const name = word.slice(2);
    const value = words[++at];
    if (!known.includes(name) || value === undefined) usage(`Cannot understand "${word}"`);
    else options.set(name, value);
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
