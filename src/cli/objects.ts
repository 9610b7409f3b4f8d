import { parseXml, type XmlElement } from "../one/xml.ts";
import type { Context } from "./command.ts";
import { allAt, documentTree, indentXml, renderJson, renderYaml, textAt } from "./document.ts";
import { CommandFailure } from "./failure.ts";
import type { Option } from "./options.ts";
import { printTable, type Table } from "./table.ts";
import { bold, heading, type Terminal } from "./terminal.ts";

/** A kind of object of the front-end. */
export interface Kind {
  /** Word in method names: `host`, `vm`. */
  readonly method: string;
  /** Element and word in messages: `HOST`, `VMTEMPLATE`. */
  readonly element: string;
  /** What a pool's method takes before its filter: owned objects have one. */
  readonly isOwned: boolean;
}

const FORMAT_OPTIONS: readonly Option[] = [
  { name: "xml", short: "x", text: "Show the resource in xml format" },
  { name: "json", short: "j", text: "Show the resource in JSON format" },
  { name: "yaml", short: "y", text: "Show the resource in YAML format" },
];

export const SHOW_OPTIONS: readonly Option[] = [
  ...FORMAT_OPTIONS,
  { name: "decrypt", text: "Get decrypted attributes" },
];

export const LIST_OPTIONS: readonly Option[] = [
  { name: "list", short: "l", value: "x,y,z", text: "Selects columns to display" },
  {
    name: "filter",
    short: "f",
    value: "x,y,z",
    text: "Filter data: COLUMN followed by =, !=, <, <=, >, >= or ~ and a value",
  },
  { name: "operator", value: "operator", text: "Joins filters: AND, OR. Default: AND" },
  { name: "size", short: "s", value: "x=size,y=size", text: "Change the size of selected columns" },
  { name: "csv", text: "Write table in csv format" },
  { name: "csv-del", value: "del", text: "Set delimiter for csv output" },
  { name: "describe", text: "Describe list columns" },
  { name: "no-header", text: "Hides the header of the table" },
  { name: "no-expand", text: "Columns do not fill the terminal" },
  { name: "no-pager", text: "Known for compatibility: output is never paged" },
  { name: "n", value: "elements", text: "Number of records to show" },
  ...FORMAT_OPTIONS,
];

/** Prints a document as `-x`, `-j` or `-y` ask for; false when none of them was given. */
export function printDocument({ terminal, options }: Context, source: string, listName?: string): boolean {
  if (options.has("xml")) terminal.out(indentXml(source));
  else if (options.has("json") || options.has("yaml")) {
    const tree = documentTree(source, listName);
    terminal.out(options.has("json") ? `${renderJson(tree)}\n` : renderYaml(tree));
  } else return false;
  return true;
}

/** OpenNebula's names for whose objects a list shows. */
const FILTERS: Readonly<Record<string, number>> = { m: -3, mine: -3, g: -1, group: -1, a: -2, all: -2, G: -4 };

/** The pool as the box answers it, all that one may use unless a word asks for less. */
export async function readPool({ rpc }: Pick<Context, "rpc">, kind: Kind, whose = "a"): Promise<string> {
  if (!kind.isOwned) return rpc.read(`one.${kind.method}pool.info`);
  const flag = FILTERS[whose] ?? (/^\d+$/.test(whose) ? Number(whose) : undefined);
  if (flag === undefined) throw new CommandFailure(`"${whose}" is not one of a, m, g, G or a user's number`);
  return rpc.read(`one.${kind.method}pool.info`, flag, -1, -1);
}

/** `list`. */
export async function listObjects(context: Context, kind: Kind, table: Table<XmlElement>): Promise<void> {
  const { terminal, options, words } = context;
  if (options.has("describe")) return printTable(terminal, table, [], options);
  const source = await readPool(context, kind, words[0]);
  if (printDocument(context, source, kind.element)) return;
  printTable(terminal, table, allAt(parseXml(source), "", kind.element), options);
}

