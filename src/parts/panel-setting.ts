import { readFileSync } from "node:fs";
import { type PanelSetting, readConfig } from "../config/config.ts";
import { looseSections } from "./loose-section.ts";

/** The front panel's lines in box.conf; in a broken file they are looked for by themselves. Never throws. */
export function readPanelSetting(onedConf: string, boxConf: string): PanelSetting | undefined {
  const [oned, box] = [textOf(onedConf), textOf(boxConf)];
  const result = readConfig({ name: onedConf, text: oned }, { name: boxConf, text: box });
  if ("config" in result) return result.config.box.panel;
  // Only the section is given to the reader: the fault lamp is there for the day when the rest is broken.
  const [read] = [...looseSections(box, "GPIO"), ...looseSections(oned, "GPIO")];
  if (read === undefined) return undefined;
  const keys = ["DRIVER", "CHIP", "POWER", "HEALTH", "LEADER", "FAULT", "BUTTON", "ACTIVE_LOW"];
  const items = keys.flatMap((key) => (read(key) === undefined ? [] : [`${key} = "${read(key)}"`]));
  const alone = readConfig({ name: boxConf, text: `GPIO = [ ${items.join(", ")} ]` }, undefined);
  return "config" in alone ? alone.config.box.panel : undefined;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
