import type { Method } from "../method.ts";
import { ID, infoCommand, ownedPoolCommand, POOL_PARAMETERS } from "../object.ts";
import { instantiateTemplate } from "../vm/create.ts";
import { allocateTemplate, deleteTemplate, renameTemplate, updateTemplate } from "./commands.ts";
import { TEMPLATE } from "./kind.ts";

export const TEMPLATE_METHODS: readonly Method[] = [
  { name: "one.template.allocate", parameters: [{ name: "template", type: "string" }], command: allocateTemplate },
  {
    name: "one.template.instantiate",
    parameters: [
      ID,
      { name: "name", type: "string", default: "" },
      { name: "hold", type: "boolean", default: false },
      { name: "template", type: "string", default: "" },
      { name: "persistent", type: "boolean", default: false },
    ],
    command: instantiateTemplate,
  },
  {
    name: "one.template.update",
    parameters: [ID, { name: "template", type: "string" }, { name: "append", type: "int", default: 0 }],
    command: updateTemplate,
  },
  {
    name: "one.template.delete",
    parameters: [ID, { name: "images", type: "boolean", default: false }],
    command: deleteTemplate,
  },
  { name: "one.template.rename", parameters: [ID, { name: "name", type: "string" }], command: renameTemplate },
  {
    name: "one.template.info",
    parameters: [ID, { name: "extended", type: "boolean", default: false }],
    command: infoCommand(TEMPLATE),
  },
  { name: "one.templatepool.info", parameters: POOL_PARAMETERS, command: ownedPoolCommand(TEMPLATE) },
];
