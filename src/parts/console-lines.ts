import { readFileSync } from "node:fs";
import { type ConsoleLine, readConfig } from "../config/config.ts";
import { looseSections } from "./loose-section.ts";

const BAUD_DEFAULT = 115_200;

/** The lines on which a recovery console runs. Never throws. */
export function readConsoleLines(onedConf: string, boxConf: string): readonly ConsoleLine[] {
  const oned = textOf(onedConf);
  const box = textOf(boxConf);
  const result = readConfig({ name: onedConf, text: oned }, { name: boxConf, text: box });
  if ("config" in result) return result.config.box.consoles;
  // A typing error elsewhere must not take the console away.
  const own = looseSections(box, "CONSOLE");
  return (own.length > 0 ? own : looseSections(oned, "CONSOLE")).flatMap((read) => {
    const device = read("DEVICE");
    const baud = Number(read("BAUD"));
    if (device === undefined) return [];
    return [{ device: devicePath(device), baudRate: Number.isInteger(baud) && baud > 0 ? baud : BAUD_DEFAULT }];
  });
}

/** `ttyS0` is `/dev/ttyS0`; a path stays. */
function devicePath(device: string): string {
  return device.startsWith("/") ? device : `/dev/${device}`;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
