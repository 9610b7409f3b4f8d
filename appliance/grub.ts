import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { CodedError } from "../src/base/error.ts";
import type { Architecture } from "./architecture.ts";
import type { BootKey } from "./boot-key.ts";
import { command } from "./command.ts";

/** Where grub.cfg and the environments are on the ESP. */
export const GRUB_DIRECTORY = "EFI/ringfence";
/** Where firmware looks for a loader on a disk that it has no entry for. */
const EFI_DIRECTORY = "EFI/BOOT";

/** Built in, so that nothing is loaded from a file system that may be damaged. */
const MODULES = (
  "part_gpt fat squash4 xzio gzio normal linux loadenv test true echo reboot sleep regexp serial terminal configfile " +
  "search minicmd"
).split(" ");
const PLATFORM_MODULES: Readonly<Record<string, readonly string[]>> = {
  "i386-pc": ["biosdisk"],
  "x86_64-efi": ["efi_gop", "efi_uga"],
  "arm64-efi": ["efi_gop"],
};
/** In addition, of a secure image: what checks a signature (boot-key.ts), and the file system that grub.cfg is in. */
const SECURE_MODULES = ["pgp", "gcry_rsa", "gcry_sha256", "memdisk", "tar"];
const SECTOR_BYTES = 512;

/**
 * Of the kernel: both consoles (the last is /dev/console), no words but warnings, and a reset instead of a stop. A serial
 * port that is not there costs nothing.
 */
function allArguments({ serialPort, kernelArguments }: Architecture, bootKey: BootKey | undefined): string {
  const all = ["console=tty0", `console=${serialPort},115200`, "quiet", "loglevel=4", "panic=10", "oops=panic"];
  const secure = bootKey === undefined ? [] : [`rf.bootkey=${bootKey.fingerprint}`];
  return [...all, ...kernelArguments, ...secure].join(" ");
}

/** What GRUB puts on the disk. */
export interface BootLoader {
  /** The first 440 bytes of the disk, which BIOS runs. */
  readonly bootCode: Buffer | undefined;
  /** The content of the BIOS boot partition. */
  readonly biosCore: Buffer | undefined;
}

/** Who signs UEFI's loader, for a firmware whose owner has told it so (Secure Boot). */
export interface LoaderSigner {
  /** PEM files: an RSA key without a passphrase, and its certificate. */
  readonly key: string;
  readonly certificate: string;
}

/** What {@link buildBootLoader} needs. */
export interface BootLoaderSources {
  readonly repository: string;
  /** Where the packages are unpacked. */
  readonly pool: string;
  /** The directory that becomes the ESP. */
  readonly esp: string;
  readonly work: string;
  /** The BIOS boot partition's first sector. */
  readonly biosAt: number;
  /** Whose signatures GRUB demands; undefined: none. */
  readonly bootKey: BootKey | undefined;
  readonly loaderSigner: LoaderSigner | undefined;
  /** When the loader is signed, Unix time. */
  readonly timeSeconds: number;
}

/** Makes GRUB's images with the modules of the packages, and the ESP's files. */
export async function buildBootLoader(architecture: Architecture, sources: BootLoaderSources): Promise<BootLoader> {
  const { repository, pool, esp, work, biosAt, bootKey, loaderSigner, timeSeconds } = sources;
  mkdirSync(`${esp}/${GRUB_DIRECTORY}`, { recursive: true });
  mkdirSync(`${esp}/${EFI_DIRECTORY}`, { recursive: true });
  const configuration = readFileSync(`${repository}/appliance/boot/grub.cfg`, "utf8").replace(
    "@ARGUMENTS@",
    allArguments(architecture, bootKey),
  );
  if (bootKey === undefined) writeFileSync(`${esp}/${GRUB_DIRECTORY}/grub.cfg`, configuration);
  const secure = bootKey === undefined ? [] : await secureWords(repository, work, configuration, bootKey);
  let loader: BootLoader = { bootCode: undefined, biosCore: undefined };
  for (const { platform, efiName } of architecture.grub) {
    const modules = `${pool}/usr/lib/grub/${platform}`;
    if (!existsSync(modules)) throw new CodedError("grub", `Cannot find GRUB's modules in ${modules}`);
    const image = `${work}/grub-${platform}`;
    // Without a device: the partition beside the one that GRUB itself came from, on whichever disk that is.
    const prefix = efiName === undefined ? `(,gpt2)/${GRUB_DIRECTORY}` : `/${GRUB_DIRECTORY}`;
    await command([
      ...["grub-mkimage", "-O", platform, "-d", modules, ...secure, "-p", prefix, "-o", image],
      // It asks no shim, of which there is none, what Secure Boot allows: signatures are its own to check.
      ...(bootKey === undefined || efiName === undefined ? [] : ["--disable-shim-lock"]),
      ...[...MODULES, ...(PLATFORM_MODULES[platform] ?? []), ...(bootKey === undefined ? [] : SECURE_MODULES)],
    ]);
    if (efiName === undefined) loader = bios(readFileSync(`${modules}/boot.img`), readFileSync(image), biosAt);
    else if (loaderSigner === undefined) cpSync(image, `${esp}/${EFI_DIRECTORY}/${efiName}`);
    else await signLoader(image, `${esp}/${EFI_DIRECTORY}/${efiName}`, loaderSigner, timeSeconds);
  }
  return loader;
}

/** What a secure loader has in itself: key, grub.cfg, and what is done before that is read. */
async function secureWords(
  repository: string,
  work: string,
  configuration: string,
  { publicKey }: BootKey,
): Promise<readonly string[]> {
  const [key, memdisk] = [`${work}/boot-key.pgp`, `${work}/memdisk.tar`];
  writeFileSync(key, publicKey);
  writeFileSync(`${work}/grub.cfg`, configuration);
  const owner = ["--owner=0", "--group=0", "--numeric-owner", "--mode=0644", "--mtime=@0"];
  await command(["tar", "--format=ustar", ...owner, "-C", work, "-cf", memdisk, "grub.cfg"]);
  // -m has a prefix of its own, which the -p behind it replaces.
  return ["--pubkey", key, "--config", `${repository}/appliance/boot/grub-secure.cfg`, "--memdisk", memdisk];
}

/** Signs a program of UEFI, as sbsign does but with a time that is given (Unix time): the same bytes on every day. */
export async function signLoader(
  from: string,
  to: string,
  { key, certificate }: LoaderSigner,
  timeSeconds: number,
): Promise<void> {
  const time = ["-h", "sha256", "-time", String(timeSeconds)];
  await command(["osslsigncode", "sign", ...time, "-key", key, "-certs", certificate, "-in", from, "-out", to]);
}

/**
 * What grub-bios-setup does on a disk, without one: boot.img is told where the core begins (0x5c, u64), and to believe the
 * BIOS about the drive (0x66 becomes two NOPs); the core's first sector is told where the rest of it is (0x1f4, u64).
 * GRUB 2.06: grub-core/boot/i386/pc/boot.S, diskboot.S.
 */
function bios(bootImage: Buffer, core: Buffer, at: number): BootLoader {
  const bootCode = Buffer.from(bootImage.subarray(0, 440));
  bootCode.writeBigUInt64LE(BigInt(at), 0x5c);
  bootCode.writeUInt16LE(0x9090, 0x66);
  const biosCore = Buffer.from(core);
  const sectors = Math.ceil(core.length / SECTOR_BYTES) - 1;
  biosCore.writeBigUInt64LE(BigInt(at + 1), 0x1f4);
  biosCore.writeUInt16LE(sectors, 0x1fc);
  return { bootCode, biosCore };
}
