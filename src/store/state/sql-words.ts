/** Texts whose shape is kept: the front-end has some three hundred. */
const CACHE_ENTRIES_MAX = 1024;
const shapes = new Map<string, StatementShape>();

/** What a statement does, as far as its caller must know. */
export interface StatementShape {
  /** It changes rows itself: its change count means something. */
  readonly changesRows: boolean;
  /** A query, or RETURNING. */
  readonly returnsRows: boolean;
}

/** By words, not by a search in the text, which may have any word in a string. */
export function statementShape(sql: string): StatementShape {
  const known = shapes.get(sql);
  if (known !== undefined) return known;
  const words = sqlWords(sql);
  const verb = mainVerb(words);
  const changesRows = verb === "INSERT" || verb === "REPLACE" || verb === "UPDATE" || verb === "DELETE";
  const shape = { changesRows, returnsRows: verb === "SELECT" || (changesRows && words.includes("RETURNING")) };
  if (shapes.size >= CACHE_ENTRIES_MAX) shapes.clear();
  shapes.set(sql, shape);
  return shape;
}

/** The first word, or for WITH the first verb outside its parentheses. */
function mainVerb(words: readonly string[]): string | undefined {
  if (words[0] !== "WITH") return words[0];
  let depth = 0;
  for (const word of words) {
    if (word === "(") depth++;
    else if (word === ")") depth--;
    else if (depth === 0 && VERBS.has(word)) return word;
  }
  return undefined;
}

const VERBS = new Set(["SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE"]);

/** Functions whose value differs from box to box, or depends on what ran before on the connection. */
export const FORBIDDEN_FUNCTIONS = new Set([
  "RANDOM",
  "RANDOMBLOB",
  "DATE",
  "TIME",
  "DATETIME",
  "JULIANDAY",
  "UNIXEPOCH",
  "STRFTIME",
  "TIMEDIFF",
  "LAST_INSERT_ROWID",
  "CHANGES",
  "TOTAL_CHANGES",
  "SQLITE_VERSION",
  "SQLITE_SOURCE_ID",
  "SQLITE_OFFSET",
  "SQLITE_COMPILEOPTION_GET",
  "SQLITE_COMPILEOPTION_USED",
  "LOAD_EXTENSION",
]);
/** Strings and comments are matched to be passed over. */
const TOKEN =
  /'(?:[^']|'')*'|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|[A-Za-z_][A-Za-z0-9_$]*|[();]/g;

/** Words in upper case, quoted names too, parentheses and semicolons. Strings, numbers, comments and operators are left out. */
export function sqlWords(sql: string): string[] {
  const result: string[] = [];
  for (const [token] of sql.matchAll(TOKEN)) {
    if (token.startsWith("'") || token.startsWith("--") || token.startsWith("/*")) continue;
    const quoted = token.startsWith('"') || token.startsWith("`") || token.startsWith("[");
    // A quoted name can be a table of ours or a function; it can never be a keyword.
    const word = (quoted ? token.slice(1, -1) : token).toUpperCase();
    if (!quoted || word.startsWith("RINGFENCE_") || FORBIDDEN_FUNCTIONS.has(word)) result.push(word);
    else result.push('"');
  }
  return result;
}
