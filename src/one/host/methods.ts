import { first, int, type Method, type ReadCommand } from "../method.ts";
import { authorize, ID, infoCommand, plainPoolCommand } from "../object.ts";
import { noSuch } from "../refusal.ts";
import { allocateHost, deleteHost, renameHost, setHostStatus, updateHost } from "./commands.ts";
import { HOST, HOST_XML_OPEN } from "./kind.ts";

/** `one.host.info(id)`: the row, and the newest sample that this box has. */
const hostInfo: ReadCommand = {
  ...infoCommand({ ...HOST, xml: HOST_XML_OPEN }),
  answer: (rows, args, caller, samples) => {
    const row = first<{ readonly id: number; readonly xml: string }>(rows, 0);
    if (row === undefined) return noSuch("host", int(args, 0));
    return (
      authorize(caller, ["USE", { type: "HOST", id: row.id }]) ??
      `${row.xml}${samples.host(row.id, 1) || "<MONITORING></MONITORING>"}</HOST>`
    );
  },
};

/** Samples kept in memory reach back minutes; this is as many as one answer gives. */
const SAMPLES_MAX = 1024;

/** `one.host.monitoring(id)`: what this box has seen of it. */
const hostMonitoring: ReadCommand = {
  kind: "read",
  reads: (args) => [{ sql: "SELECT id FROM host WHERE id=?", values: [int(args, 0)] }],
  answer: (rows, args, caller, samples) => {
    if (first(rows, 0) === undefined) return noSuch("host", int(args, 0));
    return (
      authorize(caller, ["USE", { type: "HOST", id: int(args, 0) }]) ??
      `<MONITORING_DATA>${samples.host(int(args, 0), SAMPLES_MAX)}</MONITORING_DATA>`
    );
  },
};

const TEXT = (name: string): { readonly name: string; readonly type: "string" } => ({ name, type: "string" });

export const HOST_METHODS: readonly Method[] = [
  {
    name: "one.host.allocate",
    parameters: [TEXT("name"), TEXT("im_mad"), TEXT("vm_mad"), { name: "cluster", type: "int", default: -1 }],
    command: allocateHost,
  },
  {
    name: "one.host.update",
    parameters: [ID, TEXT("template"), { name: "append", type: "int", default: 0 }],
    command: updateHost,
  },
  { name: "one.host.delete", parameters: [ID], command: deleteHost },
  { name: "one.host.rename", parameters: [ID, TEXT("name")], command: renameHost },
  { name: "one.host.status", parameters: [ID, { name: "status", type: "int" }], command: setHostStatus },
  {
    name: "one.host.info",
    parameters: [ID, { name: "decrypt", type: "boolean", default: false }],
    command: hostInfo,
  },
  { name: "one.host.monitoring", parameters: [ID], command: hostMonitoring },
  { name: "one.hostpool.info", parameters: [], command: plainPoolCommand(HOST) },
];
