import type { Guard, SqlValue, Statement } from "../../base/entry.ts";
import { statement, type Transition, versionGuard } from "../change.ts";
import type { HostRow } from "../host/row.ts";
import { HOST_STATE } from "../host/states.ts";
import { isLegal, VM_TRANSITIONS, type VmPhase, type VmStep, vmPhaseName } from "./phases.ts";
import type { VmRow } from "./row.ts";

/** What a step changes beside the phase; a field that is left out stays. */
export interface Fields {
  readonly reason?: string;
  readonly deployId?: string;
  readonly hard?: 0 | 1;
  readonly freshDisks?: boolean;
  readonly etime?: number;
  readonly host?: number | null;
  readonly seq?: number;
}

export function illegal(vm: VmRow, name: VmStep): Transition {
  return { ok: false, why: `vm ${vm.id} is ${vmPhaseName(vm)}, which has no step "${name}"` };
}

/** One legal step with the guard that the VM is still the one that was read. */
export function step(vm: VmRow, name: VmStep, fields: Fields, more: readonly Statement[] = []): Transition {
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
export function moveTo(vm: VmRow, to: VmPhase, fields: Fields): Statement {
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
export function start(
  vm: VmRow,
  name: "placed" | "resubmitted",
  host: HostRow,
  now: number,
  enforce: boolean,
): Transition {
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
export function inService(hostId: number, cpu: number | null, mem: number | null): Guard {
  const room = cpu === null ? "" : " AND total_cpu-reserved_cpu-cpu_usage>=? AND total_mem-reserved_mem-mem_usage>=?";
  return {
    sql: `SELECT 1 FROM host WHERE id=? AND state=${HOST_STATE.monitored} AND fence_note=''${room}`,
    values: cpu === null ? [hostId] : [hostId, cpu, mem],
    expect: [[1]],
    why: `host ${hostId} is not in service, is being fenced or has no room any more`,
  };
}

export function takePlace(vm: VmRow, hostId: number): Statement {
  return statement(
    "UPDATE host SET cpu_usage=cpu_usage+?,mem_usage=mem_usage+?,running_vms=running_vms+1 WHERE id=?",
    vm.cpu,
    vm.memory,
    hostId,
  );
}

export function freePlace(vm: VmRow): readonly Statement[] {
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
export function closeRun(vm: VmRow, now: number): Statement {
  return statement("UPDATE history SET retime=? WHERE vm_id=? AND seq=? AND retime=0", now, vm.id, vm.seq);
}

/** Ends the last record: the VM leaves that place. */
export function closeRecord(vm: VmRow, now: number): Statement {
  return statement(
    "UPDATE history SET etime=?,retime=CASE WHEN rstime>0 AND retime=0 THEN ? ELSE retime END WHERE vm_id=? AND seq=? AND etime=0",
    now,
    now,
    vm.id,
    vm.seq,
  );
}
