import type { Query } from "../query.ts";

/** One row of table `host`; the fields are the columns. */
export interface HostRow {
  readonly id: number;
  /** Counts changes of name, state, cluster and template; capacity in use is guarded by its own numbers. */
  readonly version: number;
  readonly name: string;
  readonly state: number;
  readonly prev_state: number;
  readonly im_mad: string;
  readonly vm_mad: string;
  readonly cluster_id: number;
  /** What the host has, as it reported: CPU in hundredths of a core, memory in KiB. 0 until it was heard. */
  readonly total_cpu: number;
  readonly total_mem: number;
  /** Held back from VMs (RESERVED_CPU, RESERVED_MEM), same units; may be negative to overcommit. */
  readonly reserved_cpu: number;
  readonly reserved_mem: number;
  /** What the VMs that count on it were promised; same units. */
  readonly cpu_usage: number;
  readonly mem_usage: number;
  readonly running_vms: number;
  /** The user's attributes as inner XML of TEMPLATE; passwords of FENCE sections read `***`. */
  readonly template: string;
  /** What the host told about itself (ARCH, CPUSPEED, HYPERVISOR …): inner XML. */
  readonly facts: string;
  /** JSON array of the FENCE sections in the order given, each an object of strings, PASSWORD sealed. */
  readonly fence: string;
  /** Why the host is in ERROR; "" when it is not. */
  readonly error: string;
  /**
   * `HELD: no proof that it is off`: state and reason of its open fencing record, written by fence in the entry that
   * changes the record; "" exactly when there is none. Shown to people, and every start on a host guards on it.
   */
  readonly fence_note: string;
}

const COLUMNS =
  "id,version,name,state,prev_state,im_mad,vm_mad,cluster_id,total_cpu,total_mem,reserved_cpu,reserved_mem,cpu_usage,mem_usage,running_vms,template,facts,fence,error,fence_note";

export function hostById(id: number): Query<HostRow> {
  return { sql: `SELECT ${COLUMNS} FROM host WHERE id=?`, values: [id] };
}

export function allHosts(): Query<HostRow> {
  return { sql: `SELECT ${COLUMNS} FROM host ORDER BY id`, values: [] };
}

/** Free for VMs: hundredths of a core and KiB. */
export function freeCapacity(host: HostRow): { readonly cpu: number; readonly mem: number } {
  return {
    cpu: host.total_cpu - host.reserved_cpu - host.cpu_usage,
    mem: host.total_mem - host.reserved_mem - host.mem_usage,
  };
}
