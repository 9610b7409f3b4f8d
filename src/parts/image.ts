import { existsSync, readFileSync } from "node:fs";
import { BOOT_REPORT_PATH, type BootReport, parseBootReport } from "../box/boot-report.ts";
import type { BootFacts } from "../cli/ringfence/answers.ts";
import { imageText } from "../cli/ringfence/slot.ts";

/** Whether this machine was started from one of our images: its network, clock and sticks are ringfence's then. */
export function isImage(): boolean {
  return existsSync(BOOT_REPORT_PATH);
}

/** What the initramfs of this image's boot found. A string says why nothing is known. */
export function readBootReport(): BootReport | string {
  if (!isImage()) return "not started from an image";
  return parseBootReport(readFileSync(BOOT_REPORT_PATH, "utf8"));
}

/**
 * The report's fields one by one, for who must go on with a report that is damaged elsewhere; none when it is no JSON or
 * this was no image's boot.
 */
export function bootReportFields(): Readonly<Record<string, unknown>> {
  try {
    return { ...(JSON.parse(readFileSync(BOOT_REPORT_PATH, "utf8")) as object | null) };
  } catch {
    return {};
  }
}

/** Why the initramfs wants main left alone in this boot; undefined when it does not. */
export function bootRecovery(): string | undefined {
  const { mode, dataWhy } = bootReportFields();
  if (mode !== "recovery") return undefined;
  return typeof dataWhy === "string" && dataWhy !== "" ? dataWhy : "this boot was asked to be one for recovery";
}

/** The system image that runs, for `ringfence.status`; null on a machine that was not started from one. */
export function bootFacts(report: BootReport | string): BootFacts | null {
  if (typeof report === "string") return null;
  const { slot, mode, isVerified, bootKey, release } = report;
  const { version, build, key } = release;
  return { slot, try: report.try, mode, isVerified, isSecure: bootKey !== undefined, version, build, key };
}

/** Which system image runs, in a line for people. */
export function slotLine(report: BootReport | string): string {
  const facts = bootFacts(report);
  return facts === null ? `none: ${String(report)}` : imageText(facts);
}
