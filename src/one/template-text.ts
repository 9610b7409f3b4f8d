import type { Attribute, Attributes, TemplateError, Vector } from "./attributes.ts";

/**
 * OpenNebula's template syntax: `NAME = value`, `NAME = "value"` (may span lines, `\"` and `\\` inside),
 * `NAME = [ KEY = value, … ]`, `#` comments. An unquoted value ends at the line's end, in a vector at `,` or `]`.
 */
export function parseTemplateText(source: string): Attributes | TemplateError {
  const reader = new Reader(source);
  const attributes: Attribute[] = [];
  try {
    for (reader.skip(); !reader.atEnd(); reader.skip()) {
      const name = reader.name();
      reader.expect("=");
      attributes.push({ name, value: reader.value() });
    }
  } catch (error) {
    if (error instanceof SyntaxError) return { error: error.message };
    throw error;
  }
  return attributes;
}

class Reader {
  readonly #source: string;
  #at = 0;

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

  name(): string {
    const name = this.#match(/[A-Za-z_][A-Za-z0-9_.-]*/y);
    if (name === "") this.#fail("an attribute's name");
    return name.toUpperCase();
  }

  expect(character: string): void {
    this.#match(/[ \t]*/y);
    if (this.#source[this.#at] !== character) this.#fail(`"${character}"`);
    this.#at++;
  }

  value(): string | Vector {
    this.#match(/[ \t]*/y);
    const first = this.#source[this.#at];
    if (first === '"') return this.#quoted();
    if (first === "[") return this.#vector();
    return this.#match(/[^\n#]*/y).trim();
  }

  #vector(): Vector {
    const vector: Record<string, string> = {};
    this.#at++;
    this.skip();
    if (this.#source[this.#at] === "]") this.#fail("a key");
    for (;;) {
      const key = this.name();
      this.skip();
      this.expect("=");
      this.skip();
      vector[key] = this.#source[this.#at] === '"' ? this.#quoted() : this.#match(/[^,\]\n#"]*/y).trim();
      this.skip();
      const separator = this.#source[this.#at];
      if (separator !== "," && separator !== "]") this.#fail('"," or "]"');
      this.#at++;
      if (separator === "]") return vector;
      this.skip();
    }
  }

  #quoted(): string {
    const begin = this.#at;
    const text = this.#match(/"(?:[^"\\]|\\[\s\S])*"/y);
    if (text === "") {
      this.#at = begin;
      this.#fail("the closing quotation mark of the value that begins here");
    }
    return text.slice(1, -1).replace(/\\(["\\])/g, "$1");
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const text = pattern.exec(this.#source)?.[0] ?? "";
    this.#at += text.length;
    return text;
  }

  #fail(expected: string): never {
    const before = this.#source.slice(0, this.#at).split("\n");
    const column = (before[before.length - 1] ?? "").length + 1;
    const found = this.#source.slice(this.#at, this.#at + 12).split("\n")[0];
    throw new SyntaxError(
      `Parse error: expected ${expected}, found ${found ? `"${found}"` : "the end"} at line ${before.length}, column ${column}`,
    );
  }
}
