import { readFileSync } from "node:fs";
import { readConfig } from "../config/config.ts";

/** Which device is petted, and its time-out. */
export interface WatchdogConfig {
  readonly device: string | undefined;
  readonly timeoutMs: number;
  /** The configuration has mistakes: main will name them. */
  readonly isBroken: boolean;
}

/** In a broken file the section is looked for by itself: a typing error elsewhere must not lead to a reset. */
const SECTION = /^\s*WATCHDOG\s*=\s*\[([^\]#]*)\]/im;

/** Never throws: without a readable configuration there is no device, and main says what is wrong. */
export function readWatchdogConfig(onedConf: string, boxConf: string): WatchdogConfig {
  const oned = textOf(onedConf);
  const box = textOf(boxConf);
  const result = readConfig({ name: onedConf, text: oned }, { name: boxConf, text: box });
  if ("config" in result) {
    const { watchdogDevice, watchdogTimeoutSeconds } = result.config.box;
    return { device: watchdogDevice, timeoutMs: watchdogTimeoutSeconds * 1000, isBroken: false };
  }
  const section = SECTION.exec(box)?.[1] ?? SECTION.exec(oned)?.[1] ?? "";
  const seconds = Number(wordOf(section, "TIMEOUT"));
  const { watchdogTimeoutSeconds: byDefault } = defaults();
  return {
    device: wordOf(section, "DEVICE"),
    timeoutMs: (seconds >= 5 && seconds <= 600 ? seconds : byDefault) * 1000,
    isBroken: true,
  };
}

function wordOf(section: string, key: string): string | undefined {
  const match = new RegExp(`(?:^|[\\s,])${key}\\s*=\\s*(?:"([^"]*)"|([^\\s,"]+))`, "i").exec(section);
  return match?.[1] ?? match?.[2];
}

function defaults(): { readonly watchdogTimeoutSeconds: number } {
  const empty = readConfig({ name: "", text: "" }, undefined);
  return "config" in empty ? empty.config.box : { watchdogTimeoutSeconds: 30 };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
