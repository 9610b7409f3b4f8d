import { first, int, type Method, type Parameter, type ReadCommand } from "../method.ts";
import { authorize, ID, ownedPoolCommand, POOL_PARAMETERS, type PoolFilter, resourceOf } from "../object.ts";
import { noSuch } from "../refusal.ts";
import { actOnVm, deployVm, recoverVm, renameVm, updateVm } from "./commands.ts";
import { allocateVm } from "./create.ts";
import { VM, VM_SHORT_XML, VM_XML_HEAD, VM_XML_TAIL } from "./kind.ts";

interface HalvesRow {
  readonly id: number;
  readonly uid: number;
  readonly gid: number;
  readonly permissions: number;
  readonly head: string;
  readonly tail: string;
}

/** `one.vm.info(id)`: the row, and the newest sample that this box has. */
const vmInfo: ReadCommand = {
  kind: "read",
  reads: (args) => [
    {
      sql: `SELECT id,uid,gid,permissions,${VM_XML_HEAD} AS head,${VM_XML_TAIL} AS tail FROM vm WHERE id=?`,
      values: [int(args, 0)],
    },
  ],
  answer: (rows, args, caller, samples) => {
    const row = first<HalvesRow>(rows, 0);
    if (row === undefined) return noSuch(VM.noun, int(args, 0));
    return (
      authorize(caller, ["USE", resourceOf(VM, row)]) ??
      `${row.head}${samples.vm(row.id, 1) || "<MONITORING></MONITORING>"}${row.tail}`
    );
  },
};

/** −2 any state, −1 (the default) any but DONE, else that state. */
function inState(state: number): PoolFilter {
  if (state === -2) return { where: "1", values: [] };
  return state === -1 ? { where: "state<>6", values: [] } : { where: "state=?", values: [state] };
}

const VM_POOL_PARAMETERS: readonly Parameter[] = [...POOL_PARAMETERS, { name: "state", type: "int", default: -1 }];
const TEMPLATE: Parameter = { name: "template", type: "string" };

export const VM_METHODS: readonly Method[] = [
  {
    name: "one.vm.allocate",
    parameters: [TEMPLATE, { name: "hold", type: "boolean", default: false }],
    command: allocateVm,
  },
  {
    name: "one.vm.deploy",
    parameters: [
      ID,
      { name: "host", type: "int" },
      { name: "enforce", type: "boolean", default: false },
      { name: "datastore", type: "int", default: -1 },
    ],
    command: deployVm,
  },
  { name: "one.vm.action", parameters: [{ name: "action", type: "string" }, ID], command: actOnVm },
  { name: "one.vm.recover", parameters: [ID, { name: "operation", type: "int" }], command: recoverVm },
  {
    name: "one.vm.update",
    parameters: [ID, TEMPLATE, { name: "append", type: "int", default: 0 }],
    command: updateVm,
  },
  { name: "one.vm.rename", parameters: [ID, { name: "name", type: "string" }], command: renameVm },
  {
    name: "one.vm.info",
    parameters: [ID, { name: "decrypt", type: "boolean", default: false }],
    command: vmInfo,
  },
  {
    name: "one.vmpool.info",
    parameters: VM_POOL_PARAMETERS,
    command: ownedPoolCommand(VM, VM_SHORT_XML, (args) => inState(int(args, 3))),
  },
  {
    name: "one.vmpool.infoextended",
    parameters: VM_POOL_PARAMETERS,
    command: ownedPoolCommand(VM, VM.xml, (args) => inState(int(args, 3))),
  },
];
