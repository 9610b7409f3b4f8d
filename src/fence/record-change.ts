import type { Change, SqlValue, Statement } from "../base/entry.ts";
import { statement } from "../one/change.ts";
import {
  COLUMNS,
  type FenceRecordState,
  type FenceRow,
  type Marks,
  type Proof,
  RETURNED,
  recordGuard,
} from "./record.ts";

/** Reports of a host kept after its failures; older ones go. */
export const REPORTS_KEPT = 20;

/** What one arrow writes; what is left out stays as it was. */
export interface RecordUpdate {
  readonly state: FenceRecordState;
  readonly epoch?: number;
  readonly level?: number;
  readonly method?: string;
  readonly attempt?: number;
  readonly offEpoch?: number;
  readonly reasonCode?: string;
  readonly reason?: string;
  readonly evidence?: readonly string[];
  readonly proofs?: readonly Proof[];
  readonly bootId?: string;
  readonly marks?: Marks;
  readonly report?: string;
  /** The host answered: what a person confirmed was not so. */
  readonly isConfirmationVoid?: boolean;
  /** Starts the next failure: counters, proofs and confirmation are those of a new row. */
  readonly isNewFailure?: boolean;
}

/** One arrow of the machine as a change: guarded by the version of the row that the decision was made on. */
export function recordChange(hostId: number, row: FenceRow | undefined, update: RecordUpdate): Change {
  const next = nextRow(hostId, row, update);
  const values: SqlValue[] = COLUMN_NAMES.map((name) => next[name]);
  const write =
    row === undefined
      ? statement(`INSERT INTO fence(${COLUMNS}) VALUES(${COLUMN_NAMES.map(() => "?").join(",")})`, ...values)
      : statement(
          `UPDATE fence SET ${COLUMN_NAMES.map((name) => `${name}=?`).join(",")} WHERE host_id=?`,
          ...values,
          hostId,
        );
  return {
    guards: [recordGuard(hostId, row)],
    statements: [write, noteOnHost(hostId, next), ...(update.state === "CLOSED" ? keepReport(next) : [])],
    tags: [`fence:${hostId}`, `host:${hostId}`],
  };
}

/** The row that `update` makes of `row`. */
export function nextRow(hostId: number, row: FenceRow | undefined, update: RecordUpdate): FenceRow {
  const base = row === undefined || update.isNewFailure ? emptyRow(hostId, row) : row;
  const isHeld = update.state === "HELD" || update.state === "FAILED";
  const keepsReason = isHeld || (base.reason_code === RETURNED && update.state === "RECOVERING");
  return {
    ...base,
    version: (row?.version ?? 0) + 1,
    state: update.state,
    epoch: update.epoch ?? base.epoch,
    level: update.level ?? base.level,
    method: update.method ?? base.method,
    attempt: update.attempt ?? base.attempt,
    off_epoch: update.offEpoch ?? base.off_epoch,
    reason_code: update.reasonCode ?? (keepsReason ? base.reason_code : ""),
    reason: update.reason ?? (keepsReason ? base.reason : ""),
    confirmed_by: update.isConfirmationVoid ? "" : base.confirmed_by,
    evidence: update.evidence === undefined ? base.evidence : JSON.stringify(update.evidence),
    proofs: update.proofs === undefined ? base.proofs : JSON.stringify(update.proofs),
    boot_id: update.bootId ?? base.boot_id,
    marks: JSON.stringify({ ...(JSON.parse(base.marks) as Marks), ...update.marks }),
    report: update.report ?? base.report,
  };
}

const COLUMN_NAMES = COLUMNS.split(",") as (keyof FenceRow)[];

function emptyRow(hostId: number, previous: FenceRow | undefined): FenceRow {
  return {
    host_id: hostId,
    version: previous?.version ?? 0,
    failure: (previous?.failure ?? 0) + 1,
    state: "CLOSED",
    epoch: 0,
    level: 0,
    method: "",
    attempt: 0,
    off_epoch: 0,
    reason_code: "",
    reason: "",
    evidence: "[]",
    proofs: "[]",
    confirmed_by: "",
    boot_id: "",
    marks: "{}",
    report: "",
  };
}

/** `onehost show` tells the state and its reason; a closed record leaves no note. */
function noteOnHost(hostId: number, row: FenceRow): Statement {
  const note = row.state === "CLOSED" ? "" : row.reason === "" ? row.state : `${row.state}: ${row.reason}`;
  return statement("UPDATE host SET fence_note=? WHERE id=?", note, hostId);
}

function keepReport(row: FenceRow): Statement[] {
  const closedAt = (JSON.parse(row.marks) as Marks).closedAt ?? 0;
  return [
    statement(
      "INSERT OR REPLACE INTO fence_report(host_id,failure,at,reason,report) VALUES(?,?,?,?,?)",
      row.host_id,
      row.failure,
      closedAt,
      row.reason,
      row.report,
    ),
    statement("DELETE FROM fence_report WHERE host_id=? AND failure<=?", row.host_id, row.failure - REPORTS_KEPT),
  ];
}

/** OFF_PROVEN → RECOVERING; vmha freezes the VM list in the same entry. */
export function recoveringChange(row: FenceRow, wallAt: number): Change {
  return recordChange(row.host_id, row, { state: "RECOVERING", marks: { recoveringAt: wallAt } });
}

/** RECOVERING → CLOSED with the report; only once no command can hit the host any more. */
export function closedChange(row: FenceRow, report: string, marks: Marks): Change {
  return recordChange(row.host_id, row, { state: "CLOSED", report, marks });
}
