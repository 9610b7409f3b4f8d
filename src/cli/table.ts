import { CommandFailure } from "./failure.ts";
import type { Options } from "./options.ts";
import { colouredState, heading, type Terminal } from "./terminal.ts";

/** One column of a table of `T`. */
export interface Column<T> {
  readonly name: string;
  /** For `--describe`. */
  readonly text: string;
  /** Characters; a longer cell is cut. */
  readonly size: number;
  readonly left?: boolean;
  /** Takes what a terminal's width leaves over. */
  readonly expands?: boolean;
  readonly cell: (row: T) => string;
}

export interface Table<T> {
  readonly columns: readonly Column<T>[];
  /** Names of the columns that are shown when none are asked for. */
  readonly shown: readonly string[];
}

/** Prints rows as the options of `list` ask for: selected columns, filters, CSV, with or without the header. */
export function printTable<T>(terminal: Terminal, table: Table<T>, rows: readonly T[], options: Options): void {
  const columns = selectColumns(table, options);
  if (options.has("describe")) {
    for (const { name, text } of table.columns) terminal.out(`${name.padEnd(20)}: ${text.padEnd(20)}\n`);
    return;
  }
  const passes = rowFilter(table, options);
  const cells = rows.filter(passes).map((row) => columns.map((column) => column.cell(row)));
  const count = options.get("n");
  if (count !== undefined && !/^\d+$/.test(count)) throw new CommandFailure(`invalid argument: --n ${count}`);
  const kept = count === undefined ? cells : cells.slice(0, Number(count));
  if (options.has("csv")) printCsv(terminal, columns, kept, options);
  else printLines(terminal, columns, kept, options);
}

function printLines<T>(
  terminal: Terminal,
  columns: readonly Column<T>[],
  rows: readonly (readonly string[])[],
  options: Options,
): void {
  const sizes = columnSizes(columns, terminal, options);
  const cut = (text: string, index: number): string => {
    const [size, column] = [sizes[index] ?? text.length, columns[index]];
    return (column?.left ? text.padEnd(size) : text.padStart(size)).slice(0, size);
  };
  if (!options.has("no-header")) {
    terminal.out(`${heading(terminal, columns.map((column, index) => cut(column.name, index)).join(" "))}\n`);
  }
  const lines = rows.map((row) =>
    row
      .map((text, index) =>
        columns[index]?.name === "STAT" ? colouredState(terminal, cut(text, index)) : cut(text, index),
      )
      .join(" ")
      .trimEnd(),
  );
  // At once: a pool of thousands is not as many system calls.
  terminal.out(lines.map((line) => `${line}\n`).join(""));
}

function selectColumns<T>(table: Table<T>, options: Options): readonly Column<T>[] {
  const names = options.get("list")?.split(",") ?? table.shown;
  return names.map((name) => columnNamed(table, name.trim()));
}

function columnNamed<T>(table: Table<T>, name: string): Column<T> {
  const column = table.columns.find((one) => one.name === name.toUpperCase());
  if (column !== undefined) return column;
  const known = table.columns.map((one) => one.name).join(", ");
  throw new CommandFailure(`There is no column "${name}"; the columns are ${known}`);
}

/** Widths; on a terminal the columns that expand share what is left of the line. */
function columnSizes<T>(columns: readonly Column<T>[], terminal: Terminal, options: Options): readonly number[] {
  const own = sizesGiven(options);
  const sizes = columns.map((column) => own.get(column.name) ?? column.size);
  const growing = columns.flatMap((column, index) => (column.expands && !own.has(column.name) ? [index] : []));
  if (!terminal.isTty || options.has("no-expand") || growing.length === 0) return sizes;
  const spare = terminal.columns - sizes.reduce((sum, size) => sum + size + 1, -1);
  if (spare <= 0) return sizes;
  const share = Math.floor(spare / growing.length);
  return sizes.map((size, index) =>
    growing.includes(index) ? size + share + (index === growing[0] ? spare % growing.length : 0) : size,
  );
}

function sizesGiven(options: Options): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>();
  for (const part of options.get("size")?.split(",") ?? []) {
    const match = /^([A-Za-z_]+)[=:](\d{1,4})$/.exec(part.trim());
    if (match === null) throw new CommandFailure(`invalid argument: --size ${part}`);
    sizes.set((match[1] ?? "").toUpperCase(), Number(match[2]));
  }
  return sizes;
}

const OPERATORS: Readonly<Record<string, (cell: string, wanted: string) => boolean>> = {
  "=": (cell, wanted) => cell === wanted,
  "!=": (cell, wanted) => cell !== wanted,
  "<": (cell, wanted) => compare(cell, wanted) < 0,
  "<=": (cell, wanted) => compare(cell, wanted) <= 0,
  ">": (cell, wanted) => compare(cell, wanted) > 0,
  ">=": (cell, wanted) => compare(cell, wanted) >= 0,
  "~": (cell, wanted) => cell.includes(wanted),
};

function rowFilter<T>(table: Table<T>, options: Options): (row: T) => boolean {
  const filters = (options.get("filter")?.split(",") ?? []).map((text) => {
    const match = /^\s*([A-Za-z_]+)\s*(!=|<=|>=|=|<|>|~)(.*)$/.exec(text);
    const operator = OPERATORS[match?.[2] ?? ""];
    if (match === null || operator === undefined) throw new CommandFailure(`invalid argument: --filter ${text}`);
    const column = columnNamed(table, match[1] ?? "");
    const wanted = (match[3] ?? "").trim();
    return (row: T) => operator(column.cell(row).trim(), wanted);
  });
  const isAny = options.get("operator")?.toUpperCase() === "OR" && filters.length > 0;
  return (row) => (isAny ? filters.some((filter) => filter(row)) : filters.every((filter) => filter(row)));
}

function compare(cell: string, wanted: string): number {
  const [a, b] = [Number.parseFloat(cell), Number.parseFloat(wanted)];
  if (!Number.isNaN(a) && !Number.isNaN(b)) return a - b;
  return cell < wanted ? -1 : cell > wanted ? 1 : 0;
}

function printCsv<T>(
  terminal: Terminal,
  columns: readonly Column<T>[],
  rows: readonly (readonly string[])[],
  options: Options,
): void {
  const delimiter = options.get("csv-del") ?? ",";
  const field = (text: string): string =>
    text === "" || text.includes('"') || text.includes("\n") || text.includes(delimiter)
      ? `"${text.replaceAll('"', '""')}"`
      : text;
  const line = (cells: readonly string[]): string => `${cells.map(field).join(delimiter)}\n`;
  const header = options.has("no-header") ? "" : line(columns.map((column) => column.name));
  terminal.out(`${header}${rows.map(line).join("")}`);
}
