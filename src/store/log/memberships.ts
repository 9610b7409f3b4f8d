import type { MembershipRecord } from "./types.ts";

/** The membership records that can still count: a few, oldest first. Carried into each new segment, so that a purge loses none. */
export class Memberships {
  #records: MembershipRecord[] = [];

  /**
   * Newer ones stay: a new segment repeats all records, and its first group may be torn after an older one. Only
   * {@link truncate} takes newer ones back.
   */
  add(record: MembershipRecord): void {
    const others = this.#records.filter((other) => other.index !== record.index);
    this.#records = [...others, record].sort((a, b) => a.index - b.index);
  }

  /** Entries from `from` on are gone, and so are the memberships that they made. */
  truncate(from: number): void {
    this.#records = this.#records.filter((record) => record.index < from);
  }

  /** Keeps the newest at or below `index` and all after it. */
  settle(index: number): void {
    const newest = this.#records.findLastIndex((record) => record.index <= index);
    if (newest > 0) this.#records = this.#records.slice(newest);
  }

  /**
   * A snapshot's takes the place of all that are not newer. Newer ones stay, also when the snapshot's arrival takes
   * their entries: a record is written when its change is committed, so the entries will come again.
   */
  startFrom(record: MembershipRecord): void {
    this.#records = [record, ...this.#records.filter((other) => other.index > record.index)];
  }

  newest(): MembershipRecord | undefined {
    return this.#records.at(-1);
  }

  newestAt(index: number): MembershipRecord | undefined {
    return this.#records.findLast((record) => record.index <= index);
  }

  all(): readonly MembershipRecord[] {
    return this.#records;
  }
}
