import type { Prng } from "../../src/base/prng.ts";
import { EMPTY_MEMBERSHIP } from "../../src/raft/membership.ts";
import { decodeMembership } from "../../src/raft/membership-codec.ts";
import type { HardState, LogEntry, Membership, SnapshotMeta } from "../../src/raft/types.ts";
import { INITIAL_HARD_STATE } from "../../src/raft/types.ts";
import type { Append } from "../../src/store/log/types.ts";
import { MemoryLog } from "../support/raft/memory-log.ts";
import type { World } from "./world.ts";

interface Write {
  readonly record: Append;
  readonly done: (error?: Error) => void;
}

export interface MembershipRecord {
  readonly index: number;
  readonly value: Membership;
}

/** A write or sync that the device refused; the log is of no further use to this process. */
export class DiskFailure extends Error {
  override readonly name = "DiskFailure";
}

/**
 * A box's log device: writes in order, one sync under way at a time. What waits behind it is in the process's memory
 * and gone with it; of what is under way any prefix may have reached the disk when the process or the power goes.
 */
export class SimDisk {
  readonly #world: World;
  readonly #random: Prng;
  /** What survives; the core's LogReader. */
  log = new MemoryLog();
  hardState: HardState = INITIAL_HARD_STATE;
  /** Recorded memberships that can still count, oldest first. */
  #memberships: MembershipRecord[] = [];
  /** Entries that the log has forgotten; for the checks' eyes only. */
  #forgotten: readonly LogEntry[] = [];
  /** The commit index that rode in the newest group. */
  commit = 0;
  /** Every entry handed in, by index, durable or not: what the box holds as long as its process lives. */
  view: LogEntry[] = [];
  #pending: Write[] = [];
  #syncing = 0;
  #isPoisoned = false;
  #generation = 0;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.split();
  }

  get membership(): MembershipRecord | undefined {
    return this.#memberships.at(-1);
  }

  set membership(record: MembershipRecord | undefined) {
    const older = record === undefined ? [] : this.#memberships.filter((other) => other.index < record.index);
    this.#memberships = record === undefined ? [] : [...older, record];
  }

  /** The newest recorded membership at or below `index`. */
  membershipAt(index: number): MembershipRecord | undefined {
    return this.#memberships.findLast((record) => record.index <= index);
  }

  /** As store/log's purge, to the very entry. */
  purgeTo(index: number): void {
    const last = Math.min(index, this.log.lastIndex(), this.commit);
    if (last < this.log.firstIndex()) return;
    const term = this.log.term(last) ?? 0;
    this.#forgotten = [...this.#forgotten, ...this.log.all.filter((entry) => entry.index <= last)];
    this.log.compact({ index: last, term, membership: this.membershipAt(last)?.value ?? EMPTY_MEMBERSHIP });
    this.#world.count("log purged");
  }

  /** The log starts after a snapshot, durably: as store/log's mark. `before` is what the snapshot stands for. */
  startAfter(meta: SnapshotMeta, membership: MembershipRecord | undefined, before: readonly LogEntry[]): void {
    const { index, term } = meta;
    const conflicts = this.log.term(index) !== term && this.log.lastIndex() > index;
    if (conflicts) this.#world.count("snapshot over a conflicting suffix");
    if (conflicts && this.#world.mutants.has("conflicting-suffix-kept-after-a-snapshot"))
      this.log = new MemoryLog(
        this.log.all.filter((entry) => entry.index > index),
        meta,
      );
    else this.log.compact(meta);
    this.#forgotten = [...before];
    this.view = [...this.#forgotten, ...this.log.all];
    this.commit = Math.max(this.commit, index);
    if (membership !== undefined)
      this.#memberships = [membership, ...this.#memberships.filter((other) => other.index > membership.index)];
  }

  /** As store/log's append: `done` comes later, in the order of the calls. */
  append(record: Append, done: (error?: Error) => void): void {
    const first = record.entries[0];
    if (first !== undefined) {
      this.view.length = first.index - 1;
      for (const entry of record.entries) this.view.push(entry);
    }
    if (this.#isPoisoned) {
      this.#world.after(0, "refused write", () => done(new DiskFailure("the log is poisoned")));
      return;
    }
    if (this.#world.mutants.has("log-answers-before-the-sync")) {
      this.#world.after(0, "early answer", () => done());
      this.#pending.push({ record, done: () => undefined });
    } else this.#pending.push({ record, done });
    if (this.#syncing === 0) this.#sync();
  }

  /** The process is gone: what it had not handed to the kernel is gone with it. */
  kill(): void {
    const kept = this.#random.range(0, this.#syncing);
    if (kept < this.#pending.length) this.#world.count("unwritten writes lost");
    this.#settle(kept);
  }

  /** Power gone. */
  cutPower(): void {
    const kept = this.#random.range(0, this.#syncing);
    if (kept < this.#pending.length) this.#world.count("unsynced writes lost");
    this.#settle(kept);
  }

  /** An empty disk in its place. */
  wipe(): void {
    this.log = new MemoryLog();
    this.hardState = INITIAL_HARD_STATE;
    this.membership = undefined;
    this.#forgotten = [];
    this.commit = 0;
    this.view = [];
  }

  #settle(count: number): void {
    for (const { record } of this.#pending.slice(0, count)) this.#keep(record);
    this.#pending = [];
    this.#syncing = 0;
    this.#isPoisoned = false;
    this.#generation++;
    this.view = [...this.#forgotten, ...this.log.all];
  }

  #sync(): void {
    const generation = this.#generation;
    const { storm, faults } = this.#world;
    this.#syncing = this.#pending.length;
    let delayMs = 0.1 + this.#random.fraction() * 0.4;
    if (this.#random.chance(0.02)) delayMs += this.#random.fraction() * 34;
    if (storm && faults.slowDisk && this.#random.chance(0.02)) {
      delayMs += this.#random.fraction() * 2000;
      this.#world.count("slow syncs");
    }
    const fails = storm && faults.failingDisk && this.#random.chance(0.003) && this.#world.strikes();
    this.#world.after(delayMs, "sync", () => {
      if (generation !== this.#generation) return;
      if (fails) this.#fail();
      else this.#finish();
    });
  }

  #finish(): void {
    const group = this.#pending.splice(0, this.#syncing);
    this.#syncing = 0;
    for (const write of group) {
      this.#keep(write.record);
      write.done();
    }
    if (this.#pending.length > 0) this.#sync();
  }

  /** Any part of the group may be on the disk; nobody is told that it is, and nothing is written any more. */
  #fail(): void {
    this.#world.count("failed syncs");
    const failed = this.#pending;
    const kept = this.#random.range(0, this.#syncing);
    for (const { record } of failed.slice(0, kept)) this.#keep(record);
    this.#pending = [];
    this.#syncing = 0;
    this.#isPoisoned = true;
    for (const { done } of failed) done(new DiskFailure("fdatasync: EIO"));
  }

  /** With planted mistakes a part of it, or all, reaches the disk only with the next record. */
  #keepHardState(next: HardState | undefined): void {
    const { mutants } = this.#world;
    this.hardState = this.#lateHardState ?? this.hardState;
    this.#lateHardState = undefined;
    if (next === undefined) return;
    if (mutants.has("term-and-vote-persisted-late")) this.#lateHardState = next;
    else if (mutants.has("term-and-vote-persisted-apart")) {
      this.#lateHardState = next;
      this.hardState = { ...next, vote: next.term === this.hardState.term ? this.hardState.vote : "" };
    } else this.hardState = next;
  }
  #lateHardState: HardState | undefined;

  #keep(record: Append): void {
    this.#keepHardState(record.hardState);
    this.log.write(record.entries);
    this.commit = Math.max(this.commit, record.commit);
    const { membership } = record;
    if (membership !== undefined)
      this.membership = { index: membership.index, value: decodeMembership(membership.bytes) };
  }
}
