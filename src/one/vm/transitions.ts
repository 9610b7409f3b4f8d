import { statement, type Transition, versionGuard } from "../change.ts";
import type { HostRow } from "../host/row.ts";
import { isLegal, vmPhaseName } from "./phases.ts";
import type { VmRow } from "./row.ts";
import { LCM_STATE, VM_STATE } from "./states.ts";
import { closeRecord, closeRun, freePlace, illegal, inService, start, step } from "./step.ts";

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
