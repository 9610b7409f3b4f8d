import type { Query } from "../query.ts";

/** One row of table `vm`; the fields are the columns. */
export interface VmRow {
  readonly id: number;
  readonly version: number;
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly uname: string;
  readonly gname: string;
  /** Nine bits, owner use to other admin, as in `rwx`: 0o600 is owner use and manage. */
  readonly permissions: number;
  readonly state: number;
  readonly lcm_state: number;
  readonly prev_state: number;
  readonly prev_lcm_state: number;
  /** 1 when it is to be placed anew by the scheduler. */
  readonly resched: number;
  /** Wall seconds, for people. */
  readonly stime: number;
  readonly etime: number;
  /** The domain's name on the host: `one-12`; "" before it first ran. */
  readonly deploy_id: string;
  /** Promised: hundredths of a core, KiB. */
  readonly cpu: number;
  readonly memory: number;
  /** The host whose capacity it uses and where its domain is or may be; null when it is nowhere. */
  readonly host_id: number | null;
  /** Number of its last history record, −1 before the first. */
  readonly seq: number;
  /** 1: the stop under way (SHUTDOWN, SHUTDOWN_POWEROFF) is without asking the guest. */
  readonly hard: number;
  /** 1: its next start makes its disks anew (delete-recreate). */
  readonly fresh_disks: number;
  /** Why it is in BOOT_FAILURE, FAILED or UNKNOWN; "" otherwise. */
  readonly reason: string;
  /** What the hypervisor builds the domain from: inner XML of TEMPLATE, without VMID. */
  readonly template: string;
  readonly user_template: string;
}

const COLUMNS =
  "id,version,name,uid,gid,uname,gname,permissions,state,lcm_state,prev_state,prev_lcm_state,resched,stime,etime,deploy_id,cpu,memory,host_id,seq,hard,fresh_disks,reason,template,user_template";

export function vmById(id: number): Query<VmRow> {
  return { sql: `SELECT ${COLUMNS} FROM vm WHERE id=?`, values: [id] };
}

/** The VMs that use capacity of a host: everything that its death may have taken down. */
export function vmsOnHost(hostId: number): Query<VmRow> {
  return { sql: `SELECT ${COLUMNS} FROM vm WHERE host_id=? ORDER BY id`, values: [hostId] };
}

/** VMs that wait for a place. */
export function pendingVms(): Query<VmRow> {
  return { sql: `SELECT ${COLUMNS} FROM vm WHERE state=1 ORDER BY id`, values: [] };
}
