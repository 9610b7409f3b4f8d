/** Answers that are kept: the pools that pollers ask for over and over. */
const ANSWERS_MAX = 16;

/** Longer ones are made anew: the cache stays below 16 × 1 MiB. */
const LENGTH_MAX = 1024 * 1024;

/**
 * Bodies of repeatable reads, each good for one applied index: nothing in the state changed as long as that stands, so it
 * is the answer that would be made again.
 */
export class AnswerCache {
  readonly #answers = new Map<string, { readonly index: number; readonly body: string }>();

  get(key: string, index: number): string | undefined {
    const answer = this.#answers.get(key);
    return answer?.index === index ? answer.body : undefined;
  }

  /** `index` is what was applied *before* the answer was read: it may be newer than that, never older. */
  set(key: string, index: number, body: string): void {
    if (body.length > LENGTH_MAX) return;
    this.#answers.delete(key);
    this.#answers.set(key, { index, body });
    const [oldest] = this.#answers.keys();
    if (this.#answers.size > ANSWERS_MAX && oldest !== undefined) this.#answers.delete(oldest);
  }
}
