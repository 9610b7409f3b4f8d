import type { Operation } from "../caller.ts";
import { statement, type Transition, versionGuard } from "../change.ts";
import { type HostRow, hostById } from "../host/row.ts";
import { type Context, first, flag, int, type Plan, plan, sameId, text, type WriteCommand } from "../method.ts";
import { authorize, resourceOf } from "../object.ts";
import { type Addressed, objectCommand, renameCommand, updateCommand, updated } from "../object-command.ts";
import { CODE, noSuch, type Refusal, refusal } from "../refusal.ts";
import { VM } from "./kind.ts";
import { vmPhaseName } from "./phases.ts";
import { type VmRow, vmById } from "./row.ts";
import { LCM_STATE, VM_STATE } from "./states.ts";
import {
  bootFailed,
  held,
  placed,
  poweredOff,
  poweringOff,
  recreating,
  released,
  requeued,
  resched,
  restarted,
  running,
  stopFailed,
  terminated,
  terminating,
} from "./transitions.ts";

type Step = (vm: VmRow, now: number) => Transition;

/** Where a VM has no host there is nothing to take down: the end comes at once. Where it has one, its driver ends it first. */
const end =
  (hard: boolean): Step =>
  (vm, now) =>
    vm.host_id === null
      ? terminated(vm, now)
      : hard || vm.lcm_state !== LCM_STATE.boot
        ? terminating(vm, hard)
        : notNow(vm);

/** Back to the queue. A VM with a host keeps it until its domain is proven gone there, whatever its state says (P3). */
const again =
  (freshDisks: boolean): Step =>
  (vm, now) =>
    vm.host_id === null ? requeued(vm, freshDisks, now) : recreating(vm, freshDisks);

const VMS: Addressed<VmRow> = { kind: VM, byId: vmById, resource: (vm) => resourceOf(VM, vm) };

/** `one.vm.action`: each verb, the right that it needs and its step. */
const ACTIONS: Readonly<Record<string, readonly [Operation, Step]>> = {
  terminate: ["MANAGE", end(false)],
  "terminate-hard": ["MANAGE", end(true)],
  poweroff: ["MANAGE", (vm) => poweringOff(vm, false)],
  "poweroff-hard": ["MANAGE", (vm) => poweringOff(vm, true)],
  resume: ["MANAGE", (vm) => (isStill(vm, VM_STATE.poweroff) || isUnknown(vm) ? restarted(vm) : notNow(vm))],
  hold: ["MANAGE", held],
  release: ["MANAGE", released],
  resched: ["ADMIN", (vm) => resched(vm, true)],
  unresched: ["ADMIN", (vm) => resched(vm, false)],
  "delete-recreate": ["MANAGE", again(true)],
  resubmit: ["MANAGE", again(false)],
};

/** OpenNebula's verbs that this version does not do; named, so that the text is no riddle. */
const NOT_YET: readonly string[] = ["suspend", "stop", "undeploy", "undeploy-hard", "reboot", "reboot-hard"];

/** `one.vm.action(action, id)` → id. */
export const actOnVm: WriteCommand = {
  kind: "write",
  result: (args) => int(args, 1),
  key: (args) => `vm:${int(args, 1)}`,
  reads: (args) => [vmById(int(args, 1))],
  plan: (rows, args, caller, { now }) => {
    const vm = first<VmRow>(rows, 0);
    const name = text(args, 0);
    const id = int(args, 1);
    const fault = (why: string): Refusal => refusal(CODE.action, `Error performing action "${name}": ${why}`, id);
    const action = ACTIONS[name];
    if (vm === undefined) return noSuch(VM.noun, id);
    if (action === undefined && !NOT_YET.includes(name)) return fault("This action is not supported");
    const [operation, step] = action ?? ["MANAGE", notNow];
    const denied = authorize(caller, [operation, resourceOf(VM, vm)]);
    if (denied !== undefined) return denied;
    const moved = step(vm, now);
    if (moved.ok) return plan(moved.change);
    const running = NOT_YET.includes(name) && vm.lcm_state === LCM_STATE.running;
    return fault(
      running ? "This action is not supported" : `This action is not available for state ${vmPhaseName(vm)}`,
    );
  },
};

