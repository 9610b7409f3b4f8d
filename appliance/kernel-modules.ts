import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { CodedError } from "../src/base/error.ts";
import { command } from "./command.ts";

/** What it takes to find the disk, the slot and the data, and to arm a watchdog. */
const BOOT_MODULES: readonly RegExp[] = [
  // Disks of mini-PCs, servers and virtual machines.
  /^(virtio_pci|virtio_blk|virtio_scsi|virtio_mmio|ahci|ata_piix|nvme|sd_mod|mmc_block|sdhci_pci|sdhci_acpi)$/,
  /^(usb_storage|uas|xhci_pci|ehci_pci|ohci_pci|uhci_hcd)$/,
  // A keyboard, for a person before the box is up.
  /^(usbhid|hid_generic|atkbd|i8042)$/,
  /^(squashfs|ext4|vfat|nls_cp437|nls_ascii|nls_utf8|nls_iso8859_1|dm_mod|dm_verity|blake2b_generic|crc32c_intel|crc32c_generic)$/,
  /^(i6300esb|iTCO_wdt|i2c_i801|i2c_smbus|lpc_ich|sp5100_tco|wdat_wdt|softdog)$/,
];

/** What else a running box may need. */
const ROOT_MODULES: readonly RegExp[] = [
  ...BOOT_MODULES,
  // Network cards of mini-PCs and small servers, and USB ones.
  /^(virtio_net|e1000|e1000e|igb|igc|ixgbe|r8169|realtek|tg3|bnx2|atlantic|alx|atl1c|atl1e|sky2|forcedeth|8139too|8139cp|vmxnet3|ena)$/,
  /^(r8152|ax88179_178a|asix|cdc_ether|cdc_ncm|rndis_host|smsc95xx|lan78xx)$/,
  /^(bonding|8021q|bridge|dummy|macvlan|veth|tcp_diag|udp_diag|inet_diag|af_packet_diag|unix_diag)$/,
  /^(nf_|nft_|nfnetlink)/,
  /^(usbserial|ftdi_sio|pl2303|cp210x|ch341|cdc_acm|8250_pci|8250_lpss|8250_exar)$/,
  /^(button|evdev|gpio_pca953x|gpio_ich|gpio_amdpt|gpio_it87|gpio_f7188x|gpio_sim|gpio_sch|ipmi_si|ipmi_devintf|coretemp|k10temp)$/,
  /^(exfat|isofs|nls_cp850|loop|qemu_fw_cfg|virtio_rng|virtio_balloon|virtio_console)$/,
];

/** Which part of the kernel's modules. */
export type ModuleSet = "boot" | "root";

const BOARD_BOOT_MODULES: readonly RegExp[] = [
  // Between the processor and its disk: clocks, power, pins, buses, each a driver of its own.
  /^kernel\/drivers\/(bus|clk|dma|extcon|firmware|gpio|i2c\/busses|mailbox|mfd|mmc|nvmem|phy|pinctrl|pwm|regulator|reset|soc|spi)\//,
  /^kernel\/drivers\/(pci\/controller|rtc|usb\/(chipidea|dwc2|dwc3|host|musb|phy)|watchdog)\//,
  /^ahci_\w+$/,
];

/** What the boards of an architecture take in addition, by name or by path: what is in a chip is on no bus that is looked through. */
const BOARD_MODULES: Readonly<Record<string, Readonly<Record<ModuleSet, readonly RegExp[]>>>> = {
  arm64: {
    boot: BOARD_BOOT_MODULES,
    root: [
      ...BOARD_BOOT_MODULES,
      /^kernel\/drivers\/net\/(phy|mdio|pcs)\//,
      /^(stmmac\w*|dwmac_\w+|genet|macb|fec|mvneta|mvpp2|mvmdio|fsl_enetc\w*|fsl_dpaa2_eth|xgmac_mdio|ti_am65_cpsw_nuss)$/,
      /^(xgene_enet\w*|netsec|amd_xgbe|nicvf|nicpf|thunder_\w+|hns_\w+|qcom_emac|smsc911x|smsc91x|lan743x|hisi_femac|gve)$/,
    ],
  },
};

/** The kernel's release below `pool`, as `6.1.0-56-amd64`. */
export function kernelRelease(pool: string): string {
  const [release, ...more] = readdirSync(`${pool}/lib/modules`);
  if (release === undefined || more.length > 0)
    throw new CodedError("kernel", `Cannot choose a kernel: ${pool} has ${more.length === 0 ? "none" : "several"}`);
  return release;
}

/** Copies the modules of a set with all that they need from `pool` to `target`/lib/modules, with their indexes. */
export async function copyModules(pool: string, target: string, set: ModuleSet, architecture: string): Promise<void> {
  const release = kernelRelease(pool);
  const from = `${pool}/lib/modules/${release}`;
  const to = `${target}/lib/modules/${release}`;
  if (!existsSync(`${from}/modules.dep`)) await command(["depmod", "-b", pool, release]);
  const needs = new Map(
    readFileSync(`${from}/modules.dep`, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [path = "", rest = ""] = line.split(":");
        return [path, rest.trim().split(/\s+/).filter(Boolean)] as const;
      }),
  );
  const patterns = [...(set === "boot" ? BOOT_MODULES : ROOT_MODULES), ...(BOARD_MODULES[architecture]?.[set] ?? [])];
  const wanted = [...needs.keys()].filter((path) =>
    patterns.some((pattern) => pattern.test(moduleName(path)) || pattern.test(path)),
  );
  const all = new Set(wanted.flatMap((path) => [path, ...(needs.get(path) ?? [])]));
  for (const path of [...all].sort()) {
    mkdirSync(dirname(`${to}/${path}`), { recursive: true });
    cpSync(`${from}/${path}`, `${to}/${path}`);
  }
  for (const index of ["modules.builtin", "modules.builtin.modinfo", "modules.order"])
    cpSync(`${from}/${index}`, `${to}/${index}`);
  await command(["depmod", "-b", target, release]);
}

/** `kernel/drivers/net/r8169.ko` is r8169; the kernel takes `-` and `_` for the same. */
function moduleName(path: string): string {
  return basename(path)
    .replace(/\.ko.*$/, "")
    .replaceAll("-", "_");
}
