/** One measured figure, with what it is measured against when there is something. */
export interface BenchRow {
  /** Stable name, as `log.writers-64`. */
  readonly key: string;
  readonly value: number;
  readonly unit: string;
  /** Samples behind the value. */
  readonly n: number;
  /** What it is compared with, in the same run on the same machine. */
  readonly peer: string | null;
  readonly peerValue: number | null;
  /** value / peerValue. */
  readonly ratio: number | null;
}
