// Hosts and VMs as rows, in health, changed where a test says so.

import type { HostRow } from "../../../src/one/host/row.ts";
import type { VmRow } from "../../../src/one/vm/row.ts";
import type { Demand } from "../../../src/scheduler/fit.ts";

export function hostRow(id: number, more: Partial<HostRow> = {}): HostRow {
  return {
    id,
    version: 1,
    name: `h${id}`,
    state: 2,
    prev_state: 2,
    im_mad: "kvm",
    vm_mad: "kvm",
    cluster_id: 0,
    total_cpu: 400,
    total_mem: 4_000,
    reserved_cpu: 0,
    reserved_mem: 0,
    cpu_usage: 0,
    mem_usage: 0,
    running_vms: 0,
    template: "",
    facts: "",
    shown: "",
    fence: "[]",
    error: "",
    fence_note: "",
    ...more,
  } as HostRow;
}

export function vmRow(id: number, more: Partial<VmRow> = {}): VmRow {
  return {
    id,
    version: 1,
    name: `vm${id}`,
    uid: 0,
    gid: 0,
    uname: "",
    gname: "",
    permissions: 0,
    state: 3,
    lcm_state: 16,
    prev_state: 3,
    prev_lcm_state: 3,
    resched: 0,
    stime: 0,
    etime: 0,
    deploy_id: `one-${id}`,
    cpu: 100,
    memory: 1_000,
    host_id: 0,
    seq: 0,
    hard: 0,
    fresh_disks: 0,
    reason: "",
    template: "",
    user_template: "",
    ...more,
  } as VmRow;
}

export function demand(vmId: number, more: Partial<Demand> = {}): Demand {
  return { vmId, cpu: 100, memory: 1_000, requirements: "", rank: "", excluded: new Map(), ...more };
}
