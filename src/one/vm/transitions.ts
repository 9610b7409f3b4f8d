import type { Guard, SqlValue, Statement } from "../../base/entry.ts";
import { statement, type Transition, versionGuard } from "../change.ts";
import type { HostRow } from "../host/row.ts";
import { HOST_STATE } from "../host/states.ts";
import type { VmRow } from "./row.ts";
import { LCM_STATE, lcmStateName, VM_STATE, vmStateName } from "./states.ts";

/** `state` and `lcm_state` of a VM. */
export interface VmPhase {
  readonly state: number;
  readonly lcm: number;
}

const active = (lcm: number): VmPhase => ({ state: VM_STATE.active, lcm });
const still = (state: number): VmPhase => ({ state, lcm: LCM_STATE.init });

const PENDING = still(VM_STATE.pending);
const HOLD = still(VM_STATE.hold);
const BOOT = active(LCM_STATE.boot);
const RUNNING = active(LCM_STATE.running);
const UNKNOWN = active(LCM_STATE.unknown);
const BOOT_FAILURE = active(LCM_STATE.bootFailure);
const CLEANUP_RESUBMIT = active(LCM_STATE.cleanupResubmit);
const SHUTDOWN = active(LCM_STATE.shutdown);
const SHUTDOWN_POWEROFF = active(LCM_STATE.shutdownPoweroff);
const POWEROFF = still(VM_STATE.poweroff);
const FAILED = still(VM_STATE.failed);
const DONE = still(VM_STATE.done);

/** Every legal step of a VM, in one place: from which phases, to which. The docs show this table. */
export const VM_TRANSITIONS = {
  /** The scheduler or a person gives it a host; its driver is to start it there. */
  placed: { from: [PENDING, HOLD], to: BOOT },
  /** The domain runs; from UNKNOWN when its host is heard again. */
  running: { from: [BOOT, BOOT_FAILURE, UNKNOWN, POWEROFF, FAILED], to: RUNNING },
  /** The host refused to start it, or a person says that it did not start. */
  bootFailed: { from: [BOOT], to: BOOT_FAILURE },
  /** Its host is lost: what it does is not known. */
  unknown: { from: [BOOT, RUNNING], to: UNKNOWN },
  /** The guest crashed on a host in health: the domain is gone. */
  failed: { from: [BOOT, RUNNING, UNKNOWN], to: FAILED },
  /** Started again on a host, this or another. The caller has proof that it runs nowhere (P3). */
  resubmitted: { from: [UNKNOWN, FAILED, BOOT_FAILURE, BOOT, CLEANUP_RESUBMIT], to: BOOT },
  /** Started again where it is: resume, retry of a failed start. The same host cannot run it twice. */
  restarted: { from: [POWEROFF, BOOT_FAILURE, FAILED, UNKNOWN], to: BOOT },
  /** To be taken off its host and queued again; it keeps the host until its domain there is proven gone. */
  recreating: {
    from: [BOOT, RUNNING, UNKNOWN, BOOT_FAILURE, SHUTDOWN_POWEROFF, POWEROFF, FAILED, CLEANUP_RESUBMIT],
    to: CLEANUP_RESUBMIT,
  },
  /** Back to the scheduler, with no host: nothing of it runs. */
  requeued: { from: [CLEANUP_RESUBMIT, UNKNOWN, FAILED, BOOT_FAILURE, POWEROFF], to: PENDING },
  /** Told to stop, its disk stays. */
  poweringOff: { from: [RUNNING, UNKNOWN], to: SHUTDOWN_POWEROFF },
  /** The domain is gone and was meant to be, or its guest shut itself down. */
  poweredOff: { from: [SHUTDOWN_POWEROFF, RUNNING, UNKNOWN], to: POWEROFF },
  /** Told to end for good. */
  terminating: {
    from: [BOOT, RUNNING, UNKNOWN, BOOT_FAILURE, SHUTDOWN_POWEROFF, CLEANUP_RESUBMIT, POWEROFF, FAILED, SHUTDOWN],
    to: SHUTDOWN,
  },
  /** Ended: nothing of it is to be left on a host; what a host still shows of it is destroyed there. */
  terminated: {
    from: [
      SHUTDOWN,
      PENDING,
      HOLD,
      POWEROFF,
      FAILED,
      BOOT_FAILURE,
      UNKNOWN,
      RUNNING,
      BOOT,
      SHUTDOWN_POWEROFF,
      CLEANUP_RESUBMIT,
    ],
    to: DONE,
  },
  /** A stop that did not work: the domain still runs. */
  stopFailed: { from: [SHUTDOWN, SHUTDOWN_POWEROFF], to: RUNNING },
  held: { from: [PENDING], to: HOLD },
  released: { from: [HOLD], to: PENDING },
} as const satisfies Readonly<Record<string, { readonly from: readonly VmPhase[]; readonly to: VmPhase }>>;

