import { FORBIDDEN_FUNCTIONS, sqlWords } from "./sql-words.ts";

/** Texts that were checked already, so that the check costs nothing in steady state. */
const CACHE_ENTRIES_MAX = 1024;
const cache = new Map<string, string | undefined>();
const guardCache = new Map<string, string | undefined>();

const FIRST_WORDS = new Set(["INSERT", "REPLACE", "UPDATE", "DELETE", "WITH", "SELECT", "CREATE", "DROP", "ALTER"]);

const FORBIDDEN_WORDS = new Set(["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"]);
/** Aggregates whose result depends on the order of their rows. */
const ORDERED_AGGREGATES = new Set(["GROUP_CONCAT", "STRING_AGG", "JSON_GROUP_ARRAY", "JSON_GROUP_OBJECT"]);

/**
 * Why a statement must not be in an entry; undefined when it may. Every box must get the same from it, in any row order,
 * and it must stay inside its transaction. The rules are part of what an entry means, because apply asks as well: changing
 * them is a new feature level.
 */
export function checkStatement(sql: string): string | undefined {
  return cached(cache, sql, check);
}

/** The same for a guard, which must also be a query. */
export function checkGuard(sql: string): string | undefined {
  return cached(guardCache, sql, checkQuery);
}

function cached(
  known: Map<string, string | undefined>,
  sql: string,
  judge: (sql: string) => string | undefined,
): string | undefined {
  if (known.has(sql)) return known.get(sql);
  const reason = judge(sql);
  if (known.size >= CACHE_ENTRIES_MAX) known.clear();
  known.set(sql, reason);
  return reason;
}

function checkQuery(sql: string): string | undefined {
  const reason = check(sql);
  if (reason !== undefined) return reason;
  const words = sqlWords(sql);
  if (words[0] !== "SELECT" && words[0] !== "WITH") return "a guard must be a query";
  return words.some((word) => word === "INSERT" || word === "UPDATE" || word === "DELETE")
    ? "a guard must not change anything"
    : undefined;
}

/** What is open between two parentheses. */
interface Frame {
  readonly opener: string;
  hasSelect: boolean;
  hasOrder: boolean;
  hasLimit: boolean;
}

function check(sql: string): string | undefined {
  const words = sqlWords(sql);
  const first = words[0];
  if (first === undefined || !FIRST_WORDS.has(first)) return `${first ?? "an empty text"} is not allowed in an entry`;
  const isTrigger = first === "CREATE" && words[1] === "TRIGGER";
  if (first === "CREATE" && (words[1] === "TEMP" || words[1] === "TEMPORARY" || words[1] === "VIRTUAL")) {
    return `CREATE ${words[1]} is not allowed in an entry`;
  }
  const frames: Frame[] = [{ opener: "", hasSelect: false, hasOrder: false, hasLimit: false }];
  for (const [at, word] of words.entries()) {
    const next = words[at + 1] ?? "";
    const frame = frames.at(-1);
    if (frame === undefined) return "unbalanced parentheses";
    if (word === "(") {
      frames.push({ opener: words[at - 1] ?? "", hasSelect: false, hasOrder: false, hasLimit: false });
    } else if (word === ")") {
      const reason = checkFrame(frame);
      if (reason !== undefined) return reason;
      frames.pop();
    } else if (word === ";" && !isTrigger && next !== "") {
      return "one text must hold one statement";
    } else {
      const reason = checkWord(word, next);
      if (reason !== undefined) return reason;
      if (word === "SELECT") frame.hasSelect = true;
      if (word === "ORDER" && next === "BY") frame.hasOrder = true;
      if (word === "LIMIT") frame.hasLimit = true;
    }
  }
  const outer = frames[0];
  if (outer === undefined || frames.length !== 1) return "unbalanced parentheses";
  const inserts = !isTrigger && words.some((word) => word === "INSERT" || (word === "REPLACE" && first === "REPLACE"));
  if (inserts && outer.hasSelect && !outer.hasOrder) return "INSERT ... SELECT needs ORDER BY";
  return checkFrame(outer);
}

function checkFrame(frame: Frame): string | undefined {
  if (frame.hasLimit && !frame.hasOrder) return "LIMIT needs ORDER BY";
  if (ORDERED_AGGREGATES.has(frame.opener) && !frame.hasOrder)
    return `${frame.opener} needs ORDER BY in its parentheses`;
  return undefined;
}

function checkWord(word: string, next: string): string | undefined {
  if (FORBIDDEN_WORDS.has(word) || (FORBIDDEN_FUNCTIONS.has(word) && next === "(")) {
    return `${word} differs between boxes or depends on what ran before`;
  }
  // These two end the transaction, or keep half a statement: a rejected entry must have changed nothing.
  if ((word === "OR" || word === "CONFLICT") && (next === "ROLLBACK" || next === "FAIL"))
    return `${word} ${next} is not allowed`;
  if (word === "RAISE") return "RAISE is not allowed";
  if (word.startsWith("RINGFENCE_")) return `${word.toLowerCase()} is the store's own`;
  return undefined;
}
