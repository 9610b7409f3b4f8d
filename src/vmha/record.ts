import type { Change, Guard, SqlValue, Statement } from "../base/entry.ts";
import { statement } from "../one/change.ts";
import type { Query } from "../one/query.ts";

/** What became of one VM of a lost host; "" while it is not decided. */
export type RecoveryOutcome = "" | "RESUBMITTED" | "HELD" | "UNPLACEABLE" | "SKIPPED";

/** One row of table `recovery`: a VM of the frozen list of a host's failure. */
export interface RecoveryRow {
  readonly host_id: number;
  readonly vm_id: number;
  readonly failure: number;
  readonly version: number;
  readonly outcome: RecoveryOutcome;
  /** Where it was started; null when it was queued or not started. */
  readonly target: number | null;
  readonly reason: string;
  /** Starts so far in this recovery. */
  readonly attempt: number;
  /** Wall ms of the outcome, for the report. */
  readonly at: number;
}

/** One row of table `vm_retry`: a VM that crashed on a host in health and is being started again. */
export interface RetryRow {
  readonly vm_id: number;
  readonly attempt: number;
}

/** Schema level 1 of recovery. */
export const vmhaSchema: readonly Statement[] = [
  statement(
    `CREATE TABLE recovery(host_id INTEGER NOT NULL, vm_id INTEGER NOT NULL, failure INTEGER NOT NULL, version INTEGER NOT NULL,
      outcome TEXT NOT NULL, target INTEGER, reason TEXT NOT NULL, attempt INTEGER NOT NULL, at INTEGER NOT NULL,
      PRIMARY KEY(host_id, vm_id)) STRICT,WITHOUT ROWID`,
  ),
  statement("CREATE TABLE vm_retry(vm_id INTEGER PRIMARY KEY, attempt INTEGER NOT NULL) STRICT"),
];

const COLUMNS = "host_id,vm_id,failure,version,outcome,target,reason,attempt,at";

/** The frozen list of one failure. */
export function frozenVms(hostId: number, failure: number): Query<RecoveryRow> {
  return {
    sql: `SELECT ${COLUMNS} FROM recovery WHERE host_id=? AND failure=? ORDER BY vm_id`,
    values: [hostId, failure],
  };
}

export function allRetries(): Query<RetryRow> {
  return { sql: "SELECT vm_id,attempt FROM vm_retry ORDER BY vm_id", values: [] };
}

/** Ids of VMs that crashed (FAILED), or whose restart after a crash did not come up; a first start is a person's matter. */
export function crashedVms(): Query<{ readonly id: number }> {
  return {
    sql: "SELECT id FROM vm WHERE state=7 OR (state=3 AND lcm_state=36 AND id IN (SELECT vm_id FROM vm_retry)) ORDER BY id",
    values: [],
  };
}

/** VMs that are being started, by host: what the start limit counts. */
export function startsByHost(): Query<{ readonly host_id: number; readonly starts: number }> {
  return {
    sql: "SELECT host_id,count(*) AS starts FROM vm WHERE state=3 AND lcm_state=2 AND host_id IS NOT NULL GROUP BY host_id ORDER BY host_id",
    values: [],
  };
}

/**
 * Freezes the list: exactly the VMs that count on the host when the entry is applied. Rows of earlier failures go; rows
 * of this one stay, so that a recovery that was interrupted by a return of the host keeps the outcomes it has.
 */
export function freezeChange(hostId: number, failure: number, vmIds: readonly number[]): Change {
  return {
    guards: [
      {
        sql: "SELECT id FROM vm WHERE host_id=? ORDER BY id",
        values: [hostId],
        expect: vmIds.map((id) => [id]),
        why: `the VMs of host ${hostId} were changed meanwhile`,
      },
    ],
    statements: [
      statement("DELETE FROM recovery WHERE host_id=? AND failure<>?", hostId, failure),
      ...vmIds.map((vmId) =>
        statement(
          "INSERT INTO recovery(host_id,vm_id,failure,version,outcome,target,reason,attempt,at) VALUES(?,?,?,1,'',NULL,'',0,0) ON CONFLICT DO NOTHING",
          hostId,
          vmId,
          failure,
        ),
      ),
    ],
    tags: [`fence:${hostId}`],
  };
}

/** The outcome of one VM; goes into the same entry as the VM's own step. */
export function outcomeChange(
  row: RecoveryRow,
  outcome: RecoveryOutcome,
  fields: {
    readonly target: number | null;
    readonly reason: string;
    readonly attempt: number;
    readonly wallAt: number;
  },
): Change {
  const values: SqlValue[] = [outcome, fields.target, fields.reason, fields.attempt, fields.wallAt];
  return {
    guards: [rowGuard(row)],
    statements: [
      statement(
        "UPDATE recovery SET version=version+1,outcome=?,target=?,reason=?,attempt=?,at=? WHERE host_id=? AND vm_id=?",
        ...values,
        row.host_id,
        row.vm_id,
      ),
    ],
    tags: [`fence:${row.host_id}`, `vm:${row.vm_id}`],
  };
}

/** Counts a restart of a crashed VM. */
export function retryChange(vmId: number, row: RetryRow | undefined): Change {
  const guard: Guard = {
    sql: "SELECT attempt FROM vm_retry WHERE vm_id=?",
    values: [vmId],
    expect: row === undefined ? [] : [[row.attempt]],
    why: `vm ${vmId} was started again meanwhile`,
  };
  return {
    guards: [guard],
    statements: [
      statement(
        "INSERT INTO vm_retry(vm_id,attempt) VALUES(?,1) ON CONFLICT(vm_id) DO UPDATE SET attempt=attempt+1",
        vmId,
      ),
    ],
    tags: [`vm:${vmId}`],
  };
}

/** It has run long enough: its crashes are forgotten. */
export function forgetRetryChange(row: RetryRow): Change {
  return {
    guards: [],
    statements: [statement("DELETE FROM vm_retry WHERE vm_id=? AND attempt=?", row.vm_id, row.attempt)],
    tags: [],
  };
}

function rowGuard(row: RecoveryRow): Guard {
  return {
    sql: "SELECT version,failure FROM recovery WHERE host_id=? AND vm_id=?",
    values: [row.host_id, row.vm_id],
    expect: [[row.version, row.failure]],
    why: `the recovery of vm ${row.vm_id} was changed meanwhile`,
  };
}
