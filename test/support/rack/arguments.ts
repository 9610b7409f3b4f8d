/** Words of a command line: options with a value, flags, and the rest in order. */
import { CodedError } from "../../../src/base/error.ts";

export interface Arguments {
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

/** Splits words. `known` maps each option to whether it takes a value. Throws RACK_USAGE naming the word. */
export function parseArguments(argv: readonly string[], known: Readonly<Record<string, boolean>>): Arguments {
  const words: string[] = [];
  const options = new Map<string, string>();
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    if (word === "--") {
      words.push(...argv.slice(i + 1));
      break;
    }
    if (!word.startsWith("--")) {
      words.push(word);
      continue;
    }
    const [name = "", inline] = word.slice(2).split(/=(.*)/s);
    const takesValue = known[name];
    if (takesValue === undefined) throw new CodedError("RACK_USAGE", `Unknown option "--${name}" here`);
    if (!takesValue) {
      if (inline !== undefined) throw new CodedError("RACK_USAGE", `Option "--${name}" takes no value`);
      options.set(name, "");
      continue;
    }
    const value = inline ?? argv[++i];
    if (value === undefined) throw new CodedError("RACK_USAGE", `Option "--${name}" needs a value`);
    options.set(name, value);
  }
  return { words, options };
}

/** An option's value among `allowed`; undefined when it was not given. */
export function choice<T extends string>(
  name: string,
  value: string | undefined,
  allowed: readonly T[],
): T | undefined {
  if (value === undefined) return undefined;
  const found = allowed.find((candidate) => candidate === value);
  if (found === undefined)
    throw new CodedError("RACK_USAGE", `Cannot take "${value}" as ${name}: one of ${allowed.join(", ")}`);
  return found;
}

/** A whole number; undefined when it was not given. */
export function wholeNumber(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^\d{1,9}$/.test(value))
    throw new CodedError("RACK_USAGE", `Cannot take "${value}" as ${name}: a whole number is needed`);
  return Number(value);
}
