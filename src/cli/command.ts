import type { Rpc } from "./client/rpc.ts";
import type { Option, Options } from "./options.ts";
import type { Terminal } from "./terminal.ts";

/** What a command works with. */
export interface Context {
  readonly terminal: Terminal;
  /** Finds endpoint and credentials at its first call, so that a command that needs none fails for none. */
  readonly rpc: Rpc;
  readonly options: Options;
  readonly words: readonly string[];
}

/** One verb of a noun, or a path of words of `ringfence` ("fence arm"). */
export interface Command {
  readonly name: string;
  /** `<hostname> [<file>]`: the words that are needed, and in brackets those that are not. */
  readonly words: string;
  /** What it does, one or more lines. */
  readonly text: string;
  /** Options of its own; the general ones are known everywhere. */
  readonly options?: readonly Option[];
  readonly example: string;
  readonly run: (context: Context) => Promise<void>;
}

/** One program: `onehost` with its verbs. */
export interface Program {
  readonly name: string;
  readonly text: string;
  readonly commands: readonly Command[];
}

/** Known to every command. */
export const GENERAL_OPTIONS: readonly Option[] = [
  { name: "help", short: "h", text: "Show this message" },
  { name: "version", short: "V", text: "Show version and copyright information" },
  { name: "user", value: "name", text: "User name used to connect" },
  { name: "password", value: "password", text: "Password to authenticate with" },
  { name: "endpoint", value: "endpoint", text: "URL of the XML-RPC front-end" },
];

/** Given by a list of words in angle brackets: how many must be there, and how many may. */
export function wordCount(words: string): { readonly least: number; readonly most: number } {
  const all = words.match(/<[^>]*>/g)?.length ?? 0;
  const optional = (words.match(/\[[^\]]*\]/g) ?? []).reduce(
    (sum, one) => sum + (one.match(/<[^>]*>/g)?.length ?? 0),
    0,
  );
  return { least: all - optional, most: all };
}
