import type { Guard, Statement } from "../base/entry.ts";
import { statement } from "../one/change.ts";
import type { Query } from "../one/query.ts";

/**
 * The replicated record of a host's failure: one row a host, written by entries only. Every state from INTENT on is an
 * entry *before* it is acted on, so that any leader can go on from the row alone.
 */
export type FenceRecordState =
  /** We are going to power it off; nothing was sent by this attempt. */
  | "INTENT"
  /** From now on an off may be on its way. */
  | "OFF_SENT"
  /** It is off, by the proofs in the row. */
  | "OFF_PROVEN"
  /** Its VMs are frozen in table `recovery` and are being started elsewhere. */
  | "RECOVERING"
  /** Over; `report` tells how it went. */
  | "CLOSED"
  /** A gate said no, or the proof was voided. Looked at again; a person or new evidence leaves it. */
  | "HELD"
  /** Every method of every level failed; tried again for ever, slower each time. */
  | "FAILED";

/** One row of table `fence`; the fields are the columns. */
export interface FenceRow {
  readonly host_id: number;
  readonly version: number;
  /** Counts this host's failures from 1. A person's confirmation is good for one of them. */
  readonly failure: number;
  readonly state: FenceRecordState;
  /** Raft term of the leader that wrote the last INTENT; 0 when none did. */
  readonly epoch: number;
  readonly level: number;
  readonly method: string;
  /** Counts the intents of this failure. */
  readonly attempt: number;
  /** Term of the last leader that may have sent an off in this failure; 0 = nobody did. */
  readonly off_epoch: number;
  /** The gate or cause in one word: `storm`, `identity`, `answered`; "" when it is not held or failed. */
  readonly reason_code: string;
  /** The same for people. */
  readonly reason: string;
  /** JSON array of sentences: what was seen. */
  readonly evidence: string;
  /** JSON array of {@link Proof}. */
  readonly proofs: string;
  /** Who confirmed by hand that the host is off; "" when nobody did. */
  readonly confirmed_by: string;
  /** The boot id that the host showed before this failure; "" when it never did. */
  readonly boot_id: string;
  /** JSON of {@link Marks}. */
  readonly marks: string;
  /** JSON report of the finished recovery; "" before. */
  readonly report: string;
}

/** Why a host counts as off: the closed list of promise P3. */
export type Proof =
  /** A BMC said so: what it read when we came, how many off answers over which time, and which BMC it was. */
  | {
      readonly kind: "bmc";
      readonly method: string;
      readonly address: string;
      readonly guid: string;
      readonly was: "on" | "off";
      readonly reads: number;
      readonly spanMs: number;
    }
  /** A person confirmed it, by name, for this failure. */
  | { readonly kind: "person"; readonly by: string }
  /** The configuration file says `--no-fencing`: the person who wrote it answers for it; alerted at each run. */
  | { readonly kind: "waived"; readonly by: string };

/** Wall times in ms of what happened when, fixed by the leader; for reports, and for what the storm gates know after a change of leader. */
export interface Marks {
  readonly lastAnswerAt?: number;
  readonly suspectAt?: number;
  readonly agreedAt?: number;
  readonly intentAt?: number;
  readonly offSentAt?: number;
  readonly provenAt?: number;
  readonly recoveringAt?: number;
  readonly placedAt?: number;
  readonly closedAt?: number;
}

/** The pair that ties a BMC to a host (fence bind). */
export interface BindingRow {
  readonly host_id: number;
  readonly guid: string;
  readonly uuid: string;
  readonly bound_by: string;
}

/**
 * The reason code of a proven record whose host came back with a new boot id and showed its domains: its answers no
 * longer void the proof, because they are of a machine that was off in between.
 */
export const RETURNED = "returned";

