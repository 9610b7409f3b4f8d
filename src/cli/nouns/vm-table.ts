import { VM_STATE } from "../../one/vm/states.ts";
import type { XmlElement } from "../../one/xml.ts";
import { allAt, numberAt, textAt } from "../document.ts";
import { formatDuration, formatSize } from "../format.ts";
import type { Table } from "../table.ts";
import type { Terminal } from "../terminal.ts";

const STATES: readonly string[] = [
  "init",
  "pend",
  "hold",
  "actv",
  "stop",
  "susp",
  "done",
  "fail",
  "poff",
  "unde",
  "clon",
  "fail",
];

/** The part of ACTIVE; what is not named here is shown as `actv`. */
const LCM_STATES: Readonly<Record<number, string>> = {
  0: "init",
  1: "prol",
  2: "boot",
  3: "runn",
  4: "migr",
  5: "save",
  6: "save",
  7: "save",
  8: "migr",
  9: "prol",
  10: "epil",
  11: "epil",
  12: "shut",
  15: "clea",
  16: "unkn",
  17: "hotp",
  18: "shut",
  19: "boot",
  20: "boot",
  21: "boot",
  22: "boot",
  23: "clea",
  35: "boot",
  36: "fail",
  60: "migr",
};

/** States in which a VM is on a host, or was and will be there again. */
const ON_HOST: readonly number[] = [VM_STATE.active, VM_STATE.suspended, VM_STATE.poweroff];

function shortState(vm: XmlElement): string {
  const state = numberAt(vm, "STATE");
  if (state === VM_STATE.active) return LCM_STATES[numberAt(vm, "LCM_STATE")] ?? "actv";
  return STATES[state] ?? String(state);
}

/** The host of the last history record; "" while the VM has none. */
export function hostOf(vm: XmlElement): string {
  const [last] = allAt(vm, "HISTORY_RECORDS", "HISTORY").slice(-1);
  return last !== undefined && ON_HOST.includes(numberAt(vm, "STATE")) ? textAt(last, "HOSTNAME") : "";
}

/** The columns of `onevm list`, also at the end of `onehost show`. */
export function vmTable(terminal: Pick<Terminal, "now">): Table<XmlElement> {
  const age = (vm: XmlElement): number => (numberAt(vm, "ETIME") || terminal.now() / 1000) - numberAt(vm, "STIME");
  return {
    columns: [
      { name: "ID", text: "ONE identifier for Virtual Machine", size: 4, cell: (vm) => textAt(vm, "ID") },
      {
        name: "USER",
        text: "Username of the Virtual Machine owner",
        size: 8,
        left: true,
        cell: (vm) => textAt(vm, "UNAME"),
      },
      { name: "GROUP", text: "Group of the Virtual Machine", size: 8, left: true, cell: (vm) => textAt(vm, "GNAME") },
      {
        name: "NAME",
        text: "Name of the Virtual Machine",
        size: 15,
        left: true,
        expands: true,
        cell: (vm) => textAt(vm, "NAME"),
      },
      { name: "STAT", text: "Actual status", size: 4, cell: shortState },
      { name: "CPU", text: "CPU asked for", size: 4, cell: (vm) => textAt(vm, "TEMPLATE/CPU") },
      {
        name: "MEM",
        text: "Memory asked for",
        size: 7,
        cell: (vm) => formatSize(numberAt(vm, "TEMPLATE/MEMORY"), "M"),
      },
      { name: "HOST", text: "Host where the VM is running", size: 10, left: true, expands: true, cell: hostOf },
      { name: "TIME", text: "Time since the VM was submitted", size: 10, cell: (vm) => formatDuration(age(vm)) },
      {
        name: "RESCHED",
        text: "Rescheduling asked for",
        size: 7,
        cell: (vm) => (textAt(vm, "RESCHED") === "1" ? "yes" : "no"),
      },
    ],
    shown: ["ID", "USER", "GROUP", "NAME", "STAT", "CPU", "MEM", "HOST", "TIME"],
  };
}