export type VmStep = keyof typeof VM_TRANSITIONS;

/** Whether the table lets this VM take that step. */
export function isLegal(vm: VmRow, step: VmStep): boolean {
  return VM_TRANSITIONS[step].from.some((phase) => phase.state === vm.state && phase.lcm === vm.lcm_state);
}

/** `RUNNING` or `POWEROFF`: the phase in the word that people use. */
export function vmPhaseName(vm: Pick<VmRow, "state" | "lcm_state">): string {
  return vm.state === VM_STATE.active ? lcmStateName(vm.lcm_state) : vmStateName(vm.state);
}

/**
 * PENDING or HOLD → BOOT on `host`: history record, the host's capacity. Rejected when the host has no room any more,
 * is not in service, or when another entry placed or changed the VM. `enforce` false skips the room, never the rest.
 */
export function placed(vm: VmRow, host: HostRow, now: number, options: { readonly enforce: boolean }): Transition {
  if (!isLegal(vm, "placed")) return illegal(vm, "placed");
  return start(vm, "placed", host, now, options.enforce);
}

/**
 * UNKNOWN, FAILED, BOOT_FAILURE or BOOT → BOOT on `host`, which may be the old one: new history record, capacity moved.
 * The caller has the proof that nothing of it runs, and guards on its record of that proof in the same entry.
 */
export function resubmitted(vm: VmRow, host: HostRow, now: number): Transition {
  if (!isLegal(vm, "resubmitted")) return illegal(vm, "resubmitted");
  return start(vm, "resubmitted", host, now, true);
}

/** Start again on the host that it has, which must be in service; no new history record. */
export function restarted(vm: VmRow): Transition {
  if (vm.host_id === null) return { ok: false, why: `vm ${vm.id} has no host` };
  const moved = step(vm, "restarted", { reason: "", hard: 0 });
  if (!moved.ok) return moved;
  const guards = [...moved.change.guards, inService(vm.host_id, null, null)];
  return { ok: true, change: { ...moved.change, guards } };
}

/** The domain runs. `deployId` is its name on the host. */
export function running(vm: VmRow, deployId: string, now: number): Transition {
  return step(vm, "running", { reason: "", deployId, hard: 0, freshDisks: false }, [
    statement("UPDATE history SET petime=?,rstime=? WHERE vm_id=? AND seq=? AND rstime=0", now, now, vm.id, vm.seq),
    statement("UPDATE history SET retime=0,etime=0 WHERE vm_id=? AND seq=?", vm.id, vm.seq),
  ]);
}

/** The host refused to start it: `why` in its driver's words. */
export function bootFailed(vm: VmRow, why: string): Transition {
  return step(vm, "bootFailed", { reason: why });
}

/** Its host is lost. Use `hostLost` for all VMs of a host at once. */
export function unknown(vm: VmRow, why: string): Transition {
  return step(vm, "unknown", { reason: why });
}

/** The guest crashed on a host in health; it keeps the host's capacity until it is resubmitted or ended. */
export function failed(vm: VmRow, why: string, now: number): Transition {
  return step(vm, "failed", { reason: why }, [closeRun(vm, now)]);
}

/** To be stopped; `hard` without asking the guest. The driver reads that from the row. */
export function poweringOff(vm: VmRow, hard: boolean): Transition {
  return step(vm, "poweringOff", { hard: hard ? 1 : 0 });
}

/** The domain is gone, its disk and its place stay. */
export function poweredOff(vm: VmRow, now: number): Transition {
  return step(vm, "poweredOff", { reason: "", hard: 0 }, [closeRun(vm, now)]);
}

