import { existsSync } from "node:fs";
import { paths } from "./paths.ts";

/** Left by the initramfs of an image (box/boot-report.ts). */
export const BOOT_REPORT = `${paths.run}/boot.json`;

/** Whether this machine was started from one of our images: its network, clock and sticks are ringfence's then. */
export function isImage(): boolean {
  return existsSync(BOOT_REPORT);
}