/** Reads one object, by number or name, and hands its document to `print` unless `-x`, `-j` or `-y` was given. */
export async function showObject(
  context: Context,
  kind: Kind,
  print: (object: XmlElement) => Promise<void> | void,
): Promise<void> {
  const id = await resolveId(context, kind, context.words[0] ?? "");
  const source = await context.rpc.read(`one.${kind.method}.info`, id, ...(kind.method === "template" ? [] : [false]));
  if (printDocument(context, source)) return;
  await print(parseXml(source));
}

/** The number of an object given by number or name. */
export async function resolveId(context: Pick<Context, "rpc">, kind: Kind, word: string): Promise<number> {
  if (/^\d+$/.test(word)) return Number(word);
  const named = allAt(parseXml(await readPool(context, kind)), "", kind.element).filter(
    (object) => textAt(object, "NAME") === word,
  );
  const [first] = named;
  if (first === undefined) throw new CommandFailure(`${kind.element} named ${word} not found.`);
  if (named.length > 1) throw new CommandFailure(`There are multiple ${kind.element}s with name ${word}.`);
  return Number(textAt(first, "ID"));
}

/** Objects that one range may name: beyond it a slip of the finger is more likely. */
const RANGE_MAX = 10_000;

/** `1,8..15` or `name,other`: the numbers, in order. */
export async function resolveIds(context: Pick<Context, "rpc">, kind: Kind, word: string): Promise<readonly number[]> {
  const ids: number[] = [];
  for (const part of word.split(",")) {
    const range = /^(\d{1,9})\.\.(\d{1,9})$/.exec(part);
    if (range === null) {
      ids.push(await resolveId(context, kind, part));
      continue;
    }
    const [from, to] = [Number(range[1]), Number(range[2])];
    if (to < from || to - from >= RANGE_MAX)
      throw new CommandFailure(`${part} is not a range of at most ${RANGE_MAX} numbers`);
    for (let id = from; id <= to; id++) ids.push(id);
  }
  return ids;
}

/**
 * Does something to each object of a word like `1,3..5`. All are tried; the refusals are printed as they come, and the
 * command fails when there was one.
 */
export async function forEachObject(
  context: Context,
  kind: Kind,
  act: (id: number) => Promise<unknown>,
): Promise<void> {
  const ids = await resolveIds(context, kind, context.words[0] ?? "");
  const failures: string[] = [];
  for (const id of ids) {
    try {
      await act(id);
    } catch (error) {
      if (!(error instanceof CommandFailure)) throw error;
      failures.push(error.message);
    }
  }
  if (failures.length > 0) throw new CommandFailure(failures.join("\n"));
}

/** Characters of a section's header line. */
const HEADER_WIDTH = 80;

/** Writes the parts of `show`. */
export class Page {
  readonly #terminal: Terminal;
  readonly #labelWidth: number;
  readonly #valueWidth: number;

  /** `valueWidth` 0: values are not padded. */
  constructor(terminal: Terminal, labelWidth: number, valueWidth = 20) {
    this.#terminal = terminal;
    this.#labelWidth = labelWidth;
    this.#valueWidth = valueWidth;
  }

  title(text: string): void {
    this.line(heading(this.#terminal, text.padEnd(HEADER_WIDTH)));
  }

  section(text: string, width: number = HEADER_WIDTH): void {
    this.line(bold(this.#terminal, text.padEnd(width)));
  }

  tableHead(text: string): void {
    this.line(heading(this.#terminal, text));
  }

  field(label: string, value: string): void {
    this.line(`${label.padEnd(this.#labelWidth)}: ${value.padEnd(this.#valueWidth)}`);
  }

  lines(lines: readonly string[]): void {
    for (const line of lines) this.line(line);
  }

  line(text = ""): void {
    this.#terminal.out(`${text}\n`);
  }
}
