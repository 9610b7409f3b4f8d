import { IpmiError } from "./errors.ts";

/** How long an operation may take. Both may be given; the first that fires wins. */
export interface TimeLimit {
  /** Milliseconds from the call. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

/** A time limit that has begun to run, on the monotonic clock. */
export class Deadline {
  readonly limitMs: number;
  readonly #endsAt: number;
  readonly #signal: AbortSignal | undefined;

  constructor(limit: TimeLimit, defaultMs: number) {
    this.limitMs = limit.deadlineMs ?? defaultMs;
    if (!(this.limitMs > 0)) {
      throw new IpmiError("bad-option", `Cannot start: deadlineMs is ${this.limitMs}, it must be over 0`);
    }
    this.#endsAt = performance.now() + this.limitMs;
    this.#signal = limit.signal;
  }

  /** Milliseconds left, 0 when it is over. */
  remainingMs(): number {
    return Math.max(0, this.#endsAt - performance.now());
  }

  /** Throws `aborted` when the caller's signal has fired. */
  throwIfAborted(): void {
    if (this.#signal?.aborted) throw new IpmiError("aborted", "Cannot go on: the caller aborted the operation");
  }

  /**
   * Waits for what `start` resolves, at most `limitMs` and never beyond the deadline. Resolves undefined when the time
   * is over; rejects when aborted, or when `start` rejects or throws. `start` returns how to stop listening.
   */
  wait<T>(
    limitMs: number,
    start: (resolve: (value: T) => void, reject: (error: unknown) => void) => () => void,
  ): Promise<T | undefined> {
    this.throwIfAborted();
    return new Promise((resolve, reject) => {
      let stop: (() => void) | undefined;
      let isSettled = false;
      const settle = (act: () => void) => {
        if (isSettled) return;
        isSettled = true;
        clearTimeout(timer);
        this.#signal?.removeEventListener("abort", onAbort);
        stop?.();
        act();
      };
      const onAbort = () =>
        settle(() => reject(new IpmiError("aborted", "Cannot go on: the caller aborted the operation")));
      const timer = setTimeout(() => settle(() => resolve(undefined)), Math.min(limitMs, this.remainingMs()));
      this.#signal?.addEventListener("abort", onAbort);
      try {
        stop = start(
          (value) => settle(() => resolve(value)),
          (error) => settle(() => reject(error)),
        );
        if (isSettled) stop();
      } catch (error) {
        settle(() => reject(error));
      }
    });
  }
}
