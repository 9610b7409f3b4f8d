import { CommandFailure } from "./failure.ts";

/** One option of a command. */
export interface Option {
  /** Long name without its dashes; also its key in {@link Options}. */
  readonly name: string;
  /** One letter without its dash. */
  readonly short?: string;
  /** What its value is called in the help; without it the option takes none. */
  readonly value?: string;
  readonly text: string;
}

/** What was given: a value, or "" for an option that takes none. */
export type Options = ReadonlyMap<string, string>;

export interface Parsed {
  readonly options: Options;
  readonly words: readonly string[];
}

/**
 * Splits a command line: `--name value`, `--name=value`, `-n value`, `-nvalue`, `-xj`; after `--` words only. A number
 * with a minus sign is a word.
 *
 * @throws CommandFailure `invalid option: --x`, `missing argument: --name`.
 */
export function parseOptions(argv: readonly string[], known: readonly Option[]): Parsed {
  const options = new Map<string, string>();
  const words: string[] = [];
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (word === "--") {
      words.push(...rest);
      break;
    }
    if (word.startsWith("--")) takeLong(word, rest, known, options);
    else if (/^-[^\d]/.test(word)) takeShort(word, rest, known, options);
    else words.push(word);
  }
  return { options, words };
}

function takeLong(word: string, rest: string[], known: readonly Option[], options: Map<string, string>): void {
  const equals = word.indexOf("=");
  const name = word.slice(2, equals === -1 ? undefined : equals);
  const option = known.find((one) => one.name === name);
  if (option === undefined) throw new CommandFailure(`invalid option: ${word}`);
  if (option.value === undefined) {
    if (equals !== -1) throw new CommandFailure(`needless argument: ${word}`);
    options.set(name, "");
    return;
  }
  const value = equals === -1 ? rest.shift() : word.slice(equals + 1);
  if (value === undefined) throw new CommandFailure(`missing argument: --${name}`);
  options.set(name, value);
}

function takeShort(word: string, rest: string[], known: readonly Option[], options: Map<string, string>): void {
  for (let at = 1; at < word.length; at++) {
    const letter = word[at];
    const option = known.find((one) => one.short === letter);
    if (option === undefined) throw new CommandFailure(`invalid option: -${letter}`);
    if (option.value === undefined) {
      options.set(option.name, "");
      continue;
    }
    const value = at + 1 < word.length ? word.slice(at + 1) : rest.shift();
    if (value === undefined) throw new CommandFailure(`missing argument: -${letter}`);
    options.set(option.name, value);
    return;
  }
}
