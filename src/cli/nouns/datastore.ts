import type { XmlElement } from "../../one/xml.ts";
import type { Program } from "../command.ts";
import { allAt, at, numberAt, textAt } from "../document.ts";
import { formatPermissions, formatSize, templateLines } from "../format.ts";
import { type Kind, LIST_OPTIONS, listObjects, Page, SHOW_OPTIONS, showObject } from "../objects.ts";
import type { Table } from "../table.ts";
import type { Terminal } from "../terminal.ts";

export const DATASTORE: Kind = { method: "datastore", element: "DATASTORE", isOwned: true };

const TYPES = ["IMAGE", "SYSTEM", "FILE", "BACKUP"];
const SHORT_TYPES = ["img", "sys", "fil", "bck"];
const DISK_TYPES = ["FILE", "CD_ROM", "BLOCK", "RBD"];

const megabytes = (value: number): string => (value === 0 ? "-" : formatSize(value, "M"));
const ids = (datastore: XmlElement, name: string): readonly string[] =>
  allAt(datastore, name, "ID").map((one) => one.text);

function available(datastore: XmlElement): string {
  const total = numberAt(datastore, "TOTAL_MB");
  return total === 0 ? "-" : `${Math.round((numberAt(datastore, "FREE_MB") * 100) / total)}%`;
}

const TABLE: Table<XmlElement> = {
  columns: [
    { name: "ID", text: "ONE identifier for the Datastore", size: 4, cell: (one) => textAt(one, "ID") },
    { name: "USER", text: "Username of the Datastore owner", size: 8, left: true, cell: (one) => textAt(one, "UNAME") },
    { name: "GROUP", text: "Group of the Datastore", size: 8, left: true, cell: (one) => textAt(one, "GNAME") },
    {
      name: "NAME",
      text: "Name of the Datastore",
      size: 11,
      left: true,
      expands: true,
      cell: (one) => textAt(one, "NAME"),
    },
    { name: "SIZE", text: "Datastore total size", size: 5, cell: (one) => megabytes(numberAt(one, "TOTAL_MB")) },
    { name: "AVAIL", text: "Datastore free size", size: 3, left: true, cell: available },
    { name: "CLUSTERS", text: "Cluster IDs", size: 8, left: true, cell: (one) => ids(one, "CLUSTERS").join(",") },
    { name: "IMAGES", text: "Number of Images", size: 6, cell: (one) => String(ids(one, "IMAGES").length) },
    {
      name: "TYPE",
      text: "Datastore type",
      size: 4,
      left: true,
      cell: (one) => SHORT_TYPES[numberAt(one, "TYPE")] ?? "-",
    },
    { name: "DS", text: "Datastore driver", size: 7, left: true, cell: (one) => textAt(one, "DS_MAD") || "-" },
    { name: "TM", text: "Transfer driver", size: 7, left: true, cell: (one) => textAt(one, "TM_MAD") },
    {
      name: "STAT",
      text: "State of the Datastore",
      size: 4,
      left: true,
      cell: (one) => (textAt(one, "STATE") === "0" ? "on" : "off"),
    },
  ],
  shown: ["ID", "NAME", "SIZE", "AVAIL", "CLUSTERS", "IMAGES", "TYPE", "DS", "TM", "STAT"],
};

export function printDatastore(terminal: Terminal, datastore: XmlElement): void {
  const page = new Page(terminal, 15);
  page.title(`DATASTORE ${textAt(datastore, "ID")} INFORMATION`);
  page.field("ID", textAt(datastore, "ID"));
  page.field("NAME", textAt(datastore, "NAME"));
  page.field("USER", textAt(datastore, "UNAME"));
  page.field("GROUP", textAt(datastore, "GNAME"));
  page.field("CLUSTERS", ids(datastore, "CLUSTERS").join(","));
  page.field("TYPE", TYPES[numberAt(datastore, "TYPE")] ?? "-");
  page.field("DS_MAD", textAt(datastore, "DS_MAD") || "-");
  page.field("TM_MAD", textAt(datastore, "TM_MAD"));
  page.field("BASE PATH", textAt(datastore, "BASE_PATH"));
  page.field("DISK_TYPE", DISK_TYPES[numberAt(datastore, "DISK_TYPE")] ?? "-");
  page.field("STATE", textAt(datastore, "STATE") === "0" ? "READY" : "DISABLED");
  page.line();
  page.section("DATASTORE CAPACITY");
  page.field("TOTAL:", megabytes(numberAt(datastore, "TOTAL_MB")));
  page.field("FREE:", megabytes(numberAt(datastore, "FREE_MB")));
  page.field("USED:", megabytes(numberAt(datastore, "USED_MB")));
  page.field("LIMIT:", megabytes(numberAt(datastore, "TEMPLATE/LIMIT_MB")));
  page.line();
  page.section("PERMISSIONS");
  for (const whose of ["OWNER", "GROUP", "OTHER"] as const) page.field(whose, formatPermissions(datastore, whose));
  page.line();
  page.section("DATASTORE TEMPLATE");
  page.lines(templateLines(at(datastore, "TEMPLATE")));
  page.line();
  page.section("IMAGES", 15);
  for (const id of ids(datastore, "IMAGES")) page.line(id.padEnd(15));
}

export const DATASTORE_PROGRAM: Program = {
  name: "onedatastore",
  text: "Datastores: directories that all hosts see.",
  commands: [
    {
      name: "list",
      words: "[<filterflag>]",
      text: "Lists Datastores in the pool",
      options: LIST_OPTIONS,
      example: "onedatastore list",
      run: (context) => listObjects(context, DATASTORE, TABLE),
    },
    {
      name: "show",
      words: "<datastoreid>",
      text: "Shows information for the given Datastore",
      options: SHOW_OPTIONS,
      example: "onedatastore show default",
      run: (context) => showObject(context, DATASTORE, (datastore) => printDatastore(context.terminal, datastore)),
    },
  ],
};
