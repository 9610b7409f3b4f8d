import { existsSync, readFileSync } from "node:fs";
import { BOOT_REPORT_PATH, type BootReport, parseBootReport } from "../box/boot-report.ts";

/** Whether this machine was started from one of our images: its network, clock and sticks are ringfence's then. */
export function isImage(): boolean {
  return existsSync(BOOT_REPORT_PATH);
}

/** What the initramfs of this image's boot found. A string says why nothing is known. */
export function readBootReport(): BootReport | string {
  if (!isImage()) return "not started from an image";
  return parseBootReport(readFileSync(BOOT_REPORT_PATH, "utf8"));
}

/** Which system image runs, in a line for people. */
export function slotLine(report: BootReport | string): string {
  if (typeof report === "string") return `none: ${report}`;
  const { slot, try: tries, isVerified, release, mode } = report;
  const words = [
    `try ${tries}`,
    isVerified ? "verified" : "NOT verified",
    ...(mode === "normal" ? [] : [`${mode} mode`]),
    ...(release.key === "test" ? ["TEST key: anybody can make updates for it"] : []),
  ];
  return `${slot}: ${release.version} ${release.build.slice(0, 8)}, ${words.join(", ")}`;
}
