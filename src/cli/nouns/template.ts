import type { XmlElement } from "../../one/xml.ts";
import type { Context, Program } from "../command.ts";
import { at, numberAt, textAt } from "../document.ts";
import { CommandFailure } from "../failure.ts";
import { readTemplateFile } from "../files.ts";
import { formatPermissions, formatTime, quoted, templateLines } from "../format.ts";
import {
  forEachObject,
  type Kind,
  LIST_OPTIONS,
  listObjects,
  Page,
  resolveId,
  SHOW_OPTIONS,
  showObject,
} from "../objects.ts";
import type { Table } from "../table.ts";
import type { Terminal } from "../terminal.ts";

const TEMPLATE: Kind = { method: "template", element: "VMTEMPLATE", isOwned: true };

const TABLE: Table<XmlElement> = {
  columns: [
    { name: "ID", text: "ONE identifier for the Template", size: 4, cell: (one) => textAt(one, "ID") },
    { name: "USER", text: "Username of the Template owner", size: 8, left: true, cell: (one) => textAt(one, "UNAME") },
    { name: "GROUP", text: "Group of the Template", size: 8, left: true, cell: (one) => textAt(one, "GNAME") },
    {
      name: "NAME",
      text: "Name of the Template",
      size: 15,
      left: true,
      expands: true,
      cell: (one) => textAt(one, "NAME"),
    },
    {
      name: "REGTIME",
      text: "Registration time of the Template",
      size: 15,
      cell: (one) => formatTime(numberAt(one, "REGTIME")),
    },
  ],
  shown: ["ID", "USER", "GROUP", "NAME", "REGTIME"],
};

export function printTemplate(terminal: Terminal, template: XmlElement): void {
  const page = new Page(terminal, 15);
  page.title(`TEMPLATE ${textAt(template, "ID")} INFORMATION`);
  page.field("ID", textAt(template, "ID"));
  page.field("NAME", textAt(template, "NAME"));
  page.field("USER", textAt(template, "UNAME"));
  page.field("GROUP", textAt(template, "GNAME"));
  page.field("LOCK", "None");
  page.field("REGISTER TIME", formatTime(numberAt(template, "REGTIME")));
  page.line();
  page.section("PERMISSIONS");
  for (const whose of ["OWNER", "GROUP", "OTHER"] as const) page.field(whose, formatPermissions(template, whose));
  page.line();
  page.section("TEMPLATE CONTENTS");
  page.lines(templateLines(at(template, "TEMPLATE")));
}

/** VMs that one command may start: more than that is a program's business. */
const MULTIPLE_MAX = 1000;

async function instantiate(context: Context): Promise<void> {
  const { rpc, terminal, options, words } = context;
  const id = await resolveId(context, TEMPLATE, words[0] ?? "");
  const multiple = options.get("multiple") ?? "1";
  if (!/^[1-9]\d*$/.test(multiple) || Number(multiple) > MULTIPLE_MAX) {
    throw new CommandFailure(`invalid argument: --multiple ${multiple}, expected 1 to ${MULTIPLE_MAX}`);
  }
  const extra = words[1] === undefined ? "" : readTemplateFile(words[1], terminal);
  const name = options.get("name") ?? "";
  for (let index = 0; index < Number(multiple); index++) {
    // `%i` is the number of the instance, as in OpenNebula.
    const own = name.replaceAll("%i", String(index));
    const vmId = await rpc.write("one.template.instantiate", id, own, options.has("hold"), extra, false);
    terminal.out(`VM ID: ${vmId}\n`);
  }
}

async function create({ rpc, terminal, options, words }: Context): Promise<void> {
  const name = options.get("name");
  const text = readTemplateFile(words[0] ?? "-", terminal);
  // Last of a name wins.
  const source = name === undefined ? text : `${text}\nNAME=${quoted(name)}\n`;
  terminal.out(`ID: ${await rpc.write("one.template.allocate", source)}\n`);
}

export const TEMPLATE_PROGRAM: Program = {
  name: "onetemplate",
  text: "Templates: what virtual machines are made from.",
  commands: [
    {
      name: "create",
      words: "[<file>]",
      text: "Creates a new Template from the given file or from standard input",
      options: [{ name: "name", value: "name", text: "Name of the new template" }],
      example: "onetemplate create web.template",
      run: create,
    },
    {
      name: "instantiate",
      words: "<templateid> [<file>]",
      text: "Creates a new VM from a Template; the file's attributes are added to it",
      options: [
        { name: "name", value: "name", text: "Name of the new VM; %i is the number of the instance" },
        { name: "multiple", short: "m", value: "x", text: "Instance multiple VMs" },
        { name: "hold", text: "Creates the new VM on hold state instead of pending" },
      ],
      example: "onetemplate instantiate web --name web-%i --multiple 3",
      run: instantiate,
    },
    {
      name: "list",
      words: "[<filterflag>]",
      text: "Lists Templates in the pool",
      options: LIST_OPTIONS,
      example: "onetemplate list",
      run: (context) => listObjects(context, TEMPLATE, TABLE),
    },
    {
      name: "show",
      words: "<templateid>",
      text: "Shows information for the given Template",
      options: SHOW_OPTIONS,
      example: "onetemplate show web",
      run: (context) => showObject(context, TEMPLATE, (template) => printTemplate(context.terminal, template)),
    },
    {
      name: "update",
      words: "<templateid> [<file>]",
      text: "Replaces the contents of the template by those of the file or of standard input.",
      options: [{ name: "append", short: "a", text: "Append new attributes to the current template" }],
      example: "onetemplate update web web.template",
      run: async (context) => {
        const id = await resolveId(context, TEMPLATE, context.words[0] ?? "");
        const text = readTemplateFile(context.words[1] ?? "-", context.terminal);
        await context.rpc.write("one.template.update", id, text, context.options.has("append") ? 1 : 0);
      },
    },
    {
      name: "rename",
      words: "<templateid> <name>",
      text: "Renames the Template",
      example: "onetemplate rename 0 web",
      run: async (context) =>
        void (await context.rpc.write(
          "one.template.rename",
          await resolveId(context, TEMPLATE, context.words[0] ?? ""),
          context.words[1] ?? "",
        )),
    },
    {
      name: "delete",
      words: "<ids>",
      text: "Deletes the given Template",
      example: "onetemplate delete web",
      run: (context) => forEachObject(context, TEMPLATE, (id) => context.rpc.write("one.template.delete", id, false)),
    },
  ],
};