/** To be ended; the driver stops the domain, then {@link terminated}. */
export function terminating(vm: VmRow, hard: boolean): Transition {
  return step(vm, "terminating", { hard: hard ? 1 : 0 });
}

/** DONE: capacity and images are free again. */
export function terminated(vm: VmRow, now: number): Transition {
  return step(vm, "terminated", { reason: "", hard: 0, etime: now, host: null }, [
    closeRecord(vm, now),
    ...freePlace(vm),
    statement(
      "UPDATE image SET version=version+1,running_vms=running_vms-1,state=CASE WHEN running_vms<=1 THEN 1 ELSE state END WHERE id IN (SELECT image_id FROM image_use WHERE vm_id=?)",
      vm.id,
    ),
    statement("DELETE FROM image_use WHERE vm_id=?", vm.id),
  ]);
}

/** A stop that did not work: back to RUNNING. */
export function stopFailed(vm: VmRow, why: string): Transition {
  return step(vm, "stopFailed", { reason: why, hard: 0 });
}

/** To be taken off its host and queued again; `freshDisks`: the next start makes its disks anew. */
export function recreating(vm: VmRow, freshDisks: boolean): Transition {
  return step(vm, "recreating", { hard: 1, freshDisks });
}

/**
 * PENDING again, without a host. From UNKNOWN and CLEANUP_RESUBMIT the caller has the proof that nothing of it runs.
 */
export function requeued(vm: VmRow, freshDisks: boolean, now: number): Transition {
  return step(vm, "requeued", { reason: "", hard: 0, freshDisks, host: null }, [
    closeRecord(vm, now),
    ...freePlace(vm),
  ]);
}

export function held(vm: VmRow): Transition {
  return step(vm, "held", {});
}

export function released(vm: VmRow): Transition {
  return step(vm, "released", {});
}

/**
 * A domain of ours that was found running where the record has it: UNKNOWN (or a start that was thought failed) →
 * RUNNING, without touching the guest.
 */
export function adopted(vm: VmRow, hostId: number, deployId: string, now: number): Transition {
  if (vm.host_id !== hostId)
    return { ok: false, why: `vm ${vm.id} belongs to host ${String(vm.host_id)}, not ${hostId}` };
  return running(vm, deployId, now);
}

/** What a step changes beside the phase; a field that is left out stays. */
interface Fields {
  readonly reason?: string;
  readonly deployId?: string;
  readonly hard?: 0 | 1;
  readonly freshDisks?: boolean;
  readonly etime?: number;
  readonly host?: number | null;
  readonly seq?: number;
}

function illegal(vm: VmRow, name: VmStep): Transition {
  return { ok: false, why: `vm ${vm.id} is ${vmPhaseName(vm)}, which has no step "${name}"` };
}

/** One legal step with the guard that the VM is still the one that was read. */
function step(vm: VmRow, name: VmStep, fields: Fields, more: readonly Statement[] = []): Transition {
  if (!isLegal(vm, name)) return illegal(vm, name);
  const tags = vm.host_id === null ? [`vm:${vm.id}`] : [`vm:${vm.id}`, `host:${vm.host_id}`];
  return {
    ok: true,
    change: {
      guards: [versionGuard("vm", vm)],
      statements: [moveTo(vm, VM_TRANSITIONS[name].to, fields), ...more],
      tags,
    },
  };
}

/** The UPDATE of the row itself. */
function moveTo(vm: VmRow, to: VmPhase, fields: Fields): Statement {
  const columns: [string, SqlValue][] = [];
  if (fields.reason !== undefined) columns.push(["reason", fields.reason]);
  if (fields.deployId !== undefined) columns.push(["deploy_id", fields.deployId]);
  if (fields.hard !== undefined) columns.push(["hard", fields.hard]);
  if (fields.freshDisks !== undefined) columns.push(["fresh_disks", fields.freshDisks ? 1 : 0]);
  if (fields.etime !== undefined) columns.push(["etime", fields.etime]);
  if (fields.host !== undefined) columns.push(["host_id", fields.host]);
  if (fields.seq !== undefined) columns.push(["seq", fields.seq]);
  const more = columns.map(([column]) => `,${column}=?`).join("");
  return statement(
    `UPDATE vm SET version=version+1,prev_state=state,prev_lcm_state=lcm_state,state=?,lcm_state=?${more} WHERE id=?`,
    to.state,
    to.lcm,
    ...columns.map(([, value]) => value),
    vm.id,
  );
}

