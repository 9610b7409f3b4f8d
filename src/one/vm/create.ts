import type { Statement } from "../../base/entry.ts";
import {
  type Attributes,
  getText,
  isTemplateError,
  mergeAttributes,
  parseStored,
  parseTemplate,
} from "../attributes.ts";
import type { Caller } from "../caller.ts";
import { statement } from "../change.ts";
import { IMAGE, IMAGE_COLUMNS, type ImageRow } from "../image/kind.ts";
import { all, type Context, first, flag, int, newId, type Plan, plan, text, type WriteCommand } from "../method.ts";
import { authorize, nameFault, resourceOf, takeId, takenId } from "../object.ts";
import type { Query } from "../query.ts";
import { cannotAllocate, noSuch, type Refusal } from "../refusal.ts";
import { DEFAULT_PERMISSIONS, templateById } from "../template/commands.ts";
import { TEMPLATE, type TemplateRow } from "../template/kind.ts";
import { VM } from "./kind.ts";
import { imageReferences, specify } from "./specification.ts";
import { VM_STATE } from "./states.ts";

interface NewVm {
  readonly attributes: Attributes;
  readonly hold: boolean;
}

/** `one.vm.allocate(template, hold)` → id: PENDING, or HOLD. */
export const allocateVm: WriteCommand<NewVm> = {
  kind: "write",
  result: newId,
  parse: (args) => {
    const attributes = parseTemplate(text(args, 0));
    if (isTemplateError(attributes)) return cannotAllocate(VM.noun, attributes.error);
    return { attributes, hold: flag(args, 1) };
  },
  reads: ({ attributes }, caller) => [imagesFor(attributes, caller)],
  plan: (rows, { attributes, hold }, caller, context) =>
    create({ attributes, images: all(rows, 0), hold, name: undefined, templateId: undefined }, caller, context),
};

interface Instance {
  readonly templateId: number;
  readonly name: string;
  readonly hold: boolean;
  readonly extra: Attributes;
}

/** `one.template.instantiate(id, name, hold, extra template)` → id of the VM. */
export const instantiateTemplate: WriteCommand<Instance> = {
  kind: "write",
  result: newId,
  parse: (args) => {
    if (flag(args, 4)) return cannotAllocate(VM.noun, "A persistent copy of the template is not supported");
    const extra = parseTemplate(text(args, 3));
    if (isTemplateError(extra)) return cannotAllocate(VM.noun, extra.error);
    return { templateId: int(args, 0), name: text(args, 1), hold: flag(args, 2), extra };
  },
  reads: ({ templateId }) => [templateById(templateId)],
  readsMore: (rows, instance, caller) => [imagesFor(merged(rows[0]?.[0] as TemplateRow | undefined, instance), caller)],
  plan: (rows, instance, caller, context) => {
    const row = first<TemplateRow>(rows, 0);
    if (row === undefined) return noSuch(TEMPLATE.noun, instance.templateId);
    const denied = authorize(caller, ["USE", resourceOf(TEMPLATE, row)]);
    if (denied !== undefined) return denied;
    const name = instance.name === "" ? undefined : instance.name;
    const attributes = merged(row, instance);
    return create({ attributes, images: all(rows, 1), hold: instance.hold, name, templateId: row.id }, caller, context);
  },
};

function merged(row: TemplateRow | undefined, instance: Instance): Attributes {
  return mergeAttributes(parseStored(row?.template ?? ""), instance.extra);
}

interface Birth {
  readonly attributes: Attributes;
  readonly images: readonly ImageRow[];
  readonly hold: boolean;
  /** Undefined: NAME of the attributes, else `one-<id>`. */
  readonly name: string | undefined;
  readonly templateId: number | undefined;
}

/** The row of a new VM and the use of its images, in one entry. */
function create(birth: Birth, caller: Caller, context: Context): Plan | Refusal {
  const denied = authorize(
    caller,
    ["CREATE", { type: "VM" }],
    ...birth.images.map((image) => ["USE", resourceOf(IMAGE, image)] as const),
  );
  if (denied !== undefined) return denied;
  const name = birth.name ?? getText(birth.attributes, "NAME");
  const made = specify(birth.attributes, birth.images, {
    templateId: birth.templateId,
    isAdmin: caller.isAdmin,
    randomHex: context.randomHex,
  });
  const fault = (name === undefined ? undefined : nameFault(name)) ?? ("fault" in made ? made.fault : undefined);
  if (fault !== undefined || "fault" in made) return cannotAllocate(VM.noun, fault ?? "");
  const id = takenId("vm");
  const state = birth.hold ? VM_STATE.hold : VM_STATE.pending;
  return plan({
    guards: made.images.map((image) => ({
      sql: "SELECT version FROM image WHERE id=?",
      values: [image.id],
      expect: [[image.version]],
      why: `image ${image.id} was changed meanwhile`,
    })),
    statements: [
      takeId("vm"),
      statement(
        `INSERT INTO vm(id,name,uid,gid,uname,gname,permissions,state,prev_state,stime,cpu,memory,template,user_template,short_template)
VALUES(${id},coalesce(?,'one-'||${id}),?,?,?,?,?,?,?,?,?,?,?,?,?)`,
        name ?? null,
        caller.uid,
        caller.gid,
        caller.name,
        caller.gname,
        DEFAULT_PERMISSIONS,
        state,
        state,
        context.now,
        made.cpu,
        made.memory,
        made.template,
        made.userTemplate,
        made.shortTemplate,
      ),
      ...made.images.flatMap(takeImage),
    ],
    tags: ["vm", ...made.images.map((image) => `image:${image.id}`)],
  });
}

/** The image is in use by the VM that this entry makes: USED_PERS when it is persistent, else USED. */
function takeImage(image: ImageRow): readonly Statement[] {
  return [
    statement(`INSERT INTO image_use(image_id,vm_id) VALUES(?,${takenId("vm")})`, image.id),
    statement(
      "UPDATE image SET version=version+1,running_vms=running_vms+1,prev_state=state,state=CASE WHEN persistent=1 THEN 8 ELSE 2 END WHERE id=?",
      image.id,
    ),
  ];
}

/** The images that a template names: by id, or by name among the caller's own. */
function imagesFor(attributes: Attributes, caller: Caller): Query<ImageRow> {
  const references = imageReferences(attributes);
  const ids = references.filter((reference) => typeof reference === "number");
  const names = references.filter((reference) => typeof reference === "string");
  const marks = (list: readonly unknown[]): string => list.map(() => "?").join(",");
  return {
    sql: `SELECT ${IMAGE_COLUMNS} FROM image WHERE id IN (${marks(ids)}) OR (name IN (${marks(names)}) AND uid=?) ORDER BY id`,
    values: [...ids, ...names, caller.uid],
  };
}
