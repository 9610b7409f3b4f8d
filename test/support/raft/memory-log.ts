import type { LogEntry, LogReader, SnapshotMeta } from "../../../src/raft/types.ts";

/** A log in memory: what `store/log` is on disk. Writes are visible to the reader at once. */
export class MemoryLog implements LogReader {
  #entries: LogEntry[] = [];
  #meta: SnapshotMeta | undefined;

  constructor(entries: readonly LogEntry[] = [], meta?: SnapshotMeta) {
    this.#entries = [...entries];
    this.#meta = meta;
  }

  get all(): readonly LogEntry[] {
    return this.#entries;
  }

  #base(): number {
    return this.#entries[0]?.index ?? (this.#meta?.index ?? 0) + 1;
  }

  firstIndex(): number {
    return this.#base();
  }

  lastIndex(): number {
    return this.#base() + this.#entries.length - 1;
  }

  term(index: number): number | undefined {
    if (index === 0) return 0;
    if (index === this.#meta?.index) return this.#meta.term;
    return this.#entries[index - this.#base()]?.term;
  }

  entries(lo: number, hi: number, maxBytes: number): readonly LogEntry[] {
    const base = this.#base();
    if (lo < base) return [];
    const result: LogEntry[] = [];
    let size = 0;
    for (let index = lo; index <= hi; index++) {
      const entry = this.#entries[index - base];
      if (entry === undefined) break;
      size += entry.data.length;
      if (size > maxBytes && result.length > 0) break;
      result.push(entry);
    }
    return result;
  }

  snapshotMeta(): SnapshotMeta | undefined {
    return this.#meta;
  }

  /** Cuts where the first entry belongs, then appends. */
  write(entries: readonly LogEntry[]): void {
    const first = entries[0];
    if (first === undefined) return;
    this.#entries.length = first.index - this.#base();
    for (const entry of entries) this.#entries.push(entry);
  }

  /** Forgets entries up to `meta.index`, as after a snapshot. */
  compact(meta: SnapshotMeta): void {
    const keep = this.term(meta.index) === meta.term;
    this.#entries = keep ? this.#entries.filter((entry) => entry.index > meta.index) : [];
    this.#meta = meta;
  }
}
