import { lcmStateName, vmStateName } from "../../one/vm/states.ts";
import type { XmlElement } from "../../one/xml.ts";
import { allAt, at, numberAt, textAt } from "../document.ts";
import {
  formatDate,
  formatDuration,
  formatPermissions,
  formatShortDuration,
  formatSize,
  formatTime,
  templateLines,
} from "../format.ts";
import { Page } from "../objects.ts";
import type { Terminal } from "../terminal.ts";
import { hostOf } from "./vm-table.ts";

/** Prints a virtual machine as `onevm show` does. */
export function printVm(terminal: Terminal, vm: XmlElement): void {
  const page = new Page(terminal, 20, 0);
  page.title(`VIRTUAL MACHINE ${textAt(vm, "ID")} INFORMATION`);
  page.field("ID", textAt(vm, "ID"));
  page.field("NAME", textAt(vm, "NAME"));
  page.field("USER", textAt(vm, "UNAME"));
  page.field("GROUP", textAt(vm, "GNAME"));
  page.field("STATE", vmStateName(numberAt(vm, "STATE")));
  page.field("LCM_STATE", lcmStateName(numberAt(vm, "LCM_STATE")));
  page.field("LOCK", "None");
  page.field("RESCHED", textAt(vm, "RESCHED") === "1" ? "Yes" : "No");
  printPlace(page, vm);
  page.field("START TIME", formatTime(numberAt(vm, "STIME")));
  page.field("END TIME", formatTime(numberAt(vm, "ETIME")));
  page.field("DEPLOY ID", textAt(vm, "DEPLOY_ID") || "-");
  page.line();
  printMonitoring(page, at(vm, "MONITORING"));
  page.line();
  page.line();
  page.section("PERMISSIONS");
  for (const whose of ["OWNER", "GROUP", "OTHER"] as const) page.field(whose, formatPermissions(vm, whose));
  printDisks(page, vm);
  printNics(page, vm);
  printHistory(page, vm, terminal.now() / 1000);
  const user = templateLines(at(vm, "USER_TEMPLATE"));
  if (user.length > 0) {
    page.line();
    page.section("USER TEMPLATE");
    page.lines(user);
  }
  page.line();
  page.section("VIRTUAL MACHINE TEMPLATE");
  page.lines(templateLines(at(vm, "TEMPLATE"), SHOWN_AS_TABLES));
}

/** Attributes of TEMPLATE that have a table of their own. */
const SHOWN_AS_TABLES = ["DISK", "NIC", "NIC_ALIAS", "SNAPSHOT", "SECURITY_GROUP_RULE", "PCI"];

function printPlace(page: Page, vm: XmlElement): void {
  const [last] = allAt(vm, "HISTORY_RECORDS", "HISTORY").slice(-1);
  if (last === undefined || hostOf(vm) === "") return;
  page.field("HOST", textAt(last, "HOSTNAME"));
  page.field("CLUSTER ID", textAt(last, "CID"));
  page.field("CLUSTER", numberAt(last, "CID") === 0 ? "default" : textAt(last, "CID"));
}

const kilobytes = (value: string): string => formatSize(Math.floor(Number(value) / 1024));
const plain = (value: string): string => value;

/** What a sample may hold, in OpenNebula's order. */
const METRICS: readonly (readonly [name: string, show: (value: string) => string])[] = [
  ["CPU", plain],
  ["MEMORY", (value) => formatSize(Number(value))],
  ["NETTX", kilobytes],
  ["NETTX_BW", kilobytes],
  ["NETRX", kilobytes],
  ["NETRX_BW", kilobytes],
  ["DISKRDBYTES", kilobytes],
  ["DISKRDBYTES_BW", kilobytes],
  ["DISKRDIOPS", plain],
  ["DISKRDIOPS_BW", plain],
  ["DISKWRBYTES", kilobytes],
  ["DISKWRBYTES_BW", kilobytes],
  ["DISKWRIOPS_BW", plain],
  ["DISKWRIOPS", plain],
  ["GPU_COUNT", plain],
  ["GPU_UTILIZATION", plain],
  ["GPU_MEMORY_UTILIZATION", plain],
  ["GPU_MEMORY_FREE", plain],
  ["GPU_POWER_USAGE", plain],
];

function printMonitoring(page: Page, sample: XmlElement | undefined): void {
  const value = (name: string): string => (sample === undefined ? "" : textAt(sample, name));
  const time = Number(value("TIMESTAMP")) || 0;
  page.section(`VIRTUAL MACHINE MONITORING [${time === 0 ? "-" : formatDate(time)}]`);
  const line = (cells: readonly string[]): string =>
    cells.map((cell, index) => cell.slice(0, index === 0 ? 20 : 15).padEnd(index === 0 ? 20 : 15)).join(" ");
  page.tableHead(line(["METRIC", "VALUE", "FORECAST", "FORECAST_FAR"]));
  for (const [name, show] of METRICS) {
    page.line(line([name, value(name) === "" ? "-" : show(value(name)), "-", "-"]).trimEnd());
  }
}

