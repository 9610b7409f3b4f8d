import type { Change, Guard, Outcome } from "../base/entry.ts";
import type { Query } from "../one/query.ts";

/** The fencing record as recovery sees it; src/fence/record.ts has the whole row. */
export interface LostHost {
  readonly host_id: number;
  readonly failure: number;
  readonly state: string;
  readonly version: number;
  readonly proofs: string;
  readonly marks: string;
}

/** What recovery needs of the box. Used by the leader only. */
export interface VmhaPorts {
  /** The local state; at the leader, after its own no-op was applied. */
  read<R>(query: Query<R>): Promise<readonly R[]>;
  /** Resolves with `done` only after the entry is applied here and `read` shows it. */
  propose(change: Change, kind: string): Promise<Outcome>;
  /** The entries and guards of src/fence/record.ts. */
  readonly records: {
    all(): Query<LostHost>;
    recovering(record: LostHost, wallAt: number): Change;
    closed(record: LostHost, report: string, marks: Readonly<Record<string, number>>): Change;
    stillRecovering(record: LostHost): Guard;
    notBeingFenced(hostId: number): Guard;
  };
  /** No command of any leader can hit the host any more (src/fence/driver.ts). */
  isSettled(hostId: number): boolean;
  /** Ids of the VMs that a lost host showed after it came back; empty when it did not. */
  returnedDomains(hostId: number): readonly number[];
  /** Why a host in service takes no VM now (degraded, silent); "" when it does. */
  closedReason(hostId: number): string;
  /** Hosts that a VM must keep away from (VM groups); empty where there are none. */
  keepAway(vmId: number): ReadonlyMap<number, string>;
  readonly clock: {
    now(): number;
    wall(): number;
    after(ms: number, run: () => void): () => void;
  };
  alert(text: string): void;
}
