import type { ObjectKind } from "../object.ts";
import { sqlXml, xmlOwner, xmlPermissions, xmlText } from "../sql-xml.ts";

/** A recipe for VMs, kept as its user gave it. */
export const TEMPLATE: ObjectKind = {
  table: "template",
  noun: "virtual machine template",
  type: "TEMPLATE",
  pool: "VMTEMPLATE_POOL",
  owned: true,
  xml: sqlXml`<VMTEMPLATE><ID>${"template.id"}</ID>${xmlOwner("template")}<NAME>${xmlText("template.name")}</NAME>${xmlPermissions("template")}<REGTIME>${"template.regtime"}</REGTIME><TEMPLATE>${"template.template"}</TEMPLATE></VMTEMPLATE>`,
};

/** What commands read of a template. */
export interface TemplateRow {
  readonly id: number;
  readonly version: number;
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly permissions: number;
  readonly template: string;
}
