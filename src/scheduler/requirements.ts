/**
 * Expressions over a host's attributes, as SCHED_REQUIREMENTS and SCHED_RANK hold them: `ID = 3`,
 * `NAME = "rack1-*" & !(CLUSTER_ID = 100)`, `FREE_CPU > 200 | ARCH = "aarch64"`; ranks are sums: `FREE_MEM - 2 * RUNNING_VMS`.
 */

/** A host's attributes by upper-case name. */
export type Attributes = Readonly<Record<string, string | number>>;

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: string };

/** Longest text that is looked at; a longer one is refused. */
export const EXPRESSION_LENGTH_MAX = 4096;
/** Deepest nesting of brackets and `!`. */
export const EXPRESSION_DEPTH_MAX = 32;

/** A test of one host. An empty text lets every host pass. */
export function parseRequirements(text: string): Parsed<(attributes: Attributes) => boolean> {
  if (text.trim() === "") return { ok: true, value: () => true };
  return parseWith(text, (reader) => reader.disjunction(0));
}

/** A number for one host, higher is better; a name that the host lacks counts 0. */
export function parseRank(text: string): Parsed<(attributes: Attributes) => number> {
  return parseWith(text, (reader) => reader.sum(0));
}

type Test = (attributes: Attributes) => boolean;
type Term = (attributes: Attributes) => number;

function parseWith<T>(text: string, read: (reader: Reader) => T): Parsed<T> {
  if (text.length > EXPRESSION_LENGTH_MAX) return { ok: false, why: `longer than ${EXPRESSION_LENGTH_MAX} characters` };
  const tokens = tokenize(text);
  if (tokens === undefined) return { ok: false, why: `"${text}" has a character that is not part of an expression` };
  const reader = new Reader(tokens);
  try {
    const value = read(reader);
    reader.end();
    return { ok: true, value };
  } catch (error) {
    if (error instanceof SyntaxError) return { ok: false, why: `"${text}": ${error.message}` };
    throw error;
  }
}

const TOKEN = /\s*(?:"([^"]*)"|(!=|>=|<=|[=<>&|!()+*-])|([A-Za-z_][A-Za-z0-9_/.]*)|(\d+(?:\.\d+)?))/y;

interface Token {
  readonly kind: "text" | "sign" | "name" | "number";
  readonly value: string;
}

function tokenize(text: string): Token[] | undefined {
  const tokens: Token[] = [];
  const trimmed = text.trim();
  let at = 0;
  while (at < trimmed.length) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(trimmed);
    if (match === null) return undefined;
    at = TOKEN.lastIndex;
    const [, quoted, sign, name, number] = match;
    if (quoted !== undefined) tokens.push({ kind: "text", value: quoted });
    else if (sign !== undefined) tokens.push({ kind: "sign", value: sign });
    else if (name !== undefined) tokens.push({ kind: "name", value: name });
    else tokens.push({ kind: "number", value: number ?? "" });
  }
  return tokens;
}

/** Recursive descent; `|` binds weakest, then `&`, then `!` and brackets. */
class Reader {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  end(): void {
    const token = this.#tokens[this.#at];
    if (token !== undefined) throw new SyntaxError(`"${token.value}" is unexpected`);
  }

