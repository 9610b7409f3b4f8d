import { type Attributes, getText, isTemplateError, parseTemplate, renderTemplate, without } from "../attributes.ts";
import { statement, versionGuard } from "../change.ts";
import { first, flag, newId, plan, text, type WriteCommand } from "../method.ts";
import { authorize, nameFault, resourceOf, takeId, takenId } from "../object.ts";
import { type Addressed, objectCommand, renameCommand, updateCommand, updated } from "../object-command.ts";
import type { Query } from "../query.ts";
import { CODE, cannotAllocate, refusal } from "../refusal.ts";
import { TEMPLATE, type TemplateRow } from "./kind.ts";

/** Owner may use and manage: OpenNebula's default umask of 177. */
export const DEFAULT_PERMISSIONS = 0o600;

const TEMPLATES: Addressed<TemplateRow> = {
  kind: TEMPLATE,
  byId: templateById,
  resource: (row) => resourceOf(TEMPLATE, row),
};

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

/** `one.template.update(id, template, 0 replace | 1 append)` → id. */
export const updateTemplate = updateCommand(TEMPLATES, ["NAME"], (row, update) =>
  plan({
    guards: [versionGuard("template", row)],
    statements: [
      statement("UPDATE template SET version=version+1,template=? WHERE id=?", updated(row.template, update), row.id),
    ],
    tags: [`template:${row.id}`],
  }),
);

/** `one.template.delete(id, images)` → id. Its images stay; a client that asks for them gone too is refused. */
export const deleteTemplate = objectCommand(TEMPLATES, {
  right: "MANAGE",
  plan: (row, args) => {
    if (flag(args, 1)) {
      return refusal(CODE.action, "Cannot delete the images of a template with it: delete them one by one", row.id);
    }
    return plan({
      guards: [versionGuard("template", row)],
      statements: [statement("DELETE FROM template WHERE id=?", row.id)],
      tags: [`template:${row.id}`],
    });
  },
});

/** `one.template.rename(id, name)` → id. A name is its owner's only once. */
export const renameTemplate = renameCommand(TEMPLATES, "MANAGE", (name, id) => ({
  sql: "SELECT id FROM template WHERE name=? AND uid=(SELECT uid FROM template WHERE id=?) AND id<>?",
  values: [name, id, id],
}));

/** What commands need of one template. */
export function templateById(id: number): Query<TemplateRow> {
  return { sql: "SELECT id,version,name,uid,gid,permissions,template FROM template WHERE id=?", values: [id] };
}

function templateNamed(name: string, uid: number): Query<{ readonly id: number }> {
  return { sql: "SELECT id FROM template WHERE name=? AND uid=?", values: [name, uid] };
}
