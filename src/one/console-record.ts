import type { Statement } from "../base/entry.ts";
import { statement } from "./change.ts";
import { all, type Method, plan, type ReadCommand, text, type WriteCommand } from "./method.ts";
import { CODE, refusal } from "./refusal.ts";

/** Of all boxes; older ones are in the boxes' own logs. */
const RECORDS_MAX = 1000;
/** Characters of each field: what a line of a console can hold. */
const FIELD_CHARACTERS_MAX = 1000;
const FIELDS = ["box", "line", "action", "detail", "outcome"] as const;

/** Part of schema level 1: what was done on the recovery consoles, told after the cluster healed. */
export const consoleRecordSchema: readonly Statement[] = [
  statement(
    "CREATE TABLE console_record(id TEXT PRIMARY KEY,at INTEGER NOT NULL,box TEXT NOT NULL,line TEXT NOT NULL,action TEXT NOT NULL,detail TEXT NOT NULL,outcome TEXT NOT NULL) STRICT,WITHOUT ROWID",
  ),
];

/** `ringfence.console.record(JSON)` → 1. The same id again replaces its outcome: a box tells until it was heard. */
const put: WriteCommand = {
  kind: "write",
  result: () => 1,
  reads: () => [],
  plan: (_rows, args, caller) => {
    if (!caller.isAdmin) return refusal(CODE.authorization, "Only members of group oneadmin may do this.");
    const record = parse(text(args, 0));
    if (record === undefined) return refusal(CODE.internal, "This is no record of a console.");
    return plan({
      guards: [],
      statements: [
        statement(
          "INSERT INTO console_record(id,at,box,line,action,detail,outcome) VALUES(?,?,?,?,?,?,?) ON CONFLICT(id) DO UPDATE SET outcome=excluded.outcome",
          record.id,
          record.at,
          ...record.fields,
        ),
        statement(
          "DELETE FROM console_record WHERE id NOT IN (SELECT id FROM console_record ORDER BY at DESC,id LIMIT ?)",
          RECORDS_MAX,
        ),
      ],
      tags: ["console"],
    });
  },
};

function parse(json: string): { id: string; at: number; fields: readonly string[] } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { id, at, ...rest } = value as Record<string, unknown>;
  if (typeof id !== "string" || !/^[0-9a-f]{32}$/.test(id)) return undefined;
  if (typeof at !== "number" || !Number.isSafeInteger(at)) return undefined;
  const fields = FIELDS.map((name) => rest[name]);
  if (!fields.every((field) => typeof field === "string")) return undefined;
  return { id, at, fields: fields.map((field) => field.slice(0, FIELD_CHARACTERS_MAX)) };
}

/** `ringfence.console.records()` → JSON, the newest first. */
const list: ReadCommand = {
  kind: "read",
  reads: () => [
    {
      sql: "SELECT id,at,box,line,action,detail,outcome FROM console_record ORDER BY at DESC,id LIMIT 200",
      values: [],
    },
  ],
  answer: (rows, _args, caller) =>
    caller.isAdmin
      ? JSON.stringify(all(rows, 0))
      : refusal(CODE.authorization, "Only members of group oneadmin may do this."),
};

export const CONSOLE_RECORD_METHODS: readonly Method[] = [
  {
    name: "ringfence.console.record",
    parameters: [{ name: "record", type: "string" }],
    command: put,
    whileDisabled: true,
  },
  { name: "ringfence.console.records", parameters: [], command: list },
];
