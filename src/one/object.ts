import type { Statement } from "../base/entry.ts";
import { type Caller, may, type Operation, type Resource, type ResourceType, rightName } from "./caller.ts";
import { statement } from "./change.ts";
import { type Arguments, all, first, int, type Parameter, type ReadCommand, type Rows } from "./method.ts";
import type { Query } from "./query.ts";
import { noSuch, notAllowed, type Refusal } from "./refusal.ts";
import { poolXml } from "./sql-xml.ts";

/** What all objects have in common: how one is read, how a pool is read, and who may. */
export interface ObjectKind {
  /** Table and, for most, the word in method names. */
  readonly table: string;
  /** `virtual machine`: the word in error texts. */
  readonly noun: string;
  /** The type in access rules. */
  readonly type: ResourceType;
  /** Element of a pool's answer: `HOST_POOL`. */
  readonly pool: string;
  /** SQL expression of the whole element, for `info`. */
  readonly xml: string;
  /** Whether rows have uid, gid and permissions. */
  readonly owned: boolean;
}

interface OwnedRow {
  readonly id: number;
  readonly uid: number;
  readonly gid: number;
  readonly permissions: number;
}

/** The columns that a right on one row depends on. */
export function rightColumns(kind: ObjectKind): string {
  return kind.owned ? "id,uid,gid,permissions" : "id";
}

export function resourceOf(kind: ObjectKind, row: { readonly id: number } & Partial<OwnedRow>): Resource {
  if (row.uid === undefined || row.gid === undefined || row.permissions === undefined)
    return { type: kind.type, id: row.id };
  return { type: kind.type, id: row.id, uid: row.uid, gid: row.gid, permissions: row.permissions };
}

/** Why the caller may not, or undefined when it may. Every right that is missing is named. */
export function authorize(caller: Caller, ...rights: readonly (readonly [Operation, Resource])[]): Refusal | undefined {
  const missing = rights.filter(([operation, resource]) => !may(caller, operation, resource));
  return missing.length === 0
    ? undefined
    : notAllowed(
        caller.uid,
        missing.map(([operation, resource]) => rightName(operation, resource)),
      );
}

/** The id is taken from the counter inside the entry, so that it is the same on every box; the first statement of two. */
export function takeId(counter: string): Statement {
  return statement("UPDATE counter SET next=next+1 WHERE name=? RETURNING next-1", counter);
}

/** The id that {@link takeId} took, as an expression for the statements after it in the same entry. */
export function takenId(counter: string): string {
  return `(SELECT next-1 FROM counter WHERE name='${counter}')`;
}

/** `one.x.info(id [, decrypt])`. */
export function infoCommand(
  kind: ObjectKind,
  tail: (id: number, xml: string) => string = (_, xml) => xml,
): ReadCommand {
  const sql = `SELECT ${rightColumns(kind)},${kind.xml} AS xml FROM ${kind.table} WHERE id=?`;
  return {
    kind: "read",
    reads: (args) => [{ sql, values: [int(args, 0)] }],
    answer: (rows, args, caller) => {
      const row = first<OwnedRow & { readonly xml: string }>(rows, 0);
      if (row === undefined) return noSuch(kind.noun, int(args, 0));
      return authorize(caller, ["USE", resourceOf(kind, row)]) ?? tail(row.id, row.xml);
    },
  };
}

export const ID: Parameter = { name: "id", type: "int" };

/** The filter of a pool: whose objects (−4 … ≥ 0), first and last id, or −1 and paging. */
export const POOL_PARAMETERS: readonly Parameter[] = [
  { name: "filter", type: "int", default: -2 },
  { name: "start", type: "int", default: -1 },
  { name: "end", type: "int", default: -1 },
];

/** Who may see what in a pool, as a condition on the table's columns with its values. */
export interface PoolFilter {
  readonly where: string;
  readonly values: readonly number[];
}

/**
 * OpenNebula's filter flag: −4 of one's primary group, −3 one's own, −2 everything that one may use, −1 one's own and
 * one's groups', ≥ 0 of that user. What an access rule lets one use is seen with every flag that it falls under.
 */
