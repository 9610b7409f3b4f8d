import { existsSync, readFileSync } from "node:fs";
import { CommandFailure } from "./failure.ts";
import type { Terminal } from "./terminal.ts";

/** The text of a template file; `-` is standard input. */
export function readTemplateFile(file: string, terminal: Terminal): string {
  if (file === "-") return terminal.readInput();
  if (!existsSync(file)) throw new CommandFailure(`File ${file} does not exist`);
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CommandFailure(`Cannot read ${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
