import { readFileSync } from "node:fs";

/** Why the initramfs wants main left alone in this boot; undefined when it does not, or this was no image's boot. */
export function readBootRecovery(path: string): string | undefined {
  try {
    const { mode, dataWhy } = JSON.parse(readFileSync(path, "utf8")) as { mode?: unknown; dataWhy?: unknown };
    if (mode !== "recovery") return undefined;
    return typeof dataWhy === "string" && dataWhy !== "" ? dataWhy : "this boot was asked to be one for recovery";
  } catch {
    return undefined;
  }
}