export function visible(kind: ObjectKind, caller: Caller, filter: number): PoolFilter {
  const whose: PoolFilter =
    filter >= 0
      ? { where: "uid=?", values: [filter] }
      : filter === -3
        ? { where: "uid=?", values: [caller.uid] }
        : filter === -4
          ? { where: "gid=?", values: [caller.gid] }
          : filter === -1
            ? { where: "(uid=? OR gid=?)", values: [caller.uid, caller.gid] }
            : { where: "1", values: [] };
  if (caller.isAdmin || mayUseAll(kind, caller)) return whose;
  const ids = usableIds(kind, caller);
  const own = "((uid=? AND permissions&256) OR (gid=? AND permissions&32) OR permissions&4";
  return {
    where: `${whose.where} AND ${own}${ids.length === 0 ? "" : ` OR id IN (${ids.join(",")})`})`,
    values: [...whose.values, caller.uid, caller.gid],
  };
}

/** Both conditions. */
export function both(a: PoolFilter, b: PoolFilter): PoolFilter {
  return { where: `${a.where} AND ${b.where}`, values: [...a.values, ...b.values] };
}

/**
 * `start` and `end` of a pool call: two ids (both included), −1 for an open end, or an offset and −pageSize
 * (`end` < −1), newest first.
 */
export function paged(kind: ObjectKind, filter: PoolFilter, start: number, end: number): PoolFilter {
  if (start >= 0 && end < -1) {
    return {
      where: `id IN (SELECT id FROM ${kind.table} WHERE ${filter.where} ORDER BY id DESC LIMIT ? OFFSET ?)`,
      values: [...filter.values, -end, start],
    };
  }
  if (start >= 0 && end >= 0) return both(filter, { where: "id>=? AND id<=?", values: [start, end] });
  return start >= 0 ? both(filter, { where: "id>=?", values: [start] }) : filter;
}

/** `one.xpool.info(filter, start, end, …)` of a kind whose objects have owners; `more` narrows by the further arguments. */
export function ownedPoolCommand(
  kind: ObjectKind,
  xml: string = kind.xml,
  more: (args: Arguments) => PoolFilter = () => ({ where: "1", values: [] }),
): ReadCommand {
  return {
    kind: "read",
    repeatable: true,
    reads: (args, caller) => {
      const chosen = paged(kind, both(visible(kind, caller, int(args, 0)), more(args)), int(args, 1), int(args, 2));
      return [{ sql: poolXml(kind.table, xml, chosen.where), values: chosen.values }];
    },
    answer: (rows) => wrapPool(kind, elements(rows)),
  };
}

/** `one.xpool.info()` of a kind without owners: all of it, or what rules let the caller use. */
export function plainPoolCommand(kind: ObjectKind): ReadCommand {
  const everything: Query = { sql: poolXml(kind.table, kind.xml), values: [] };
  return {
    kind: "read",
    repeatable: true,
    reads: (_args, caller) => {
      if (caller.isAdmin || mayUseAll(kind, caller)) return [everything];
      const ids = usableIds(kind, caller);
      return [{ sql: poolXml(kind.table, kind.xml, ids.length === 0 ? "0" : `id IN (${ids.join(",")})`), values: [] }];
    },
    answer: (rows) => wrapPool(kind, elements(rows)),
  };
}

export function wrapPool(kind: ObjectKind, xml: string): string {
  return `<${kind.pool}>${xml}</${kind.pool}>`;
}

/** The elements of a pool's query ({@link poolXml}), in its order. */
export function elements(rows: Rows): string {
  let xml = "";
  for (const row of all<{ readonly xml: string }>(rows, 0)) xml += row.xml;
  return xml;
}

/** Whether a rule lets the caller use every object of the kind. */
function mayUseAll(kind: ObjectKind, caller: Caller): boolean {
  return may(caller, "USE", { type: kind.type });
}

/** The ids that single-object rules let the caller use. */
function usableIds(kind: ObjectKind, caller: Caller): readonly number[] {
  const ids = caller.rules.flatMap((rule) => {
    const id = Number(rule.resource & 0xffffffffn);
    return may({ ...caller, rules: [rule] }, "USE", { type: kind.type, id }) ? [id] : [];
  });
  return [...new Set(ids)];
}

/** Names as OpenNebula bounds them: 1 … 128 characters, none that would break a line. Undefined when the name is good. */
export function nameFault(name: string): string | undefined {
  if (name === "") return "NAME cannot be empty";
  if (name.length > 128) return "Invalid NAME, max length is 128 chars.";
  return /\p{Cc}/u.test(name) ? "Invalid NAME, it contains a control character" : undefined;
}
