import { existsSync, readFileSync } from "node:fs";
import { CommandFailure } from "../failure.ts";
import type { Options } from "../options.ts";

type Env = Readonly<Record<string, string | undefined>>;

/** Where a box keeps oneadmin's credentials for root's commands. */
export const BOX_AUTH_FILE = "/var/lib/one/.one/one_auth";
const DEFAULT_ENDPOINT = "http://localhost:2633/RPC2";

/** `--endpoint`, ONE_XMLRPC, `~/.one/one_endpoint`, this machine. */
export function findEndpoint(options: Options, env: Env): string {
  const given = options.get("endpoint") ?? env["ONE_XMLRPC"];
  if (given !== undefined && given !== "") return given.trim();
  const file = `${env["HOME"] ?? ""}/.one/one_endpoint`;
  const line = existsSync(file) ? readFileSync(file, "utf8").trim() : "";
  return line === "" ? DEFAULT_ENDPOINT : line;
}

/**
 * `user:secret`, the first parameter of every call: `--user` with `--password`, the file that ONE_AUTH names,
 * `~/.one/one_auth`, and for root on a box its own file.
 */
export function findSession(
  options: Options,
  env: Env,
  readPassword: () => string,
  boxFile: string = BOX_AUTH_FILE,
): string {
  const user = options.get("user");
  if (user !== undefined) return `${user}:${options.get("password") ?? readPassword()}`;
  const named = env["ONE_AUTH"];
  if (named !== undefined && named !== "") return readSession(named) ?? fail("ONE_AUTH file not present");
  const own = `${env["HOME"] ?? ""}/.one/one_auth`;
  return (
    readSession(own) ??
    readSession(boxFile) ??
    fail(`ONE_AUTH file not present: neither ${own} nor ${boxFile} is there, and --user was not given`)
  );
}

function readSession(file: string): string | undefined {
  if (!existsSync(file)) return undefined;
  const [line = ""] = readFileSync(file, "utf8").split("\n");
  if (!line.includes(":")) fail(`Cannot read "${file}": expected one line USER:PASSWORD`);
  return line.trim();
}

function fail(message: string): never {
  throw new CommandFailure(message);
}
