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
  /** The filter that makes xz smaller for this machine's code. */
  readonly xzFilter: string;
}

/**
 * Missing: arm64 (AAVMF and U-Boot), which needs packages and a kernel of a foreign architecture and a cross-built SQLite
 * add-on.
 */
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
    xzFilter: "x86",
  },
];
