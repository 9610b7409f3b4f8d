import { existsSync, readFileSync } from "node:fs";
import { CodedError } from "../base/error.ts";
import { type Config, readConfig } from "../config/config.ts";
import { paths } from "./paths.ts";

/** The box's configuration from its two files. Throws `config` with every problem, a line each: file:line: what is wrong. */
export function loadConfig(): Config {
  const oned = existsSync(paths.onedConf) ? readFileSync(paths.onedConf, "utf8") : "";
  const box = existsSync(paths.boxConf)
    ? { name: paths.boxConf, text: readFileSync(paths.boxConf, "utf8") }
    : undefined;
  const result = readConfig({ name: paths.onedConf, text: oned }, box);
  if ("config" in result) return result.config;
  throw new CodedError(
    "config",
    `Cannot start with this configuration:\n${result.problems.map((p) => `${p.file}:${p.line}: ${p.message}`).join("\n")}`,
  );
}