function printDisks(page: Page, vm: XmlElement): void {
  const disks = allAt(vm, "TEMPLATE", "DISK");
  const context = at(vm, "TEMPLATE/CONTEXT");
  if (disks.length === 0 && context === undefined) return;
  page.line();
  page.section("VM DISKS");
  page.tableHead(" ID DATASTORE  TARGET IMAGE                               SIZE      TYPE SAVE");
  const line = (cells: readonly [string, string, string, string, string, string, string]): void => {
    const [id, datastore, target, image, size, type, save] = cells;
    page.line(
      `${id.padStart(3)} ${datastore.slice(0, 10).padEnd(10)} ${target.slice(0, 6).padEnd(6)} ${image.slice(0, 35).padEnd(35)} ${size.padEnd(9)} ${type.padEnd(4)} ${save.padStart(4)}`.trimEnd(),
    );
  };
  for (const disk of disks) {
    const mb = numberAt(disk, "SIZE");
    line([
      textAt(disk, "DISK_ID"),
      textAt(disk, "DATASTORE") || "-",
      textAt(disk, "TARGET") || "-",
      textAt(disk, "IMAGE") || textAt(disk, "SOURCE") || "-",
      `-/${mb === 0 ? "-" : formatSize(mb, "M")}`,
      (textAt(disk, "TYPE") || "file").toLowerCase(),
      textAt(disk, "SAVE") === "YES" || textAt(disk, "PERSISTENT") === "YES" ? "YES" : "NO",
    ]);
  }
  if (context !== undefined)
    line([textAt(context, "DISK_ID"), "-", textAt(context, "TARGET"), "CONTEXT", "-/-", "-", "-"]);
}

function printNics(page: Page, vm: XmlElement): void {
  const nics = allAt(vm, "TEMPLATE", "NIC");
  if (nics.length === 0) return;
  page.line();
  page.section("VM NICS");
  page.tableHead(" ID NETWORK              BRIDGE       IP              MAC               PCI_ID  ");
  nics.forEach((nic, index) => {
    const cells = [
      (textAt(nic, "NIC_ID") || String(index)).padStart(3),
      (textAt(nic, "NETWORK") || "-").slice(0, 20).padEnd(20),
      (textAt(nic, "BRIDGE") || "-").slice(0, 12).padEnd(12),
      (textAt(nic, "IP") || "-").padEnd(15),
      textAt(nic, "MAC").padEnd(17),
      textAt(nic, "PCI_ID"),
    ];
    page.line(cells.join(" ").trimEnd());
  });
}

/** OpenNebula's numbers of history actions; later ones are shown as numbers. */
const ACTIONS: readonly string[] = [
  ...["none", "migrate", "live-migrate", "shutdown", "shutdown-hard", "undeploy", "undeploy-hard", "hold", "release"],
  ...[
    "stop",
    "suspend",
    "resume",
    "boot",
    "delete",
    "delete-recreate",
    "reboot",
    "reboot-hard",
    "resched",
    "unresched",
  ],
  ...["poweroff", "poweroff-hard"],
];

function printHistory(page: Page, vm: XmlElement, now: number): void {
  const records = allAt(vm, "HISTORY_RECORDS", "HISTORY");
  if (records.length === 0) return;
  page.line();
  page.section("VIRTUAL MACHINE HISTORY");
  page.tableHead("SEQ UID  REQ   HOST         ACTION       DS           START        TIME     PROLOG");
  for (const record of records) {
    const start = numberAt(record, "STIME");
    const prologStart = numberAt(record, "PSTIME");
    const prolog = prologStart === 0 ? 0 : (numberAt(record, "PETIME") || now) - prologStart;
    const cells = [
      textAt(record, "SEQ").padStart(3),
      idOrDash(record, "UID", 4),
      idOrDash(record, "REQUEST_ID", 5),
      textAt(record, "HOSTNAME").slice(0, 12).padEnd(12),
      (ACTIONS[numberAt(record, "ACTION")] ?? textAt(record, "ACTION")).slice(0, 12).padEnd(12),
      textAt(record, "DS_ID").padStart(2),
      formatTime(start).padStart(15),
      formatDuration((numberAt(record, "ETIME") || now) - start).padStart(11),
      formatShortDuration(prolog).padStart(10),
    ];
    page.line(cells.join(" "));
  }
}

/** Who asked for it; −1 is nobody. */
function idOrDash(record: XmlElement, name: string, width: number): string {
  const id = textAt(record, name);
  return (id === "" || id === "-1" ? "-" : id).slice(0, width).padEnd(width);
}
