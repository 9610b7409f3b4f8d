/**
 * Runs tasks with at most `parallel` at a time; tasks of one key run one after another in the order of the calls.
 * Bounded: a task beyond `capacity` is refused at once.
 */
export class KeyedQueue {
  readonly parallel: number;
  readonly capacity: number;
  #running = 0;
  readonly #busy = new Set<string>();
  #waiting: { readonly key: string; readonly start: () => void }[] = [];

  constructor(parallel: number, capacity: number) {
    this.parallel = parallel;
    this.capacity = capacity;
  }

  /** Undefined when the queue is full: the task was not and will not be run. */
  run<T>(key: string, task: () => Promise<T>): Promise<T> | undefined {
    if (this.#waiting.length >= this.capacity) return undefined;
    return new Promise<T>((resolve, reject) => {
      const start = (): void => {
        this.#running++;
        this.#busy.add(key);
        task()
          .then(resolve, reject)
          .finally(() => {
            this.#running--;
            this.#busy.delete(key);
            this.#startNext();
          });
      };
      this.#waiting.push({ key, start });
      this.#startNext();
    });
  }

  #startNext(): void {
    for (let i = 0; i < this.#waiting.length && this.#running < this.parallel; ) {
      const next = this.#waiting[i];
      if (next === undefined || this.#busy.has(next.key)) {
        i++;
        continue;
      }
      this.#waiting.splice(i, 1);
      next.start();
    }
  }
}
