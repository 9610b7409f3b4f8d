import type { XmlElement } from "../../one/xml.ts";
import type { Context, Program } from "../command.ts";
import { at, numberAt, textAt } from "../document.ts";
import { CommandFailure } from "../failure.ts";
import { readTemplateFile } from "../files.ts";
import { formatPermissions, formatSize, formatTime, quoted, templateLines, yesNo } from "../format.ts";
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
import { DATASTORE } from "./datastore.ts";

const IMAGE: Kind = { method: "image", element: "IMAGE", isOwned: true };

const TYPES = ["OS", "CD", "DB", "KL", "RD", "CX", "BK", "FS"];
const STATES = ["init", "rdy", "used", "disa", "lock", "err", "clon", "dele", "used", "lock", "lock"];

const TABLE: Table<XmlElement> = {
  columns: [
    { name: "ID", text: "ONE identifier for the Image", size: 4, cell: (one) => textAt(one, "ID") },
    { name: "USER", text: "Username of the Image owner", size: 8, left: true, cell: (one) => textAt(one, "UNAME") },
    { name: "GROUP", text: "Group of the Image", size: 8, left: true, cell: (one) => textAt(one, "GNAME") },
    {
      name: "NAME",
      text: "Name of the image",
      size: 15,
      left: true,
      expands: true,
      cell: (one) => textAt(one, "NAME"),
    },
    { name: "DATASTORE", text: "Name of the Datastore", size: 10, left: true, cell: (one) => textAt(one, "DATASTORE") },
    { name: "SIZE", text: "Size of the image", size: 7, cell: (one) => formatSize(numberAt(one, "SIZE"), "M") },
    {
      name: "TYPE",
      text: "Type of the Image",
      size: 4,
      left: true,
      cell: (one) => TYPES[numberAt(one, "TYPE")] ?? "-",
    },
    {
      name: "PER",
      text: "Whether the Image is persistent or not",
      size: 3,
      cell: (one) => yesNo(textAt(one, "PERSISTENT")),
    },
    {
      name: "STAT",
      text: "State of the Image",
      size: 4,
      left: true,
      cell: (one) => STATES[numberAt(one, "STATE")] ?? "-",
    },
    {
      name: "RVMS",
      text: "Number of VMs currently running from this Image",
      size: 4,
      cell: (one) => textAt(one, "RUNNING_VMS"),
    },
  ],
  shown: ["ID", "USER", "GROUP", "NAME", "DATASTORE", "SIZE", "TYPE", "PER", "STAT", "RVMS"],
};

export function printImage(terminal: Terminal, image: XmlElement): void {
  const page = new Page(terminal, 15);
  page.title(`IMAGE ${textAt(image, "ID")} INFORMATION`);
  page.field("ID", textAt(image, "ID"));
  page.field("NAME", textAt(image, "NAME"));
  page.field("USER", textAt(image, "UNAME"));
  page.field("GROUP", textAt(image, "GNAME"));
  page.field("LOCK", "None");
  page.field("DATASTORE", textAt(image, "DATASTORE"));
  page.field("TYPE", TYPES[numberAt(image, "TYPE")] ?? "-");
  page.field("REGISTER TIME", formatTime(numberAt(image, "REGTIME")));
  page.field("LAST MODIFIED", formatTime(numberAt(image, "MODTIME")));
  page.field("PERSISTENT", yesNo(textAt(image, "PERSISTENT")));
  page.field("SOURCE", textAt(image, "SOURCE"));
  page.field("PATH", textAt(image, "PATH"));
  page.field("FORMAT", textAt(image, "FORMAT"));
  page.field("SIZE", formatSize(numberAt(image, "SIZE"), "M"));
  page.field("STATE", STATES[numberAt(image, "STATE")] ?? "-");
  page.field("RUNNING_VMS", textAt(image, "RUNNING_VMS"));
  page.line();
  page.section("PERMISSIONS");
  for (const whose of ["OWNER", "GROUP", "OTHER"] as const) page.field(whose, formatPermissions(image, whose));
  page.line();
  page.section("IMAGE TEMPLATE");
  page.lines(templateLines(at(image, "TEMPLATE")));
}

/** Options that are attributes of the image. */
const ATTRIBUTES = ["name", "path", "type", "format", "size"] as const;

async function create(context: Context): Promise<void> {
  const { rpc, terminal, options, words } = context;
  const datastore = options.get("datastore");
  if (datastore === undefined)
    throw new CommandFailure("Datastore to save the image is mandatory: \n\t -d datastore_id");
  const given = ATTRIBUTES.flatMap((name) =>
    options.has(name) ? [`${name.toUpperCase()}=${quoted(options.get(name) ?? "")}`] : [],
  );
  if (options.has("persistent")) given.push('PERSISTENT="YES"');
  // A file, or options alone.
  const file = words[0] ?? (given.length === 0 ? "-" : undefined);
  const text = file === undefined ? "" : `${readTemplateFile(file, terminal)}\n`;
  const id = await resolveId(context, DATASTORE, datastore);
  terminal.out(`ID: ${await rpc.write("one.image.allocate", `${text}${given.join("\n")}`, id, false)}\n`);
}

export const IMAGE_PROGRAM: Program = {
  name: "oneimage",
  text: "Images: disks of virtual machines.",
  commands: [
    {
      name: "create",
      words: "[<file>]",
      text: "Registers a new Image: a file that is on the shared datastore already",
      options: [
        { name: "datastore", short: "d", value: "id|name", text: "Selects the datastore" },
        { name: "name", value: "name", text: "Name of the new image" },
        { name: "path", value: "path", text: "Path of the image file, as the hosts see it" },
        { name: "type", value: "type", text: "OS, CDROM, DATABLOCK" },
        { name: "format", value: "format", text: "raw, qcow2" },
        { name: "size", value: "size", text: "Size in MB" },
        { name: "persistent", text: "The image is used itself, not an overlay on it" },
      ],
      example: "oneimage create -d default --name debian --path /var/lib/one/datastores/1/debian.qcow2",
      run: create,
    },
    {
      name: "list",
      words: "[<filterflag>]",
      text: "Lists Images in the pool",
      options: LIST_OPTIONS,
      example: "oneimage list",
      run: (context) => listObjects(context, IMAGE, TABLE),
    },
    {
      name: "show",
      words: "<imageid>",
      text: "Shows information for the given Image",
      options: SHOW_OPTIONS,
      example: "oneimage show debian",
      run: (context) => showObject(context, IMAGE, (image) => printImage(context.terminal, image)),
    },
    {
      name: "delete",
      words: "<ids>",
      text: "Deletes the given Image; its file stays",
      example: "oneimage delete debian",
      run: (context) => forEachObject(context, IMAGE, (id) => context.rpc.write("one.image.delete", id, false)),
    },
  ],
};
