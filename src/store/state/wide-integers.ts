import type { SqlValue } from "../../base/entry.ts";

const INT32_MAX = 2 ** 31 - 1;
const INT32_MIN = -(2 ** 31);

/** Strings, quoted names and comments are passed over; what is left of `?` and `?7` are parameters. */
const PARAMETER = /'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|\?(\d*)/g;

/**
 * The `sqlite3` package binds every integer outside 32 bits as a REAL (*tried*: 1700000000000 in a TEXT column or in JSON
 * becomes 1700000000000.0). Such values are bound as text here, and their parameter becomes `CAST(? AS INTEGER)`.
 */
export function bindWideIntegers(
  sql: string,
  values: readonly SqlValue[],
): { readonly sql: string; readonly values: readonly SqlValue[] } {
  if (!values.some(isWide)) return { sql, values };
  let last = 0;
  const text = sql.replace(PARAMETER, (token: string, number: string | undefined) => {
    if (number === undefined) return token;
    const parameter = number === "" ? last + 1 : Number(number);
    last = Math.max(last, parameter);
    return isWide(values[parameter - 1] ?? null) ? `CAST(${token} AS INTEGER)` : token;
  });
  return { sql: text, values: values.map((value) => (isWide(value) ? String(value) : value)) };
}

/** An integer outside 32 bits. */
export function isWide(value: SqlValue): boolean {
  return typeof value === "number" && Number.isInteger(value) && (value > INT32_MAX || value < INT32_MIN);
}