  disjunction(depth: number): Test {
    const tests = [this.#conjunction(depth)];
    while (this.#take("|")) tests.push(this.#conjunction(depth));
    return (attributes) => tests.some((test) => test(attributes));
  }

  #conjunction(depth: number): Test {
    const tests = [this.#factor(depth)];
    while (this.#take("&")) tests.push(this.#factor(depth));
    return (attributes) => tests.every((test) => test(attributes));
  }

  #factor(depth: number): Test {
    if (depth > EXPRESSION_DEPTH_MAX) throw new SyntaxError("it is nested too deep");
    if (this.#take("!")) {
      const test = this.#factor(depth + 1);
      return (attributes) => !test(attributes);
    }
    if (this.#take("(")) {
      const test = this.disjunction(depth + 1);
      this.#expect(")");
      return test;
    }
    return this.#comparison();
  }

  #comparison(): Test {
    const name = this.#next("a name");
    if (name.kind !== "name") throw new SyntaxError(`"${name.value}" is not the name of an attribute`);
    const sign = this.#next("a comparison");
    const compare = COMPARISONS[sign.value];
    if (sign.kind !== "sign" || compare === undefined) throw new SyntaxError(`"${sign.value}" is no comparison`);
    const isNegative = this.#take("-");
    const value = this.#next("a value");
    if (value.kind === "sign") throw new SyntaxError(`"${value.value}" is not a value`);
    const wanted = isNegative ? `-${value.value}` : value.value;
    const key = name.value.toUpperCase();
    return (attributes) => {
      const found = attributes[key];
      // As in OpenNebula: a host without the attribute fails the comparison, but for "is not".
      return found === undefined ? sign.value === "!=" : compare(String(found), wanted);
    };
  }

  sum(depth: number): Term {
    const terms: Term[] = [];
    let sign = this.#take("-") ? -1 : 1;
    for (;;) {
      const product = this.#product(depth);
      const factor = sign;
      terms.push((attributes) => factor * product(attributes));
      if (this.#take("+")) sign = 1;
      else if (this.#take("-")) sign = -1;
      else return (attributes) => terms.reduce((total, term) => total + term(attributes), 0);
    }
  }

  #product(depth: number): Term {
    const factors = [this.#value(depth)];
    while (this.#take("*")) factors.push(this.#value(depth));
    return (attributes) => factors.reduce((total, factor) => total * factor(attributes), 1);
  }

  #value(depth: number): Term {
    if (depth > EXPRESSION_DEPTH_MAX) throw new SyntaxError("it is nested too deep");
    if (this.#take("(")) {
      const inner = this.sum(depth + 1);
      this.#expect(")");
      return inner;
    }
    const token = this.#next("a number or a name");
    if (token.kind === "number") return () => Number(token.value);
    if (token.kind !== "name") throw new SyntaxError(`"${token.value}" is not a number or a name`);
    const key = token.value.toUpperCase();
    return (attributes) => {
      const value = Number(attributes[key]);
      return Number.isFinite(value) ? value : 0;
    };
  }

  #take(sign: string): boolean {
    const token = this.#tokens[this.#at];
    if (token?.kind !== "sign" || token.value !== sign) return false;
    this.#at++;
    return true;
  }

  #expect(sign: string): void {
    if (!this.#take(sign)) throw new SyntaxError(`"${sign}" is missing`);
  }

  #next(what: string): Token {
    const token = this.#tokens[this.#at++];
    if (token === undefined) throw new SyntaxError(`it ends where ${what} should be`);
    return token;
  }
}

const COMPARISONS: Readonly<Record<string, (found: string, wanted: string) => boolean>> = {
  "=": isLike,
  "!=": (found, wanted) => !isLike(found, wanted),
  "<": (found, wanted) => Number(found) < Number(wanted),
  ">": (found, wanted) => Number(found) > Number(wanted),
  "<=": (found, wanted) => Number(found) <= Number(wanted),
  ">=": (found, wanted) => Number(found) >= Number(wanted),
};

/** Equal as numbers where both are, else as text with `*` for any characters. */
function isLike(found: string, wanted: string): boolean {
  if (found === wanted) return true;
  if (found !== "" && wanted !== "" && Number(found) === Number(wanted)) return true;
  return wanted.includes("*") && matchesWildcard(found, wanted);
}

/** Linear, without a regular expression: the pattern is a user's text. */
function matchesWildcard(text: string, pattern: string): boolean {
  const [first = "", ...rest] = pattern.split("*");
  const last = rest.pop() ?? "";
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const piece of rest) {
    const found = text.indexOf(piece, at);
    if (found < 0 || found + piece.length > end) return false;
    at = found + piece.length;
  }
  return true;
}
