/** One look at a host's load, for people and for the scheduler's rank; not state, never replicated. */
export interface HostSample {
  /** Our monotonic clock. */
  readonly at: number;
  readonly memoryTotalKib: number;
  readonly memoryUsedKib: number;
  /** Share of all CPUs together since the sample before, 0 … 1; the first one after a connection has none. */
  readonly cpuUse: number | undefined;
}

/** Half an hour at one sample in 5 s; 100 hosts take about 3 MB. */
export const SAMPLES_PER_HOST_MAX = 360;
/** Each of three boxes' loops sends samples of one host on one connection; closer ones add nothing. */
const SAMPLE_INTERVAL_MS_MIN = 1000;

interface Counters {
  readonly at: number;
  readonly memoryTotalKib: number;
  readonly memoryAvailableKib: number;
  readonly cpuTicks: number;
  readonly cpuIdleTicks: number;
}

/** The last samples of every host, bounded. */
export class HostSamples {
  readonly #samples = new Map<number, HostSample[]>();
  readonly #last = new Map<number, Counters>();

  add(hostId: number, counters: Counters): void {
    const before = this.#last.get(hostId);
    if (before !== undefined && counters.at - before.at < SAMPLE_INTERVAL_MS_MIN) return;
    this.#last.set(hostId, counters);
    const ticks = counters.cpuTicks - (before?.cpuTicks ?? 0);
    const idle = counters.cpuIdleTicks - (before?.cpuIdleTicks ?? 0);
    // Fewer ticks than before: another boot.
    const isComparable = before !== undefined && ticks > 0 && idle >= 0 && idle <= ticks;
    const samples = this.#samples.get(hostId) ?? [];
    samples.push({
      at: counters.at,
      memoryTotalKib: counters.memoryTotalKib,
      memoryUsedKib: Math.max(0, counters.memoryTotalKib - counters.memoryAvailableKib),
      cpuUse: isComparable ? (ticks - idle) / ticks : undefined,
    });
    if (samples.length > SAMPLES_PER_HOST_MAX) samples.shift();
    this.#samples.set(hostId, samples);
  }

  /** Oldest first. */
  of(hostId: number): readonly HostSample[] {
    return this.#samples.get(hostId) ?? [];
  }

  forget(hostId: number): void {
    this.#samples.delete(hostId);
    this.#last.delete(hostId);
  }
}
