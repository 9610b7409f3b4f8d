/** Delays are gathered over this long, ms: a single hiccup in it weighs as much as it lasted. */
const BUCKET_MS = 1_000;
/** What was measured counts for this long, ms; then the disk has nothing to say. */
const STALE_MS = 5_000;

/** How long this box's log takes to make an append durable. Appends become durable in the order of their calls. */
export class DurableDelay {
  readonly #underWay: number[] = [];
  #bucketAt = Number.NEGATIVE_INFINITY;
  #sumMs = 0;
  #count = 0;
  #last: { readonly at: number; readonly meanMs: number } | undefined;

  begun(now: number): void {
    this.#underWay.push(now);
  }

  /** The oldest append is durable. */
  ended(now: number): void {
    const begun = this.#underWay.shift();
    if (begun === undefined) return;
    this.#turn(now);
    this.#sumMs += now - begun;
    this.#count++;
  }

  /** The mean of the last second with writes, or the age of what is under way if that is more; 0 without news. */
  read(now: number): number {
    this.#turn(now);
    const last = this.#last;
    const meanMs = last === undefined || now - last.at > STALE_MS ? 0 : last.meanMs;
    return Math.max(meanMs, now - (this.#underWay[0] ?? now));
  }

  #turn(now: number): void {
    if (now - this.#bucketAt < BUCKET_MS) return;
    if (this.#count > 0) this.#last = { at: now, meanMs: this.#sumMs / this.#count };
    this.#bucketAt = now;
    this.#sumMs = 0;
    this.#count = 0;
  }
}
