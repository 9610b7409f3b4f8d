/** Waits for the next change of something; a bounded number of callers at once. */
export class ChangeWait {
  readonly #waitersMax: number;
  readonly #unsubscribe: () => void;
  readonly #waiters = new Set<() => void>();
  #stopped = false;

  /** `subscribe` is told whom to call on each change and gives the removal. */
  constructor(subscribe: (listener: () => void) => () => void, waitersMax: number) {
    this.#waitersMax = waitersMax;
    this.#unsubscribe = subscribe(() => this.#wakeAll());
  }

  /** No more changes; those who wait go on now, and nobody waits any more. */
  stop(): void {
    this.#stopped = true;
    this.#unsubscribe();
    this.#wakeAll();
  }

  /** Resolves at the next change or after `timeoutMs`. `full`: too many wait already (or it is stopped), and this one did not. */
  next(timeoutMs: number): Promise<"waited" | "full"> {
    if (this.#stopped || this.#waiters.size >= this.#waitersMax) return Promise.resolve("full");
    return new Promise((resolve) => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        resolve("waited");
      };
      const timer = setTimeout(wake, timeoutMs);
      this.#waiters.add(wake);
    });
  }

  #wakeAll(): void {
    if (this.#waiters.size > 0) for (const wake of [...this.#waiters]) wake();
  }
}
