import { CodedError } from "../src/base/error.ts";

/** What differs between the machines that an image can be built for: one row each. */
export interface Architecture {
  /** As in `--arch`, file names, footers and bundles. */
  readonly name: string;
  /** Debian's name. */
  readonly debian: string;
  /** The directory below /usr/lib that libraries are in. */
  readonly libraries: string;
  /** The dynamic loader's path, which is part of every program. */
  readonly loader: string;
  /** ELF's e_machine. */
  readonly elfMachine: number;
  /** The package that names the newest kernel. */
  readonly kernelPackage: string;
  /** Packages with GRUB's modules. */
  readonly grubPackages: readonly string[];
  /** Boot loaders on the disk: GRUB's platform, and where the ESP has it (undefined: in the BIOS boot partition). */
  readonly grub: readonly { readonly platform: string; readonly efiName: string | undefined }[];
  /** The first serial port of its machines: the kernel's console, and the recovery console's of a box that was told nothing. */
  readonly serialPort: string;
  /** What its kernel is told beside what all are (grub.ts). */
  readonly kernelArguments: readonly string[];
  /** The npm package that has Bun for it. */
  readonly bunPackage: string;
  /** How mksquashfs makes its root smaller. zstd unpacks several times faster than xz; it has to fit into a slot. */
  readonly rootSqueezed: readonly string[];
  /** What cannot be taken from the machine that builds; undefined: it is of this architecture itself. */
  readonly foreign: Foreign | undefined;
}

/** For an architecture that is not the builder's. */
export interface Foreign {
  /** npm's and Node's name of it. */
  readonly node: string;
  /** What the names of the cross compiler's programs begin with. */
  readonly compilers: string;
}

export const ARCHITECTURES: readonly Architecture[] = [
  {
    name: "x86_64",
    debian: "amd64",
    libraries: "x86_64-linux-gnu",
    loader: "/lib64/ld-linux-x86-64.so.2",
    elfMachine: 62,
    kernelPackage: "linux-image-amd64",
    grubPackages: ["grub-pc-bin", "grub-efi-amd64-bin"],
    grub: [
      { platform: "i386-pc", efiName: undefined },
      { platform: "x86_64-efi", efiName: "BOOTX64.EFI" },
    ],
    serialPort: "ttyS0",
    kernelArguments: [],
    bunPackage: "@oven/bun-linux-x64",
    // Larger blocks cost more memory each time that a page of one is read.
    rootSqueezed: ["-comp", "zstd", "-Xcompression-level", "22", "-b", "512K"],
    foreign: undefined,
  },
  {
    name: "arm64",
    debian: "arm64",
    libraries: "aarch64-linux-gnu",
    loader: "/lib/ld-linux-aarch64.so.1",
    elfMachine: 183,
    kernelPackage: "linux-image-arm64",
    grubPackages: ["grub-efi-arm64-bin"],
    grub: [{ platform: "arm64-efi", efiName: "BOOTAA64.EFI" }],
    serialPort: "ttyAMA0",
    // Page tables of its own for the kernel hide it from programs that are not trusted. All of a box are root's, and on
    // processors before ARMv8.5 the kernel would pay for it at each call.
    kernelArguments: ["kpti=off"],
    bunPackage: "@oven/bun-linux-aarch64",
    // Of zstd it would be a slot of 83.5 MB.
    rootSqueezed: ["-comp", "xz", "-b", "256K"],
    foreign: { node: "arm64", compilers: "aarch64-linux-gnu-" },
  },
];

/** The row of that name. Throws `architecture`. */
export function architectureNamed(name: string): Architecture {
  const found = ARCHITECTURES.find((one) => one.name === name);
  if (found !== undefined) return found;
  const known = ARCHITECTURES.map((one) => one.name).join(", ");
  throw new CodedError("architecture", `Cannot find the architecture "${name}": there is ${known}`);
}
