import type { MembershipRecord } from "./types.ts";

/** The membership records that can still count: a few, oldest first. Carried into each new segment, so that a purge loses none. */
export class Memberships {
  #records: MembershipRecord[] = [];

  add(record: MembershipRecord): void {
    this.#records = this.#records.filter((other) => other.index < record.index);
    this.#records.push(record);
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
