import { isTemplateError, parseTemplate } from "../../one/attributes.ts";
import { hostStateName } from "../../one/host/states.ts";
import { parseXml, type XmlElement } from "../../one/xml.ts";
import type { Command, Context, Program } from "../command.ts";
import { allAt, at, numberAt, textAt } from "../document.ts";
import { CommandFailure } from "../failure.ts";
import { readTemplateFile } from "../files.ts";
import { formatSize, formatTime, templateLines } from "../format.ts";
import {
  forEachObject,
  type Kind,
  LIST_OPTIONS,
  listObjects,
  Page,
  readPool,
  resolveId,
  SHOW_OPTIONS,
  showObject,
} from "../objects.ts";
import { printTable, type Table } from "../table.ts";
import type { Terminal } from "../terminal.ts";
import { vmTable } from "./vm-table.ts";

export const HOST: Kind = { method: "host", element: "HOST", isOwned: false };

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

const TABLE: Table<XmlElement> = {
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

async function show(context: Context): Promise<void> {
  await showObject(context, HOST, async (host) => {
    const id = textAt(host, "ID");
    const pool = parseXml(await readPool(context, { method: "vm", element: "VM", isOwned: true }));
    const onHost = allAt(pool, "", "VM").filter((vm) => {
      const [last] = allAt(vm, "HISTORY_RECORDS", "HISTORY").slice(-1);
      return (
        last !== undefined &&
        textAt(last, "HID") === id &&
        allAt(host, "VMS", "ID").some((one) => one.text === textAt(vm, "ID"))
      );
    });
    printHost(context.terminal, host, onHost);
  });
}

async function create({ rpc, terminal, options, words }: Context): Promise<void> {
  const [im, vm] = [options.get("im"), options.get("vm")];
  if (im === undefined || vm === undefined) {
    throw new CommandFailure(
      "Drivers are mandatory to create a host:\n\t -i information driver\n\t -v hypervisor driver",
    );
  }
  // Read before anything is done: a mistake in the file makes no half host.
  const file = options.get("file") ?? words[1];
  const template = file === undefined ? undefined : readTemplateFile(file, terminal);
  const fault = template === undefined ? undefined : parseTemplate(template);
  if (fault !== undefined && isTemplateError(fault)) throw new CommandFailure(`${file}: ${fault.error}`);
  const cluster = options.get("cluster");
  const clusterId =
    cluster === undefined
      ? -1
      : await resolveId({ rpc }, { method: "cluster", element: "CLUSTER", isOwned: false }, cluster);
  const id = await rpc.write("one.host.allocate", words[0] ?? "", im, vm, clusterId);
  terminal.out(`ID: ${id}\n`);
  if (template === undefined) return;
  try {
    await rpc.write("one.host.update", id, template, 1);
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    throw new CommandFailure(
      `Host ${id} was created without its template: ${error.message}\nonehost update ${id} ${file} --append gives it`,
    );
  }
}

async function update(context: Context): Promise<void> {
  const { rpc, terminal, options, words } = context;
  const id = await resolveId(context, HOST, words[0] ?? "");
  await rpc.write("one.host.update", id, readTemplateFile(words[1] ?? "-", terminal), options.has("append") ? 1 : 0);
}

const status =
  (value: number): Command["run"] =>
  (context) =>
    forEachObject(context, HOST, (id) => context.rpc.write("one.host.status", id, value));

/** `one.host.status`: enable, disable, offline. */
const STATUS = { enable: 0, disable: 1, offline: 2 } as const;

async function flush(context: Context): Promise<void> {
  await forEachObject(context, HOST, async (id) => {
    await context.rpc.write("one.host.status", id, STATUS.disable);
    const host = parseXml(await context.rpc.read("one.host.info", id, false));
    for (const vm of allAt(host, "VMS", "ID")) await context.rpc.write("one.vm.action", "resched", Number(vm.text));
  });
}

export const HOST_PROGRAM: Program = {
  name: "onehost",
  text: "Hosts: the hypervisors that virtual machines run on.",
  commands: [
    {
      name: "create",
      words: "<hostname> [<file>]",
      text: "Creates a new Host. The file is a template with what else is to be known of it, as its FENCE sections.",
      options: [
        { name: "cluster", short: "c", value: "id|name", text: "Selects the cluster" },
        { name: "im", short: "i", value: "im_mad", text: "Set the information driver for the host" },
        { name: "vm", short: "v", value: "vmm_mad", text: "Set the virtualization driver for the host" },
        { name: "file", short: "f", value: "file", text: "Template with FENCE sections; - is standard input" },
      ],
      example: "onehost create hv1.example.org --im kvm --vm kvm -f hv1.fence",
      run: create,
    },
    {
      name: "delete",
      words: "<ids>",
      text: "Deletes the given Host",
      example: "onehost delete 3",
      run: (context) => forEachObject(context, HOST, (id) => context.rpc.write("one.host.delete", id)),
    },
    {
      name: "disable",
      words: "<ids>",
      text: "Disables the given host: it is monitored, the scheduler places nothing on it",
      example: "onehost disable 1,3..5",
      run: status(STATUS.disable),
    },
    {
      name: "enable",
      words: "<ids>",
      text: "Enables the given host, fully operational",
      example: "onehost enable hv1",
      run: status(STATUS.enable),
    },
    {
      name: "offline",
      words: "<ids>",
      text: "Sets the host offline: neither monitored nor used",
      example: "onehost offline hv1",
      run: status(STATUS.offline),
    },
    {
      name: "flush",
      words: "<ids>",
      text: "Disables the host and reschedules all the running VMs in it.",
      example: "onehost flush hv1",
      run: flush,
    },
    {
      name: "list",
      words: "",
      text: "Lists Hosts in the pool.",
      options: LIST_OPTIONS,
      example: "onehost list --csv",
      run: (context) => listObjects(context, HOST, TABLE),
    },
    {
      name: "show",
      words: "<hostid>",
      text: "Shows information for the given Host",
      options: SHOW_OPTIONS,
      example: "onehost show hv1",
      run: show,
    },
    {
      name: "rename",
      words: "<hostid> <name>",
      text: "Renames the Host",
      example: "onehost rename 1 hv1",
      run: async (context) =>
        void (await context.rpc.write(
          "one.host.rename",
          await resolveId(context, HOST, context.words[0] ?? ""),
          context.words[1] ?? "",
        )),
    },
    {
      name: "update",
      words: "<hostid> [<file>]",
      text: "Replaces the template of the Host by that of the file or of standard input.",
      options: [{ name: "append", short: "a", text: "Append new attributes to the current template" }],
      example: "onehost update hv1 hv1.fence --append",
      run: update,
    },
  ],
};
