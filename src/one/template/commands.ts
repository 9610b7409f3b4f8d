import {
  type Attributes,
  getText,
  isTemplateError,
  mergeAttributes,
  parseStored,
  parseTemplate,
  renderTemplate,
  without,
} from "../attributes.ts";
import { statement, versionGuard } from "../change.ts";
import { first, flag, int, newId, plan, sameId, text, type WriteCommand } from "../method.ts";
import { authorize, nameFault, resourceOf, takeId, takenId } from "../object.ts";
import type { Query } from "../query.ts";
import { CODE, cannotAllocate, noSuch, type Refusal, refusal } from "../refusal.ts";
import { TEMPLATE, type TemplateRow } from "./kind.ts";

/** Owner may use and manage: OpenNebula's default umask of 177. */
export const DEFAULT_PERMISSIONS = 0o600;

interface NewTemplate {
  /** Undefined: named after its id. */
  readonly name: string | undefined;
  readonly attributes: Attributes;
}

/** `one.template.allocate(template)` → id. */
export const allocateTemplate: WriteCommand<NewTemplate> = {
  kind: "write",
  result: newId,
  parse: (args) => {
    const attributes = parseTemplate(text(args, 0));
    if (isTemplateError(attributes)) return cannotAllocate(TEMPLATE.noun, attributes.error);
    const name = getText(attributes, "NAME");
    const fault = name === undefined ? undefined : nameFault(name);
    if (fault !== undefined) return cannotAllocate(TEMPLATE.noun, fault);
    return { name, attributes: without(attributes, "NAME") };
  },
  reads: ({ name }, caller) => [templateNamed(name ?? "", caller.uid)],
  plan: (rows, { name, attributes }, caller, { now }) => {
    const denied = authorize(caller, ["CREATE", { type: "TEMPLATE" }]);
    if (denied !== undefined) return denied;
    const taken = first<{ readonly id: number }>(rows, 0);
    if (taken !== undefined) return cannotAllocate(TEMPLATE.noun, `NAME is already taken by TEMPLATE ${taken.id}.`);
    const id = takenId("template");
    return plan({
      guards: [],
      statements: [
        takeId("template"),
        statement(
          `INSERT INTO template(id,name,uid,gid,uname,gname,permissions,regtime,template) VALUES(${id},coalesce(?,'template-'||${id}),?,?,?,?,?,?,?)`,
          name ?? null,
          caller.uid,
          caller.gid,
          caller.name,
          caller.gname,
          DEFAULT_PERMISSIONS,
          now,
          renderTemplate(attributes),
        ),
      ],
      tags: ["template"],
    });
  },
};

interface TemplateUpdate {
  readonly id: number;
  readonly attributes: Attributes;
  readonly append: boolean;
}

/** `one.template.update(id, template, 0 replace | 1 append)` → id. */
export const updateTemplate: WriteCommand<TemplateUpdate> = {
  kind: "write",
  result: ({ id }) => id,
  key: templateKey,
  parse: (args) => {
    const attributes = parseUpdate(text(args, 1), int(args, 0));
    if ("kind" in attributes) return attributes;
    return { id: int(args, 0), attributes: without(attributes, "NAME"), append: int(args, 2) === 1 };
  },
  reads: ({ id }) => [templateById(id)],
  plan: (rows, { id, attributes, append }, caller) => {
    const row = first<TemplateRow>(rows, 0);
    if (row === undefined) return noSuch(TEMPLATE.noun, id);
    const denied = authorize(caller, ["MANAGE", resourceOf(TEMPLATE, row)]);
    if (denied !== undefined) return denied;
    const merged = append ? mergeAttributes(parseStored(row.template), attributes) : attributes;
    return plan({
      guards: [versionGuard("template", row)],
      statements: [
        statement("UPDATE template SET version=version+1,template=? WHERE id=?", renderTemplate(merged), id),
      ],
      tags: [`template:${id}`],
    });
  },
};

/** `one.template.delete(id, images)` → id. Its images stay; a client that asks for them gone too is refused. */
export const deleteTemplate: WriteCommand = {
  kind: "write",
  result: sameId,
  key: templateKey,
  reads: (args) => [templateById(int(args, 0))],
  plan: (rows, args, caller) => {
    const row = first<TemplateRow>(rows, 0);
    if (row === undefined) return noSuch(TEMPLATE.noun, int(args, 0));
    const denied = authorize(caller, ["MANAGE", resourceOf(TEMPLATE, row)]);
    if (denied !== undefined) return denied;
    if (flag(args, 1)) {
      return refusal(CODE.action, "Cannot delete the images of a template with it: delete them one by one", row.id);
    }
    return plan({
      guards: [versionGuard("template", row)],
      statements: [statement("DELETE FROM template WHERE id=?", row.id)],
      tags: [`template:${row.id}`],
    });
  },
};

/** `one.template.rename(id, name)` → id. */
export const renameTemplate: WriteCommand = {
  kind: "write",
  result: sameId,
  key: templateKey,
  reads: (args) => [
    templateById(int(args, 0)),
    {
      sql: "SELECT id FROM template WHERE name=? AND uid=(SELECT uid FROM template WHERE id=?) AND id<>?",
      values: [text(args, 1), int(args, 0), int(args, 0)],
    },
  ],
  plan: (rows, args, caller) => {
    const row = first<TemplateRow>(rows, 0);
    const name = text(args, 1);
    if (row === undefined) return noSuch(TEMPLATE.noun, int(args, 0));
    const denied = authorize(caller, ["MANAGE", resourceOf(TEMPLATE, row)]);
    if (denied !== undefined) return denied;
    const taken = first<{ readonly id: number }>(rows, 1);
    const fault = nameFault(name) ?? (taken && `NAME is already taken by TEMPLATE ${taken.id}.`);
    if (fault !== undefined) return refusal(CODE.action, `Cannot rename TEMPLATE ${row.id}: ${fault}`, row.id);
    return plan({
      guards: [versionGuard("template", row)],
      statements: [statement("UPDATE template SET version=version+1,name=? WHERE id=?", name, row.id)],
      tags: [`template:${row.id}`],
    });
  },
};

/** What commands need of one template. */
export function templateById(id: number): Query<TemplateRow> {
  return { sql: "SELECT id,version,name,uid,gid,permissions,template FROM template WHERE id=?", values: [id] };
}

/** Reads the template of an update; a fault is a refusal about that object. */
export function parseUpdate(source: string, id: number): Attributes | Refusal {
  const attributes = parseTemplate(source);
  return isTemplateError(attributes)
    ? refusal(CODE.action, `Cannot update template. ${attributes.error}`, id)
    : attributes;
}

function templateNamed(name: string, uid: number): Query<{ readonly id: number }> {
  return { sql: "SELECT id FROM template WHERE name=? AND uid=?", values: [name, uid] };
}

function templateKey(args: readonly unknown[]): string {
  return `template:${String(args[0])}`;
}
