import type { RecoveryRow } from "./record.ts";

/** How a recovery went: seconds a step, and each VM's outcome. Kept in the record, shown by `ringfence fence status`. */
export interface RecoveryReport {
  /** Last answer → the host counts as silent. Undefined where a leader change lost the instant. */
  readonly detectSeconds: number | undefined;
  /** → the boxes agree. */
  readonly agreeSeconds: number | undefined;
  /** → the first off is sent. */
  readonly fenceSeconds: number | undefined;
  /** → proven off. */
  readonly proveSeconds: number | undefined;
  /** → every VM has its outcome. */
  readonly placeSeconds: number | undefined;
  /** → everything that was started runs. */
  readonly startSeconds: number | undefined;
  readonly vms: readonly {
    readonly id: number;
    readonly outcome: string;
    readonly target: number | null;
    readonly reason: string;
  }[];
}

/** Wall instants in ms, as the fencing record's marks have them. */
export type ReportMarks = Readonly<Record<string, number | undefined>>;

export function makeReport(marks: ReportMarks, frozen: readonly RecoveryRow[]): RecoveryReport {
  return {
    detectSeconds: seconds(marks["lastAnswerAt"], marks["suspectAt"]),
    agreeSeconds: seconds(marks["suspectAt"], marks["agreedAt"]),
    fenceSeconds: seconds(marks["agreedAt"], marks["offSentAt"]),
    proveSeconds: seconds(marks["offSentAt"], marks["provenAt"]),
    placeSeconds: seconds(marks["provenAt"], marks["placedAt"]),
    startSeconds: seconds(marks["placedAt"], marks["startedAt"]),
    vms: frozen.map(({ vm_id, outcome, target, reason }) => ({ id: vm_id, outcome, target, reason })),
  };
}

/** When the last VM got its outcome; undefined when there was none. */
export function placedAt(frozen: readonly RecoveryRow[]): number | undefined {
  const times = frozen.map(({ at }) => at).filter((at) => at > 0);
  return times.length === 0 ? undefined : Math.max(...times);
}

/** To the millisecond; a clock that was set back in between gives no negative time. */
function seconds(from: number | undefined, to: number | undefined): number | undefined {
  if (from === undefined || to === undefined) return undefined;
  return Math.max(0, to - from) / 1000;
}