/** What `one.vm.recover` can say to the step that a VM is in. */
const RECOVERY: readonly (readonly [string, Step])[] = [
  [
    "failure",
    (vm) => {
      if (vm.lcm_state === LCM_STATE.boot) return bootFailed(vm, "declared failed by a person");
      return isStopping(vm) ? stopFailed(vm, "") : notNow(vm);
    },
  ],
  [
    "success",
    (vm, now) => {
      if (vm.lcm_state === LCM_STATE.boot) return running(vm, vm.deploy_id === "" ? `one-${vm.id}` : vm.deploy_id, now);
      if (vm.lcm_state === LCM_STATE.shutdownPoweroff) return poweredOff(vm, now);
      return notNow(vm);
    },
  ],
  ["retry", (vm) => (isUnknown(vm) || isStill(vm, VM_STATE.poweroff) ? notNow(vm) : restarted(vm))],
  ["delete", end(true)],
  ["delete-recreate", again(true)],
  ["delete-db", end(true)],
];

/** `one.vm.recover(id, 0 failure | 1 success | 2 retry | 3 delete | 4 delete-recreate | 5 delete-db)` → id. */
export const recoverVm = objectCommand(VMS, {
  right: "ADMIN",
  plan: (vm, args, _rows, { now }) => {
    const recovery = RECOVERY[int(args, 1)];
    if (recovery === undefined) return refusal(CODE.action, "Wrong recovery operation code", vm.id);
    const [name, step] = recovery;
    const moved = step(vm, now);
    if (moved.ok) return plan(moved.change);
    return refusal(CODE.action, `Recovery operation ${name} is not available for state ${vmPhaseName(vm)}`, vm.id);
  },
});

/** `one.vm.deploy(id, host, enforce capacity, system datastore)` → id. */
export const deployVm: WriteCommand = {
  kind: "write",
  result: sameId,
  key: vmKey,
  reads: (args) => [vmById(int(args, 0)), hostById(int(args, 1))],
  plan: (rows, args, caller, context) => {
    const vm = first<VmRow>(rows, 0);
    const host = first<HostRow>(rows, 1);
    if (vm === undefined) return noSuch(VM.noun, int(args, 0));
    if (host === undefined) return noSuch("host", int(args, 1));
    if (int(args, 3) !== -1 && int(args, 3) !== SYSTEM_DATASTORE) return noSuch("system datastore", int(args, 3));
    const denied = authorize(
      caller,
      ["ADMIN", resourceOf(VM, vm)],
      ["MANAGE", { type: "HOST", id: host.id, clusterId: host.cluster_id }],
    );
    return denied ?? deploy(vm, host, flag(args, 2), context);
  },
};

function deploy(vm: VmRow, host: HostRow, enforce: boolean, { now }: Context): Plan | Refusal {
  const fault = (why: string): Refusal => refusal(CODE.action, `Error deploying VM ${vm.id}: ${why}`, vm.id);
  if (vm.state !== VM_STATE.pending && vm.state !== VM_STATE.hold) {
    return fault(`This action is not available for state ${vmPhaseName(vm)}`);
  }
  if (host.state !== HOST_MONITORED) return fault(`host ${host.name} is not in service`);
  if (host.fence_note !== "") return fault(`host ${host.name} is being fenced: ${host.fence_note}`);
  const room =
    host.total_cpu - host.reserved_cpu - host.cpu_usage >= vm.cpu &&
    host.total_mem - host.reserved_mem - host.mem_usage >= vm.memory;
  if (enforce && !room) return fault(`Not enough capacity in host ${host.name}`);
  const moved = placed(vm, host, now, { enforce });
  return moved.ok ? plan(moved.change) : fault(moved.why);
}

const HOST_MONITORED = 2;

/** VMs run on the one system datastore that there is. */
const SYSTEM_DATASTORE = 0;

/** `one.vm.update(id, user template, 0 replace | 1 append)` → id. */
export const updateVm = updateCommand(VMS, ["ERROR"], (vm, update) =>
  plan({
    guards: [versionGuard("vm", vm)],
    statements: [
      statement("UPDATE vm SET version=version+1,user_template=? WHERE id=?", updated(vm.user_template, update), vm.id),
    ],
    tags: [`vm:${vm.id}`],
  }),
);

/** `one.vm.rename(id, name)` → id. */
export const renameVm = renameCommand(VMS, "MANAGE");

function notNow(vm: VmRow): Transition {
  return { ok: false, why: `vm ${vm.id} is ${vmPhaseName(vm)}` };
}

function isStill(vm: VmRow, state: number): boolean {
  return vm.state === state;
}

function isUnknown(vm: VmRow): boolean {
  return vm.state === VM_STATE.active && vm.lcm_state === LCM_STATE.unknown;
}

function isStopping(vm: VmRow): boolean {
  return vm.lcm_state === LCM_STATE.shutdown || vm.lcm_state === LCM_STATE.shutdownPoweroff;
}

function vmKey(args: readonly unknown[]): string {
  return `vm:${String(args[0])}`;
}
