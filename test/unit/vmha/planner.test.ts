import { test } from "uvu";
import * as assert from "uvu/assert";
import type { VmRow } from "../../../src/one/vm/row.ts";
import { placeOf } from "../../../src/scheduler/fit.ts";
import { RECOVERY_OPTIONS_DEFAULT } from "../../../src/vmha/options.ts";
import {
  ATTEMPTS_MAX,
  CRASH_LADDER_MS,
  planCrashed,
  planRecovery,
  type RecoveryInput,
  type RecoveryPlan,
  STARTS_PER_HOST_MAX,
} from "../../../src/vmha/planner.ts";
import type { RecoveryRow } from "../../../src/vmha/record.ts";
import { hostRow, vmRow } from "../scheduler/fixtures.ts";

const LCM = { boot: 2, running: 3, shutdown: 12, shutdownPoweroff: 18, cleanup: 15, bootFailure: 36, migrate: 4 };

function row(vmId: number, more: Partial<RecoveryRow> = {}): RecoveryRow {
  return {
    host_id: 0,
    vm_id: vmId,
    failure: 1,
    version: 1,
    outcome: "",
    target: null,
    reason: "",
    attempt: 0,
    at: 0,
    ...more,
  };
}

function plan(vms: readonly VmRow[], more: Partial<RecoveryInput> = {}): RecoveryPlan {
  return planRecovery({
    hostId: 0,
    frozen: vms.map(({ id }) => row(id)),
    vms: new Map(vms.map((vm) => [vm.id, vm])),
    places: [1, 2].map((id) => placeOf(hostRow(id), {}, "")),
    options: RECOVERY_OPTIONS_DEFAULT,
    starts: new Map(),
    returnedDomains: new Set(),
    keepAway: () => new Map(),
    ...more,
  });
}

const only = (result: RecoveryPlan) => result.steps[0];

test("lost VMs are started elsewhere, spread over the hosts", () => {
  const result = plan([vmRow(1), vmRow(2)]);
  assert.equal(
    result.steps.map((step) => step.kind === "resubmit" && step.hostId),
    [1, 2],
  );
  assert.is(result.isFinished, false);
});

test("HA_PRIORITY decides who gets the last place", () => {
  const important = "<HA_PRIORITY><![CDATA[10]]></HA_PRIORITY>";
  const result = plan([vmRow(1), vmRow(2, { user_template: important })], {
    places: [placeOf(hostRow(1, { total_cpu: 100 }), {}, "")],
  });
  assert.equal(
    result.steps.map(({ vmId, kind }) => [vmId, kind]),
    [
      [2, "resubmit"],
      [1, "queue"],
    ],
  );
});

test("a VM without a place is queued as UNPLACEABLE with the reason", () => {
  const step = only(plan([vmRow(1, { cpu: 900 })]));
  assert.is(step?.kind === "queue" && step.outcome, "UNPLACEABLE");
  assert.match(step?.reason ?? "", /not enough CPU/);
});

test("what a VM was about to do is done now that its host is off", () => {
  const finished = (lcm: number) => {
    const step = only(plan([vmRow(1, { lcm_state: lcm })]));
    return step?.kind === "skip" ? step.finish : step?.kind;
  };
  assert.is(finished(LCM.shutdown), "terminated");
  assert.is(finished(LCM.shutdownPoweroff), "powered-off");
  assert.is(finished(LCM.cleanup), "queue");
  assert.is(finished(LCM.migrate), "hold");
});

test("powered-off VMs are left alone, but for -f", () => {
  const off = vmRow(1, { state: 8, lcm_state: 0 });
  assert.is(only(plan([off]))?.kind, "skip");
  assert.is(only(plan([off], { options: { ...RECOVERY_OPTIONS_DEFAULT, isForced: true } }))?.kind, "queue");
});

test("-r makes it anew, -d deletes it", () => {
  const recreate = only(plan([vmRow(1)], { options: { ...RECOVERY_OPTIONS_DEFAULT, mode: "recreate" } }));
  assert.is(recreate?.kind === "queue" && recreate.isFresh, true);
  const remove = only(plan([vmRow(1)], { options: { ...RECOVERY_OPTIONS_DEFAULT, mode: "delete" } }));
  assert.is(remove?.kind === "skip" && remove.finish, "terminated");
});

