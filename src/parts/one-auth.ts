import { chmodSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { writeFileDurably } from "../store/durable-file.ts";
import { paths } from "./paths.ts";

/** Root's credentials on this box, `oneadmin:PASSWORD`; undefined when there is no file. */
export function readCredentials(): string | undefined {
  return existsSync(paths.oneAuth) ? readFileSync(paths.oneAuth, "utf8").trim() : undefined;
}

/** Writes root's credentials (0600), unless a provisioner or a person left some. */
export function writeCredentials(line: string): void {
  if (existsSync(paths.oneAuth)) return;
  replaceCredentials(line);
}

/** The same, whatever is there: the password is the state's. */
export function replaceCredentials(line: string): void {
  mkdirSync(dirname(paths.oneAuth), { recursive: true, mode: 0o700 });
  writeFileDurably(paths.oneAuth, `${line}\n`);
  chmodSync(paths.oneAuth, 0o600);
}
