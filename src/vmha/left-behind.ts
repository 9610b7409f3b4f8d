import type { Guard } from "../base/entry.ts";
import { merge, type Transition } from "../one/change.ts";
import type { Query } from "../one/query.ts";
import { type VmRow, vmById } from "../one/vm/row.ts";
import { LCM_STATE } from "../one/vm/states.ts";
import { poweredOff, requeued, terminated } from "../one/vm/transitions.ts";

/**
 * A host that was proven off and whose recovery was finished (only that leaves a report), and which has not been in service
 * since: nothing of ours runs there.
 */
const PROVEN_AND_OVER = "fence.state='CLOSED' AND fence.report<>'' AND host.state=3";

/**
 * VMs that a person ended, powered off or recreated after the recovery of their host was over, such as one whose disk is there:
 * no driver will ever reach their host to do it, and the host cannot be deleted while they count on it.
 */
export function vmsLeftBehind(): Query<VmRow> {
  const hosts = `SELECT fence.host_id FROM fence JOIN host ON host.id=fence.host_id WHERE ${PROVEN_AND_OVER}`;
  return {
    sql: vmById(0).sql.replace(
      "WHERE id=?",
      `WHERE state=3 AND lcm_state IN (12,15,18) AND host_id IN (${hosts}) ORDER BY id`,
    ),
    values: [],
  };
}

/** What was asked for is done: its host is off. */
export function endLeftBehind(vm: VmRow, wallSeconds: number): Transition {
  const step = stepOf(vm, wallSeconds);
  if (!step.ok) return step;
  return { ok: true, change: merge({ guards: [stillOff(vm.host_id)], statements: [], tags: [] }, step.change) };
}

function stepOf(vm: VmRow, wallSeconds: number): Transition {
  if (vm.lcm_state === LCM_STATE.shutdown) return terminated(vm, wallSeconds);
  if (vm.lcm_state === LCM_STATE.shutdownPoweroff) return poweredOff(vm, wallSeconds);
  return requeued(vm, vm.fresh_disks === 1, wallSeconds);
}

function stillOff(hostId: number | null): Guard {
  return {
    sql: `SELECT count(*) FROM fence JOIN host ON host.id=fence.host_id WHERE fence.host_id=? AND ${PROVEN_AND_OVER}`,
    values: [hostId],
    expect: [[1]],
    why: `host ${String(hostId)} is not known to be off any more`,
  };
}
