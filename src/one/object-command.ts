import {
  type Attributes,
  isTemplateError,
  mergeAttributes,
  parseStored,
  parseTemplate,
  renderTemplate,
  without,
} from "./attributes.ts";
import type { Operation, Resource } from "./caller.ts";
import { statement, versionGuard } from "./change.ts";
import {
  type Arguments,
  type Context,
  first,
  int,
  type Plan,
  plan,
  type Rows,
  text,
  type WriteCommand,
} from "./method.ts";
import { authorize, nameFault, type ObjectKind } from "./object.ts";
import type { Query } from "./query.ts";
import { CODE, noSuch, type Refusal, refusal } from "./refusal.ts";

/** How the commands of a kind find one of its objects, and what the rights on it depend on. */
export interface Addressed<R extends VersionedRow> {
  readonly kind: ObjectKind;
  readonly byId: (id: number) => Query<R>;
  readonly resource: (row: R) => Resource;
}

interface VersionedRow {
  readonly id: number;
  readonly version: number;
}

/** What a command on one object adds to finding it and asking whether the caller may. */
export interface ObjectStep<R extends VersionedRow, I> {
  readonly right: Operation;
  /** Further rows; they follow the object's own. */
  readonly reads?: (input: I) => readonly Query[];
  readonly plan: (row: R, input: I, rows: Rows, context: Context) => Plan | Refusal;
}

/** A write on the object whose id is argument 0 → id. Commands on one object run one after the other. */
export function objectCommand<R extends VersionedRow>(
  object: Addressed<R>,
  step: ObjectStep<R, Arguments>,
): WriteCommand {
  return {
    kind: "write",
    result: (args) => int(args, 0),
    key: objectKey(object),
    ...readAndPlan(object, step, (args) => int(args, 0)),
  };
}

/** `one.x.rename(id, name)` → id. `taken`: the query for another object that has the name, where names are unique. */
export function renameCommand<R extends VersionedRow>(
  object: Addressed<R>,
  right: Operation,
  taken?: (name: string, id: number) => Query<{ readonly id: number }>,
): WriteCommand {
  const { kind } = object;
  return objectCommand(object, {
    right,
    reads: (args) => (taken === undefined ? [] : [taken(text(args, 1), int(args, 0))]),
    plan: (row, args, rows) => {
      const name = text(args, 1);
      const other = first<{ readonly id: number }>(rows, 1);
      const fault = nameFault(name) ?? (other && `NAME is already taken by ${kind.type} ${other.id}.`);
      if (fault !== undefined) return refusal(CODE.action, `Cannot rename ${kind.type} ${row.id}: ${fault}`, row.id);
      return plan({
        guards: [versionGuard(kind.table, row)],
        statements: [statement(`UPDATE ${kind.table} SET version=version+1,name=? WHERE id=?`, name, row.id)],
        tags: [`${kind.table}:${row.id}`],
      });
    },
  });
}

/** A user's template as it came, and whether it is put over the present one (1) or in its place (0). */
export interface Update {
  readonly id: number;
  readonly attributes: Attributes;
  readonly append: boolean;
}

/** `one.x.update(id, template, 0 replace | 1 append)` → id. `shownOnly`: attributes that come back from what was shown. */
export function updateCommand<R extends VersionedRow>(
  object: Addressed<R>,
  shownOnly: readonly string[],
  write: (row: R, update: Update, context: Context) => Plan | Refusal,
): WriteCommand<Update> {
  return {
    kind: "write",
    result: ({ id }) => id,
    key: objectKey(object),
    parse: (args) => {
      const id = int(args, 0);
      const attributes = parseTemplate(text(args, 1));
      if (isTemplateError(attributes)) return updateFault(attributes.error, id);
      return { id, attributes: without(attributes, ...shownOnly), append: int(args, 2) === 1 };
    },
    ...readAndPlan<R, Update>(
      object,
      { right: "MANAGE", plan: (row, update, _rows, context) => write(row, update, context) },
      ({ id }) => id,
    ),
  };
}

/** The template that an update makes of the `stored` one (inner XML), as inner XML. */
export function updated(stored: string, { attributes, append }: Update): string {
  return renderTemplate(append ? mergeAttributes(parseStored(stored), attributes) : attributes);
}

/** Why a template cannot be taken, about the object that it was meant for. */
export function updateFault(why: string, id: number): Refusal {
  return refusal(CODE.action, `Cannot update template. ${why}`, id);
}

function objectKey<R extends VersionedRow>({ kind }: Addressed<R>): (args: Arguments) => string {
  return (args) => `${kind.table}:${int(args, 0)}`;
}

function readAndPlan<R extends VersionedRow, I>(
  { kind, byId, resource }: Addressed<R>,
  { right, reads, plan: planStep }: ObjectStep<R, I>,
  idOf: (input: I) => number,
): Pick<WriteCommand<I>, "reads" | "plan"> {
  return {
    reads: (input) => [byId(idOf(input)), ...(reads?.(input) ?? [])],
    plan: (rows, input, caller, context) => {
      const row = first<R>(rows, 0);
      if (row === undefined) return noSuch(kind.noun, idOf(input));
      return authorize(caller, [right, resource(row)]) ?? planStep(row, input, rows, context);
    },
  };
}
