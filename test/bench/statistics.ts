/** The middle sample; between the two middle ones when their number is even. NaN of nothing. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}

/** The smallest sample that at least `fraction` (0 … 1) of all do not exceed: p99 of 50 samples is the largest. */
export function quantile(samples: readonly number[], fraction: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? Number.NaN;
}

/** For people: `min / median / p99 / max`. */
export function spread(samples: readonly number[], unit: string): string {
  const figures = [Math.min(...samples), median(samples), quantile(samples, 0.99), Math.max(...samples)];
  return `${figures.map((figure) => figure.toFixed(0)).join(" / ")} ${unit} (min/median/p99/max of ${samples.length})`;
}