/** Schema level 1 of the fencing tables. */
export const fenceSchema: readonly Statement[] = [
  statement(
    `CREATE TABLE fence(host_id INTEGER PRIMARY KEY, version INTEGER NOT NULL, failure INTEGER NOT NULL, state TEXT NOT NULL,
      epoch INTEGER NOT NULL, level INTEGER NOT NULL, method TEXT NOT NULL, attempt INTEGER NOT NULL, off_epoch INTEGER NOT NULL,
      reason_code TEXT NOT NULL, reason TEXT NOT NULL, evidence TEXT NOT NULL, proofs TEXT NOT NULL, confirmed_by TEXT NOT NULL,
      boot_id TEXT NOT NULL, marks TEXT NOT NULL, report TEXT NOT NULL) STRICT`,
  ),
  statement(
    `CREATE TABLE fence_report(host_id INTEGER NOT NULL, failure INTEGER NOT NULL, at INTEGER NOT NULL, reason TEXT NOT NULL,
      report TEXT NOT NULL, PRIMARY KEY(host_id, failure)) STRICT,WITHOUT ROWID`,
  ),
  statement(
    "CREATE TABLE fence_binding(host_id INTEGER PRIMARY KEY, guid TEXT NOT NULL, uuid TEXT NOT NULL, bound_by TEXT NOT NULL) STRICT",
  ),
  statement(
    "CREATE TABLE fence_setting(id INTEGER PRIMARY KEY CHECK(id=0), armed INTEGER NOT NULL, changed_by TEXT NOT NULL, why TEXT NOT NULL) STRICT",
  ),
  statement("INSERT INTO fence_setting(id,armed,changed_by,why) VALUES(0,1,'founding','')"),
];

/** The columns of table `fence`, as every statement names them. */
export const COLUMNS =
  "host_id,version,failure,state,epoch,level,method,attempt,off_epoch,reason_code,reason,evidence,proofs,confirmed_by,boot_id,marks,report";

export function fenceRecord(hostId: number): Query<FenceRow> {
  return { sql: `SELECT ${COLUMNS} FROM fence WHERE host_id=?`, values: [hostId] };
}

export function allFenceRecords(): Query<FenceRow> {
  return { sql: `SELECT ${COLUMNS} FROM fence ORDER BY host_id`, values: [] };
}

export function allBindings(): Query<BindingRow> {
  return { sql: "SELECT host_id,guid,uuid,bound_by FROM fence_binding ORDER BY host_id", values: [] };
}

/** Forbids power commands until a person allows them again. */
export function disarm(by: string, why: string): Statement {
  return statement("UPDATE fence_setting SET armed=0,changed_by=?,why=? WHERE id=0", by, why);
}

/** Whether power commands are allowed at all (`fence arm`, `fence disarm`). */
export function fenceSetting(): Query<{ readonly armed: number; readonly changed_by: string; readonly why: string }> {
  return { sql: "SELECT armed,changed_by,why FROM fence_setting WHERE id=0", values: [] };
}

/** A host may get a VM, be enabled or powered on only while this holds: no record, or a closed one. */
export function notBeingFenced(hostId: number): Guard {
  return {
    sql: "SELECT count(*) FROM fence WHERE host_id=? AND state<>'CLOSED'",
    values: [hostId],
    expect: [[0]],
    why: `host ${hostId} is being fenced or recovered`,
  };
}

/** True while the failure of the record is not over. */
export function isOpen(row: FenceRow | undefined): row is FenceRow {
  return row !== undefined && row.state !== "CLOSED";
}

/** Holds while the record is the one that was read. */
export function recordGuard(hostId: number, row: FenceRow | undefined): Guard {
  return {
    sql: "SELECT version,state FROM fence WHERE host_id=?",
    values: [hostId],
    expect: row === undefined ? [] : [[row.version, row.state]],
    why: `the fencing record of host ${hostId} was changed meanwhile`,
  };
}

/** Holds while power commands are allowed. */
export const armedGuard: Guard = {
  sql: "SELECT armed FROM fence_setting WHERE id=0",
  values: [],
  expect: [[1]],
  why: "fencing was disarmed meanwhile",
};

/** Holds while this very failure is being recovered: each VM's start is admitted only under it. */
export function stillRecovering(row: { readonly host_id: number; readonly failure: number }): Guard {
  return {
    sql: "SELECT state,failure FROM fence WHERE host_id=?",
    values: [row.host_id],
    expect: [["RECOVERING", row.failure]],
    why: `the recovery of host ${row.host_id} was stopped meanwhile`,
  };
}
