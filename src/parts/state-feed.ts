import type { LogEntry } from "../raft/types.ts";
import type { Applied, State } from "../store/state/types.ts";

/** Entries handed to the state in one call; the state cuts its own transactions. */
const BATCH_MAX = 256;
/** A box whose pace is not known yet begins with so many. */
const BATCH_FIRST = 16;
/**
 * The watchdog is answered between two batches: after one that took longer than this the next has half as many, and after
 * one that took less than a quarter twice as many, ms.
 */
const BATCH_MS = 1000;

/**
 * Feeds committed entries from the core to the state, in order, one batch at a time, and says what became of them:
 * first to those who wait for an outcome, then to the core.
 */
export class StateFeed {
  readonly #state: State;
  readonly #onApplied: (results: readonly Applied[]) => void;
  readonly #onFailure: (error: unknown) => void;
  #queue: LogEntry[] = [];
  #isBusy = false;
  #batchSize = BATCH_FIRST;
  /** The watchdog's question, answered between two batches. */
  #question: (() => void) | undefined;

  constructor(state: State, onApplied: (results: readonly Applied[]) => void, onFailure: (error: unknown) => void) {
    this.#state = state;
    this.#onApplied = onApplied;
    this.#onFailure = onFailure;
  }

  /** The core bounds what it hands out before it hears of it (`maxApplyingBytes`). */
  push(entries: readonly LogEntry[]): void {
    for (const entry of entries) if (entry.index > this.#state.appliedIndex) this.#queue.push(entry);
    if (!this.#isBusy) this.#run().catch(this.#onFailure);
  }

  /** Calls `answer` as soon as nothing is being applied: at once, or after the batch that runs now. */
  ask(answer: () => void): void {
    if (this.#isBusy) this.#question = answer;
    else answer();
  }

  /** A test of the watchdog: nothing is applied any more. */
  freeze(): void {
    this.#isBusy = true;
  }

  async #run(): Promise<void> {
    this.#isBusy = true;
    while (this.#queue.length > 0) {
      const batch = this.#queue.slice(0, this.#batchSize);
      this.#queue = this.#queue.slice(batch.length);
      const begunAt = performance.now();
      this.#onApplied(await this.#state.apply(batch));
      const tookMs = performance.now() - begunAt;
      if (tookMs > BATCH_MS) this.#batchSize = Math.max(1, Math.floor(batch.length / 2));
      else if (tookMs < BATCH_MS / 4 && batch.length === this.#batchSize)
        this.#batchSize = Math.min(BATCH_MAX, 2 * this.#batchSize);
      this.#question?.();
      this.#question = undefined;
    }
    this.#isBusy = false;
  }
}