test("a VM whose disk was on the lost host is skipped and says so", () => {
  const template = "<DISK><TM_MAD><![CDATA[ssh]]></TM_MAD></DISK>";
  assert.match(only(plan([vmRow(1, { template })]))?.reason ?? "", /disk is on the host/);
});

test("a VM that runs on the host that came back is not started again", () => {
  assert.is(only(plan([vmRow(1)], { returnedDomains: new Set([1]) }))?.kind, "hold");
  assert.is(only(plan([vmRow(1, { lcm_state: LCM.running })]))?.kind, "skip");
});

test("a VM that somebody moved, deleted or requeued meanwhile is left to them", () => {
  assert.is(only(plan([vmRow(1, { state: 1, lcm_state: 0, host_id: null })]))?.kind, "skip");
  assert.is(only(plan([], { frozen: [row(1)] }))?.kind, "skip");
});

test("a start that failed is tried on another host, a bounded number of times", () => {
  const failed = vmRow(1, { host_id: 1, lcm_state: LCM.bootFailure, reason: "no such disk" });
  const again = (attempt: number) =>
    only(plan([failed], { frozen: [row(1, { outcome: "RESUBMITTED", target: 1, attempt })] }));
  const second = again(1);
  assert.is(second?.kind === "resubmit" && second.hostId, 2);
  assert.is(again(ATTEMPTS_MAX)?.kind, "hold");
  assert.match(again(ATTEMPTS_MAX)?.reason ?? "", /no such disk/);
});

test("more than the start limit waits for its turn, and is not called unplaceable", () => {
  const vms = Array.from({ length: 3 }, (_, id) => vmRow(id + 1, { cpu: 1, memory: 1 }));
  const result = plan(vms, {
    places: [placeOf(hostRow(1), {}, "")],
    starts: new Map([[1, STARTS_PER_HOST_MAX - 1]]),
  });
  assert.is(result.steps.length, 1);
  assert.equal(result.waiting, [2, 3]);
});

test("it is finished when every VM has its outcome and what was started runs or went on", () => {
  const done = row(1, { outcome: "RESUBMITTED", target: 1, attempt: 1 });
  const at = (more: Partial<VmRow>) => plan([vmRow(1, { host_id: 1, ...more })], { frozen: [done] }).isFinished;
  assert.is(at({ lcm_state: LCM.boot }), false);
  assert.is(at({ lcm_state: LCM.running }), true);
  assert.is(at({ lcm_state: LCM.boot, host_id: 2 }), true);
  assert.is(plan([], { frozen: [row(1, { outcome: "HELD" })] }).isFinished, true);
  assert.is(plan([]).isFinished, true);
});

test("VM groups keep a VM away from hosts", () => {
  const step = only(plan([vmRow(1)], { keepAway: () => new Map([[1, "its twin runs there"]]) }));
  assert.is(step?.kind === "resubmit" && step.hostId, 2);
});

test("a crashed guest is restarted at home first, then elsewhere, later each time, and at last left with a reason", () => {
  const vm = vmRow(1, { state: 7, lcm_state: 0, host_id: 1, reason: "crashed" });
  const places = [placeOf(hostRow(1, { running_vms: 9 }), {}, ""), placeOf(hostRow(2), {}, "")];
  assert.equal(planCrashed(vm, undefined, places, 0, 0), { kind: "restart", vmId: 1, hostId: 1 });
  for (let attempt = 1; attempt < CRASH_LADDER_MS.length; attempt++) {
    const waitMs = CRASH_LADDER_MS[attempt] ?? 0;
    const retry = { vm_id: 1, attempt };
    assert.is(planCrashed(vm, retry, places, 0, waitMs - 1).kind, "wait");
    assert.equal(planCrashed(vm, retry, places, 0, waitMs), { kind: "restart", vmId: 1, hostId: 2 });
  }
  const last = planCrashed(vm, { vm_id: 1, attempt: CRASH_LADDER_MS.length }, places, 0, 9e9);
  assert.is(last.kind, "give-up");
});

test("a crashed guest counts its own room as free, and goes home when there is no other", () => {
  const vm = vmRow(1, { state: 7, lcm_state: 0, host_id: 1 });
  const full = placeOf(hostRow(1, { cpu_usage: 400, mem_usage: 4_000 }), {}, "");
  assert.is(planCrashed(vm, { vm_id: 1, attempt: 1 }, [full], 0, 2_000).kind, "restart");
});

test.run();
