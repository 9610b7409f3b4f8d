import { hostStateName } from "../../one/host/states.ts";
import type { XmlElement } from "../../one/xml.ts";
import { at, numberAt, textAt } from "../document.ts";
import { formatSize, formatTime, templateLines } from "../format.ts";
import { Page } from "../objects.ts";
import { printTable, type Table } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { vmTable } from "./vm-table.ts";

const SHORT_STATES: Readonly<Record<number, string>> = {
  0: "init",
  1: "update",
  2: "on",
  3: "err",
  4: "dsbl",
  5: "retry",
  6: "init",
  7: "dsbl",
  8: "off",
};

/** `512M / 16G (3%)`, or `-` before the host was heard. */
function ofTotal(used: number, total: number, show: (value: number) => string): string {
  return total === 0 ? "-" : `${show(used)} / ${show(total)} (${Math.round((used * 100) / total)}%)`;
}

const share = (host: XmlElement, name: string): number => numberAt(host, `HOST_SHARE/${name}`);
const capacity = (host: XmlElement, name: string): number => numberAt(host, `MONITORING/CAPACITY/${name}`);
const MAX_CPU = "MAX_CPU";
const MAX_MEM = "MAX_MEM";

/** The columns of `onehost list`. */
export const HOST_TABLE: Table<XmlElement> = {
  columns: [
    { name: "ID", text: "ONE identifier for Host", size: 4, cell: (host) => textAt(host, "ID") },
    {
      name: "NAME",
      text: "Name of the Host",
      size: 15,
      left: true,
      expands: true,
      cell: (host) => textAt(host, "NAME"),
    },
    { name: "CLUSTER", text: "Name of the Cluster", size: 10, left: true, cell: (host) => textAt(host, "CLUSTER") },
    {
      name: "TVM",
      text: "Total Virtual Machines allocated to the Host",
      size: 3,
      cell: (host) => textAt(host, "HOST_SHARE/RUNNING_VMS"),
    },
    {
      name: "ZVM",
      text: "Number of Virtual Machine zombies",
      size: 3,
      cell: (host) => textAt(host, "TEMPLATE/TOTAL_ZOMBIES") || "0",
    },
    { name: "TCPU", text: "Total CPU percentage", size: 5, cell: (host) => String(share(host, MAX_CPU)) },
    { name: "FCPU", text: "Free CPU percentage", size: 5, cell: (host) => String(capacity(host, "FREE_CPU")) },
    {
      name: "ACPU",
      text: "Available cpu percentage (not reserved by VMs)",
      size: 5,
      cell: (host) => String(share(host, MAX_CPU) - share(host, "CPU_USAGE")),
    },
    { name: "TMEM", text: "Total Memory", size: 8, cell: (host) => formatSize(share(host, MAX_MEM)) },
    { name: "FMEM", text: "Free Memory", size: 8, cell: (host) => formatSize(capacity(host, "FREE_MEMORY")) },
    {
      name: "AMEM",
      text: "Available Memory (not reserved by VMs)",
      size: 8,
      cell: (host) => formatSize(share(host, MAX_MEM) - share(host, "MEM_USAGE")),
    },
    {
      name: "REAL_CPU",
      text: "Real CPU",
      size: 18,
      cell: (host) => ofTotal(capacity(host, "USED_CPU"), share(host, MAX_CPU), String),
    },
    {
      name: "ALLOCATED_CPU",
      text: "Allocated CPU)",
      size: 18,
      cell: (host) => ofTotal(share(host, "CPU_USAGE"), share(host, MAX_CPU), String),
    },
    {
      name: "REAL_MEM",
      text: "Real MEM",
      size: 18,
      cell: (host) => ofTotal(capacity(host, "USED_MEMORY"), share(host, MAX_MEM), formatSize),
    },
    {
      name: "ALLOCATED_MEM",
      text: "Allocated MEM",
      size: 18,
      cell: (host) => ofTotal(share(host, "MEM_USAGE"), share(host, MAX_MEM), formatSize),
    },
    {
      name: "STAT",
      text: "Host status",
      size: 4,
      left: true,
      cell: (host) => SHORT_STATES[numberAt(host, "STATE")] ?? textAt(host, "STATE"),
    },
  ],
  shown: ["ID", "NAME", "CLUSTER", "TVM", "ALLOCATED_CPU", "ALLOCATED_MEM", "STAT"],
};

/** Prints a host and the VMs that are on it. */
export function printHost(terminal: Terminal, host: XmlElement, vms: readonly XmlElement[]): void {
  const page = new Page(terminal, 22);
  page.title(`HOST ${textAt(host, "ID")} INFORMATION`);
  page.field("ID", textAt(host, "ID"));
  page.field("NAME", textAt(host, "NAME"));
  page.field("CLUSTER", textAt(host, "CLUSTER"));
  page.field("STATE", hostStateName(numberAt(host, "STATE")));
  printFencing(page, host);
  page.field("IM_MAD", textAt(host, "IM_MAD"));
  page.field("VM_MAD", textAt(host, "VM_MAD"));
  page.field("LAST MONITORING TIME", formatTime(numberAt(host, "MONITORING/TIMESTAMP")));
  page.line();
  page.section("HOST SHARES");
  page.field("RUNNING VMS", textAt(host, "HOST_SHARE/RUNNING_VMS"));
  page.section("MEMORY");
  page.field("  TOTAL", formatSize(share(host, "TOTAL_MEM")));
  page.field("  TOTAL +/- RESERVED", formatSize(share(host, MAX_MEM)));
  page.field("  USED (REAL)", formatSize(capacity(host, "USED_MEMORY")));
  page.field("  USED (ALLOCATED)", formatSize(share(host, "MEM_USAGE")));
  page.section("CPU");
  page.field("  TOTAL", textAt(host, "HOST_SHARE/TOTAL_CPU"));
  page.field("  TOTAL +/- RESERVED", textAt(host, "HOST_SHARE/MAX_CPU"));
  page.field("  USED (REAL)", textAt(host, "MONITORING/CAPACITY/USED_CPU"));
  page.field("  USED (ALLOCATED)", textAt(host, "HOST_SHARE/CPU_USAGE"));
  page.line();
  page.section("MONITORING INFORMATION");
  page.lines(templateLines(at(host, "TEMPLATE")));
  page.line();
  page.section("WILD VIRTUAL MACHINES", 0);
  page.line();
  page.tableHead(`${"NAME".padEnd(54)} ${"DEPLOY_ID".padStart(12)} ${"CPU".padStart(4)} ${"MEMORY".padStart(10)}`);
  page.line();
  page.section("VIRTUAL MACHINES", 0);
  page.line();
  printTable({ ...terminal, columns: 0 }, vmTable(terminal), vms, new Map());
}

/** `HELD: no proof that it is off` as two lines; none while all is well. */
function printFencing(page: Page, host: XmlElement): void {
  const note = textAt(host, "TEMPLATE/FENCE_STATE");
  if (note === "") return;
  const colon = note.indexOf(": ");
  page.field("FENCE_STATE", colon === -1 ? note : note.slice(0, colon));
  if (colon !== -1) page.field("FENCE_REASON", note.slice(colon + 2));
}