/** BOOT on `host` with a new history record; the old record is closed and the old place freed. */
function start(vm: VmRow, name: "placed" | "resubmitted", host: HostRow, now: number, enforce: boolean): Transition {
  const stays = vm.host_id === host.id;
  const seq = vm.seq + 1;
  const needsRoom = enforce && !stays;
  return {
    ok: true,
    change: {
      guards: [versionGuard("vm", vm), inService(host.id, needsRoom ? vm.cpu : null, needsRoom ? vm.memory : null)],
      statements: [
        moveTo(vm, VM_TRANSITIONS[name].to, { reason: "", hard: 0, host: host.id, seq }),
        ...(vm.seq >= 0 ? [closeRecord(vm, now)] : []),
        statement(
          `INSERT INTO history(vm_id,seq,hostname,hid,cid,vm_mad,tm_mad,ds_id,stime,pstime)
VALUES(?,?,?,?,?,?,'shared',0,?,?)`,
          vm.id,
          seq,
          host.name,
          host.id,
          host.cluster_id,
          host.vm_mad,
          now,
          now,
        ),
        ...(stays ? [] : [...freePlace(vm), takePlace(vm, host.id)]),
      ],
      tags: [...new Set([`vm:${vm.id}`, `host:${host.id}`, ...(vm.host_id === null ? [] : [`host:${vm.host_id}`])])],
    },
  };
}

/** Holds while the host is MONITORED, has no open fencing record and, with numbers, has that much free. */
function inService(hostId: number, cpu: number | null, mem: number | null): Guard {
  const room = cpu === null ? "" : " AND total_cpu-reserved_cpu-cpu_usage>=? AND total_mem-reserved_mem-mem_usage>=?";
  return {
    sql: `SELECT 1 FROM host WHERE id=? AND state=${HOST_STATE.monitored} AND fence_note=''${room}`,
    values: cpu === null ? [hostId] : [hostId, cpu, mem],
    expect: [[1]],
    why: `host ${hostId} is not in service, is being fenced or has no room any more`,
  };
}

function takePlace(vm: VmRow, hostId: number): Statement {
  return statement(
    "UPDATE host SET cpu_usage=cpu_usage+?,mem_usage=mem_usage+?,running_vms=running_vms+1 WHERE id=?",
    vm.cpu,
    vm.memory,
    hostId,
  );
}

function freePlace(vm: VmRow): readonly Statement[] {
  if (vm.host_id === null) return [];
  return [
    statement(
      "UPDATE host SET cpu_usage=cpu_usage-?,mem_usage=mem_usage-?,running_vms=running_vms-1 WHERE id=?",
      vm.cpu,
      vm.memory,
      vm.host_id,
    ),
  ];
}

/** Ends the running time of the last record, which stays the VM's place. */
function closeRun(vm: VmRow, now: number): Statement {
  return statement("UPDATE history SET retime=? WHERE vm_id=? AND seq=? AND retime=0", now, vm.id, vm.seq);
}

/** Ends the last record: the VM leaves that place. */
function closeRecord(vm: VmRow, now: number): Statement {
  return statement(
    "UPDATE history SET etime=?,retime=CASE WHEN rstime>0 AND retime=0 THEN ? ELSE retime END WHERE vm_id=? AND seq=? AND etime=0",
    now,
    now,
    vm.id,
    vm.seq,
  );
}

/** To be placed anew by the scheduler, or no more. */
export function resched(vm: VmRow, wanted: boolean): Transition {
  const phase = vm.state === VM_STATE.active ? vm.lcm_state : -1;
  if (phase !== LCM_STATE.running && phase !== LCM_STATE.unknown && vm.state !== VM_STATE.poweroff) {
    return { ok: false, why: `vm ${vm.id} is ${vmPhaseName(vm)}, which has no place to be changed` };
  }
  return {
    ok: true,
    change: {
      guards: [versionGuard("vm", vm)],
      statements: [statement("UPDATE vm SET version=version+1,resched=? WHERE id=?", wanted ? 1 : 0, vm.id)],
      tags: [`vm:${vm.id}`],
    },
  };
}
