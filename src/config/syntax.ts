/**
 * One setting of the syntax that OpenNebula uses for oned.conf and for templates: `NAME = value`, `NAME = "value"` (may
 * span lines, `\"` and `\\` inside), `NAME = [ KEY = value, … ]`, `#` comments. An unquoted value ends at the line's end or
 * a `#`, in a vector also at `,` or `]`. Names are returned in upper case, as oned reads them; a name may be repeated.
 */
export interface Setting {
  readonly name: string;
  readonly value: string | readonly VectorItem[];
  /** 1 … */
  readonly line: number;
}

export interface VectorItem {
  readonly name: string;
  readonly value: string;
  readonly line: number;
}

/** What is wrong with a text, and where. */
export interface Problem {
  readonly line: number;
  readonly message: string;
}

/** What cannot be read at all. A template is often one long line: there the column says it. */
export interface SyntaxProblem extends Problem {
  /** 1 … */
  readonly column: number;
}

/** A configuration file is a few KiB; a VM template with a context script may be larger. */
export const SOURCE_CHARACTERS_MAX = 1024 * 1024;

/** The settings of a text in their order, or its first syntax error. */
export function parseSettings(source: string): readonly Setting[] | SyntaxProblem {
  if (source.length > SOURCE_CHARACTERS_MAX)
    return { line: 1, column: 1, message: `text of ${source.length} characters is over ${SOURCE_CHARACTERS_MAX}` };
  const reader = new Reader(source);
  const settings: Setting[] = [];
  for (reader.skip(); !reader.atEnd(); reader.skip()) {
    const line = reader.line;
    const name = reader.name();
    const value = name === undefined || !reader.take("=") ? undefined : reader.value();
    if (name === undefined || value === undefined)
      return reader.problem ?? { line, column: 1, message: "cannot be read" };
    settings.push({ name, value, line });
  }
  return settings;
}

class Reader {
  readonly #source: string;
  #at = 0;
  line = 1;
  problem: SyntaxProblem | undefined;

  constructor(source: string) {
    this.#source = source;
  }

  atEnd(): boolean {
    return this.#at >= this.#source.length;
  }

  /** Over white space and comments. */
  skip(): void {
    this.#match(/(?:\s+|#[^\n]*)*/y);
  }

  name(): string | undefined {
    const name = this.#match(/[A-Za-z_][A-Za-z0-9_.:-]*/y);
    return name === "" ? this.#fail("a name is expected") : name.toUpperCase();
  }

  take(character: string): boolean {
    this.#match(/[ \t]*/y);
    if (this.#source[this.#at] === character) {
      this.#at++;
      return true;
    }
    this.#fail(`"${character}" is expected`);
    return false;
  }

  value(): string | readonly VectorItem[] | undefined {
    this.#match(/[ \t]*/y);
    const first = this.#source[this.#at];
    if (first === '"') return this.#quoted();
    if (first === "[") return this.#vector();
    return this.#match(/[^\n#]*/y).trim();
  }

  #vector(): readonly VectorItem[] | undefined {
    const items: VectorItem[] = [];
    this.#at++;
    for (;;) {
      this.skip();
      if (this.#source[this.#at] === "]") {
        this.#at++;
        return items;
      }
      const line = this.line;
      const name = this.name();
      if (name === undefined) return undefined;
      // Inside of brackets a line's end is white space, also around "=".
      this.skip();
      if (!this.take("=")) return undefined;
      this.skip();
      const value = this.#source[this.#at] === '"' ? this.#quoted() : this.#match(/[^\n#,\]]*/y).trim();
      if (value === undefined) return undefined;
      items.push({ name, value, line });
      this.skip();
      if (this.#source[this.#at] === ",") this.#at++;
      else if (this.#source[this.#at] !== "]") return this.#fail('"," or "]" is expected');
    }
  }

  #quoted(): string | undefined {
    const line = this.line;
    const text = this.#match(/"(?:[^"\\]|\\[\s\S])*"/y);
    if (text === "") {
      this.line = line;
      return this.#fail('the closing " is missing');
    }
    return text.slice(1, -1).replace(/\\(["\\])/g, "$1");
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const text = pattern.exec(this.#source)?.[0] ?? "";
    this.#at += text.length;
    for (const character of text) if (character === "\n") this.line++;
    return text;
  }

  #fail(message: string): undefined {
    const rest = /[^\n]*/y;
    rest.lastIndex = this.#at;
    const found = (rest.exec(this.#source)?.[0] ?? "").slice(0, 30);
    this.problem ??= {
      line: this.line,
      column: this.#at - this.#source.lastIndexOf("\n", this.#at - 1),
      message: `${message}, found ${found === "" ? "the end of the line" : `"${found}"`}`,
    };
    return undefined;
  }
}
