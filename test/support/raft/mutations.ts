/** One small change of a source file. */
export interface Mutation {
  /** From 1. */
  readonly line: number;
  /** The line as it is, without its indentation. */
  readonly before: string;
  /** The line as it becomes. */
  readonly after: string;
}

/** What is replaced by what, wherever it stands in code; each place is a mutation of its own. */
const SWAPS: readonly (readonly [RegExp, string])[] = [
  [/ < /g, " <= "],
  [/ <= /g, " < "],
  [/ > /g, " >= "],
  [/ >= /g, " > "],
  [/ === /g, " !== "],
  [/ !== /g, " === "],
  [/ && /g, " || "],
  [/ \|\| /g, " && "],
  [/ \+ 1\b/g, ""],
  [/ - 1\b/g, ""],
  [/ \+ (?!1\b)/g, " - "],
  [/ - (?!1\b)/g, " + "],
  [/ \* /g, " / "],
  [/ \/ /g, " * "],
  [/\bMath\.max\(/g, "Math.min("],
  [/\bMath\.min\(/g, "Math.max("],
  [/\btrue\b/g, "false"],
  [/\bfalse\b/g, "true"],
  [/(?<![\w.])0(?![\w.])/g, "1"],
  [/(?<=[(&|] ?)!(?=[a-z#])/g, ""],
  [/\bcontinue;/g, "break;"],
  [/\bbreak;/g, "continue;"],
  [/ \?\? /g, " && "],
  [/\+\+/g, "--"],
  [/ \+= /g, " -= "],
  [/ -= /g, " += "],
];

/** A statement on a line of its own that can go away as a whole: a call, or an assignment to what outlives the line. */
const STATEMENT =
  /^(?!(?:return|const|let|export|throw|readonly)\b)\w+(?:\.#?\w+)+(?:\(.*\)|\[.*\] = .*| = .*|\+\+| [+-]= .*);$/;

/** All small changes of a file's code: operators swapped, constants flipped, statements and early returns left out. */
export function mutationsOf(source: string): Mutation[] {
  const found: Mutation[] = [];
  let isComment = false;
  let isType = false;
  source.split("\n").forEach((text, at) => {
    const line = text.trim();
    if (line.startsWith("/*")) isComment = true;
    if (/^(?:export )?(?:interface|type) /.test(line) && !line.endsWith(";")) isType = true;
    const isCode = !(isComment || isType || line === "" || line.startsWith("//") || line.startsWith("import "));
    if (line.endsWith("*/")) isComment = false;
    if (/^[};]/.test(text)) isType = false;
    if (!isCode || isPlanted(line) || /^(?:export )?type /.test(line)) return;
    for (const after of changesOf(line)) found.push({ line: at + 1, before: line, after });
  });
  return found;
}

/** The mistakes that are planted by name have their own check. */
function isPlanted(line: string): boolean {
  return /if \((?:core|this)\.is\("[a-z-]+"\)\)/.test(line);
}

function changesOf(line: string): string[] {
  const changes: string[] = [];
  for (const [pattern, replacement] of SWAPS) {
    for (const match of line.matchAll(pattern)) {
      if (isInText(line, match.index)) continue;
      changes.push(line.slice(0, match.index) + replacement + line.slice(match.index + match[0].length));
    }
  }
  if (STATEMENT.test(line)) changes.push("");
  if (/^if \(.*\) return\b.*;$/.test(line)) changes.push("");
  return changes;
}

/** True inside a string or a template's text. */
function isInText(line: string, index: number): boolean {
  let quote = "";
  for (let at = 0; at < index; at++) {
    const char = line[at] ?? "";
    if (quote === "") {
      if (char === '"' || char === "`") quote = char;
      else if (char === "/" && line[at + 1] === "/") return true;
    } else if (char === quote) quote = "";
  }
  return quote !== "";
}
