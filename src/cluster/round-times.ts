/** How long the longest round is remembered, ms: at least this, at most twice as long. */
const WINDOW_MS = 30_000;

/** How long heartbeat rounds take until a quorum has answered: what bulk, disks and pauses must not make longer. */
export class RoundTimes {
  #last = 0;
  #present = 0;
  #former = 0;
  #presentSince = 0;

  /** A round was confirmed `ms` after it was sent. */
  answered(ms: number, now: number): void {
    this.#turn(now);
    this.#last = ms;
    this.#present = Math.max(this.#present, ms);
  }

  /** Of the newest confirmed round, ms; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  /** Of the last half minute at least, ms. */
  longest(now: number): number {
    this.#turn(now);
    return Math.max(this.#present, this.#former);
  }

  #turn(now: number): void {
    const windows = Math.floor((now - this.#presentSince) / WINDOW_MS);
    if (windows === 0) return;
    this.#former = windows === 1 ? this.#present : 0;
    this.#present = 0;
    this.#presentSince += windows * WINDOW_MS;
  }
}
