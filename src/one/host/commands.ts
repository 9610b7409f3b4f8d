import { type Attributes, mergeAttributes, parseStored, renderTemplate } from "../attributes.ts";
import { statement, type Transition, versionGuard } from "../change.ts";
import { first, int, newId, type Plan, plan, text, type WriteCommand } from "../method.ts";
import { authorize, nameFault, takeId, takenId } from "../object.ts";
import { type Addressed, objectCommand, renameCommand, updateCommand, updateFault } from "../object-command.ts";
import { CODE, cannotAllocate, noSuch, type Refusal, refusal } from "../refusal.ts";
import { type FenceSections, sealFence } from "./fence-sections.ts";
import { HOST } from "./kind.ts";
import { reservedCapacity } from "./reserved.ts";
import { type HostRow, hostById } from "./row.ts";
import { shownTemplate } from "./shown.ts";
import { hostDisabled, hostEnabled, hostOffline } from "./transitions.ts";

/** The drivers there are: libvirt with KVM, or with plain QEMU where there is no KVM. */
const DRIVERS: readonly string[] = ["kvm", "qemu"];

/** Attributes that are not the user's: they are shown, and a client that edits what it was shown sends them back. */
const SHOWN_ONLY: readonly string[] = ["IM_MAD", "VM_MAD", "ERROR", "FENCE_STATE"];

const HOSTS: Addressed<HostRow> = {
  kind: HOST,
  byId: hostById,
  resource: (row) => ({ type: "HOST", id: row.id, clusterId: row.cluster_id }),
};

/** `one.host.allocate(name, im_mad, vm_mad, cluster)` → id. */
export const allocateHost: WriteCommand = {
  kind: "write",
  result: newId,
  reads: (args) => [
    { sql: "SELECT id FROM host WHERE name=?", values: [text(args, 0)] },
    { sql: "SELECT id FROM cluster WHERE id=?", values: [clusterId(int(args, 3))] },
  ],
  plan: (rows, args, caller) => {
    const [name, imMad, vmMad, cluster] = [text(args, 0), text(args, 1), text(args, 2), clusterId(int(args, 3))];
    const denied = authorize(caller, ["CREATE", { type: "HOST" }], ["ADMIN", { type: "CLUSTER", id: cluster }]);
    if (denied !== undefined) return denied;
    if (first(rows, 1) === undefined) return noSuch("cluster", cluster);
    const taken = first<{ readonly id: number }>(rows, 0);
    const fault =
      nameFault(name) ??
      driverFault("IM_MAD", imMad) ??
      driverFault("VM_MAD", vmMad) ??
      (taken && `NAME is already taken by HOST ${taken.id}.`);
    if (fault !== undefined) return cannotAllocate("host", fault);
    const shown = shownTemplate({ im_mad: imMad, vm_mad: vmMad, template: "", facts: "" });
    return plan({
      guards: [],
      statements: [
        takeId("host"),
        statement(
          `INSERT INTO host(id,name,im_mad,vm_mad,cluster_id,shown) VALUES(${takenId("host")},?,?,?,?,?)`,
          name,
          imMad,
          vmMad,
          cluster,
          shown,
        ),
      ],
      tags: ["host"],
    });
  },
};

/** `one.host.update(id, template, 0 replace | 1 append)` → id. Passwords of FENCE are sealed before the entry is built. */
export const updateHost = updateCommand(HOSTS, SHOWN_ONLY, (row, { attributes, append }, { seal }) => {
  const own = ownAttributes(attributes, row);
  const merged = append ? mergeAttributes(parseStored(row.template), own) : own;
  const sealed = sealFence(merged, JSON.parse(row.fence) as FenceSections, seal);
  if ("fault" in sealed) return updateFault(sealed.fault, row.id);
  const reserved = reservedCapacity(sealed.shown, row.total_cpu, row.total_mem);
  if (reserved === undefined) return updateFault("RESERVED_CPU and RESERVED_MEM take a number or N%", row.id);
  const template = renderTemplate(sealed.shown);
  return plan({
    guards: [versionGuard("host", row)],
    statements: [
      statement(
        "UPDATE host SET version=version+1,template=?,shown=?,fence=?,reserved_cpu=?,reserved_mem=? WHERE id=?",
        template,
        shownTemplate({ ...row, template }),
        JSON.stringify(sealed.sections),
        reserved.cpu,
        reserved.mem,
        row.id,
      ),
    ],
    tags: [`host:${row.id}`, `host-template:${row.id}`],
  });
});

/** `one.host.delete(id)` → id. */
export const deleteHost = objectCommand(HOSTS, {
  right: "ADMIN",
  plan: (row) => {
    if (row.running_vms > 0) return refusal(CODE.action, "Can not remove a host with running VMs", row.id);
    if (row.fence_note !== "") {
      return refusal(CODE.action, `Can not remove a host that is being fenced: ${row.fence_note}`, row.id);
    }
    return plan({
      guards: [
        versionGuard("host", row),
        {
          sql: "SELECT running_vms,fence_note FROM host WHERE id=?",
          values: [row.id],
          expect: [[0, ""]],
          why: `host ${row.id} has running VMs or is being fenced`,
        },
      ],
      statements: [statement("DELETE FROM host WHERE id=?", row.id)],
      tags: ["host", `host:${row.id}`],
    });
  },
});

/** `one.host.rename(id, name)` → id. */
export const renameHost = renameCommand(HOSTS, "ADMIN", (name, id) => ({
  sql: "SELECT id FROM host WHERE name=? AND id<>?",
  values: [name, id],
}));

/** `one.host.status(id, 0 enable | 1 disable | 2 offline)` → id. */
export const setHostStatus = objectCommand(HOSTS, {
  right: "ADMIN",
  plan: (row, args) => {
    const move = STATUS[int(args, 1)];
    if (move === undefined) return refusal(CODE.action, `Wrong status code [${int(args, 1)}]`, row.id);
    return planOf(move(row), row.id);
  },
});

const STATUS: Readonly<Record<number, (host: HostRow) => Transition>> = {
  0: hostEnabled,
  1: hostDisabled,
  2: hostOffline,
};

/** A transition as a plan that gives the object's id, or the refusal that it is not legal now. */
function planOf(transition: Transition, id: number): Plan | Refusal {
  return transition.ok ? plan(transition.change) : refusal(CODE.action, transition.why, id);
}

/** Without what the host tells about itself, as far as it comes back unchanged. */
function ownAttributes(attributes: Attributes, row: HostRow): Attributes {
  const facts = parseStored(row.facts);
  return attributes.filter(
    ({ name, value }) =>
      !((name === "RESERVED_CPU" || name === "RESERVED_MEM") && value === "") &&
      !facts.some((fact) => fact.name === name && JSON.stringify(fact.value) === JSON.stringify(value)),
  );
}

function driverFault(name: string, driver: string): string | undefined {
  return DRIVERS.includes(driver) ? undefined : `${name} "${driver}" is not one of ${DRIVERS.join(", ")}`;
}

/** −1 is the default cluster. */
function clusterId(id: number): number {
  return id === -1 ? 0 : id;
}
