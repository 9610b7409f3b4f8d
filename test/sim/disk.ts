import type { Prng } from "../../src/base/prng.ts";
import type { HardState, LogEntry, Membership } from "../../src/raft/types.ts";
import { INITIAL_HARD_STATE } from "../../src/raft/types.ts";
import { MemoryLog } from "../support/raft/memory-log.ts";
import type { World } from "./world.ts";

interface Write {
  readonly hardState: HardState | undefined;
  readonly entries: readonly LogEntry[];
  readonly membership: MembershipRecord | undefined;
  readonly done: () => void;
}

export interface MembershipRecord {
  readonly index: number;
  readonly membership: Membership;
}

/**
 * A box's log device: writes in order, one sync under way at a time, and what is not synced may be lost in a power cut
 * (any suffix of it; recovery keeps the longest valid prefix). A killed process loses nothing that was written.
 */
export class SimDisk {
  readonly #world: World;
  readonly #random: Prng;
  /** What survives a power cut; the core's LogReader. */
  log = new MemoryLog();
  hardState: HardState = INITIAL_HARD_STATE;
  membership: MembershipRecord | undefined;
  /** Every entry handed in, by index, durable or not: what the box holds as long as it has power. */
  view: LogEntry[] = [];
  #pending: Write[] = [];
  #syncing = 0;
  /** Finished writes are being reported: a new one must not overtake them. */
  #isReporting = false;
  #generation = 0;

  constructor(world: World) {
    this.#world = world;
    this.#random = world.split();
  }

  write(
    hardState: HardState | undefined,
    entries: readonly LogEntry[],
    membership: MembershipRecord | undefined,
    done: () => void,
  ): void {
    if (hardState === undefined && entries.length === 0 && membership === undefined && this.isIdle) {
      done();
      return;
    }
    const first = entries[0];
    if (first !== undefined) {
      this.view.length = first.index - 1;
      for (const entry of entries) this.view.push(entry);
    }
    this.#pending.push({ hardState, entries, membership, done });
    if (this.#syncing === 0 && !this.#isReporting) this.#sync();
  }

  get isIdle(): boolean {
    return this.#pending.length === 0 && !this.#isReporting;
  }

  /** Process gone, machine alive: the kernel still has everything that was written. */
  kill(): void {
    this.#settle(this.#pending.length);
  }

  /** Power gone. */
  cutPower(): void {
    const kept = this.#random.range(0, this.#pending.length);
    if (kept < this.#pending.length) this.#world.count("unsynced writes lost");
    this.#settle(kept);
  }

  /** An empty disk in its place. */
  wipe(): void {
    this.log = new MemoryLog();
    this.hardState = INITIAL_HARD_STATE;
    this.membership = undefined;
    this.view = [];
  }

  #settle(count: number): void {
    for (let i = 0; i < count; i++) this.#keep(this.#pending[i] as Write);
    this.#pending = [];
    this.#syncing = 0;
    this.#generation++;
    this.view = [...this.log.all];
  }

  #sync(): void {
    const generation = this.#generation;
    this.#syncing = this.#pending.length;
    let delayMs = 0.1 + this.#random.fraction() * 0.4;
    if (this.#random.chance(0.02)) delayMs += this.#random.fraction() * 34;
    if (this.#world.storm && this.#world.faults.slowDisk && this.#random.chance(0.02)) {
      delayMs += this.#random.fraction() * 2000;
      this.#world.count("slow syncs");
    }
    this.#world.after(delayMs, "sync", () => {
      if (generation !== this.#generation) return;
      const group = this.#pending.splice(0, this.#syncing);
      this.#syncing = 0;
      for (const write of group) this.#keep(write);
      this.#isReporting = true;
      for (const write of group) write.done();
      this.#isReporting = false;
      if (generation === this.#generation && this.#pending.length > 0) this.#sync();
    });
  }

  #keep(write: Write): void {
    if (write.hardState !== undefined) this.hardState = write.hardState;
    this.log.write(write.entries);
    if (write.membership !== undefined) this.membership = write.membership;
  }
}
