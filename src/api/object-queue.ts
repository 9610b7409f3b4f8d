/** Commands that may wait for one object. More is an answer (busy), not a longer queue. */
const WAITING_MAX = 512;

/** Runs work of one key in the order it came, one at a time; work of different keys runs side by side. */
export class ObjectQueue {
  readonly #tails = new Map<string, { tail: Promise<unknown>; waiting: number }>();

  /** Undefined: too much waits for this object already, and nothing was done. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> | undefined {
    const queue = this.#tails.get(key);
    if (queue === undefined) {
      const fresh = { tail: Promise.resolve() as Promise<unknown>, waiting: 1 };
      this.#tails.set(key, fresh);
      return this.#start(key, fresh, work());
    }
    if (queue.waiting >= WAITING_MAX) return undefined;
    queue.waiting++;
    return this.#start(key, queue, queue.tail.then(work));
  }

  #start<T>(key: string, queue: { tail: Promise<unknown>; waiting: number }, running: Promise<T>): Promise<T> {
    queue.tail = running
      .catch(() => undefined)
      .then(() => {
        queue.waiting--;
        if (queue.waiting === 0) this.#tails.delete(key);
      });
    return running;
  }
}
