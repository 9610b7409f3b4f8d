/** The world as a command sees it, handed in so that tests have one of their own. */
export interface Terminal {
  out(text: string): void;
  err(text: string): void;
  /** Standard output is a terminal: bold headers, colours, columns that fill its width. */
  readonly isTty: boolean;
  /** Width of the terminal in characters. */
  readonly columns: number;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** All of standard input; for a secret that must not stand on a command line. */
  readInput(): string;
  /** Asks on the terminal and gives the answer without its line end; "" when there is nobody to ask. */
  ask(question: string): string;
  /** Wall clock, ms. */
  now(): number;
}

const RESET = "\u001b[0m";
const BOLD = "\u001b[1m";
const UNDERLINE = "\u001b[4m";
const COLOURS = { green: "\u001b[32m", red: "\u001b[31m", yellow: "\u001b[33m" } as const;

/** A line that heads a table or an object: bold and underlined on a terminal. */
export function heading(terminal: Terminal, text: string): string {
  return terminal.isTty ? `${BOLD}${UNDERLINE}${text}${RESET}` : text;
}

/** A line that heads a section: bold on a terminal. */
export function bold(terminal: Terminal, text: string): string {
  return terminal.isTty ? `${BOLD}${text}${RESET}` : text;
}

export function coloured(terminal: Terminal, colour: keyof typeof COLOURS, text: string): string {
  return terminal.isTty ? `${COLOURS[colour]}${text}${RESET}` : text;
}

/** The words of STAT columns that are good or bad; all others keep the terminal's colour. */
const GOOD = new Set(["on", "runn", "rdy"]);
const BAD = new Set(["err", "erro", "fail", "unkn"]);

/** Colours a cell of a STAT column, padded as it is. */
export function colouredState(terminal: Terminal, cell: string): string {
  const word = cell.trim();
  if (GOOD.has(word)) return coloured(terminal, "green", cell);
  return BAD.has(word) ? coloured(terminal, "red", cell) : cell;
}
