/** The appends under way to one follower: a ring of (last index, bytes), bounded by count and by bytes. */
export class Inflight {
  readonly #indexes: Float64Array;
  readonly #sizes: Float64Array;
  readonly #bytesMax: number;
  #head = 0;
  #count = 0;
  #bytes = 0;

  constructor(countMax: number, bytesMax: number) {
    this.#indexes = new Float64Array(countMax);
    this.#sizes = new Float64Array(countMax);
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }
  get bytes(): number {
    return this.#bytes;
  }

  get isFull(): boolean {
    return this.#count === this.#indexes.length || (this.#count > 0 && this.#bytes >= this.#bytesMax);
  }

  /** Must not be full. Indexes rise. */
  add(lastIndex: number, sizeBytes: number): void {
    const at = (this.#head + this.#count) % this.#indexes.length;
    this.#indexes[at] = lastIndex;
    this.#sizes[at] = sizeBytes;
    this.#count++;
    this.#bytes += sizeBytes;
  }

  /** Everything up to `index` has arrived. */
  freeTo(index: number): void {
    while (this.#count > 0 && (this.#indexes[this.#head] as number) <= index) {
      this.#bytes -= this.#sizes[this.#head] as number;
      this.#head = (this.#head + 1) % this.#indexes.length;
      this.#count--;
    }
  }

  clear(): void {
    this.#head = 0;
    this.#count = 0;
    this.#bytes = 0;
  }
}
