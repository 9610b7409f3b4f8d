import { assert } from "../../base/assert.ts";
import type { LogPlace } from "./record.ts";

/** Offsets are below 2^32, segments below 2^21: together a safe integer. */
const OFFSET_RANGE = 2 ** 32;
const GROW_MIN = 1024;

/**
 * Where each entry of the log is: 20 bytes an entry, from the first index to the last. Entries' terms are known at once,
 * their places only when their group is laid out.
 */
export class Positions {
  #baseIndex: number;
  #baseTerm: number;
  #count = 0;
  #terms = new Float64Array(GROW_MIN);
  #places = new Float64Array(GROW_MIN);
  #lengths = new Uint32Array(GROW_MIN);

  /** `baseIndex` and `baseTerm` are of the entry before the first. */
  constructor(baseIndex: number, baseTerm: number) {
    this.#baseIndex = baseIndex;
    this.#baseTerm = baseTerm;
  }

  get firstIndex(): number {
    return this.#baseIndex + 1;
  }

  get lastIndex(): number {
    return this.#baseIndex + this.#count;
  }

  /** Undefined outside firstIndex − 1 … lastIndex. */
  term(index: number): number | undefined {
    if (index === this.#baseIndex) return this.#baseTerm;
    return this.#has(index) ? this.#terms[index - this.#baseIndex - 1] : undefined;
  }

  append(index: number, term: number, length: number): void {
    assert(index === this.lastIndex + 1, `log position ${index} does not follow ${this.lastIndex}`);
    if (this.#count === this.#terms.length) this.#grow();
    this.#terms[this.#count] = term;
    this.#lengths[this.#count] = length;
    this.#places[this.#count] = 0;
    this.#count++;
  }

  setPlace(index: number, place: LogPlace): void {
    if (this.#has(index)) this.#places[index - this.#baseIndex - 1] = place.segment * OFFSET_RANGE + place.offset;
  }

  /** Undefined outside the log. Segment 0 stands for "not laid out yet". */
  place(index: number): (LogPlace & { readonly length: number }) | undefined {
    if (!this.#has(index)) return undefined;
    const at = index - this.#baseIndex - 1;
    const place = this.#places[at] ?? 0;
    const segment = Math.floor(place / OFFSET_RANGE);
    return { segment, offset: place - segment * OFFSET_RANGE, length: this.#lengths[at] ?? 0 };
  }

  /** Forgets `from` and everything after it. At or below the first index the log becomes empty, based on `previousTerm`. */
  truncate(from: number, previousTerm: number): void {
    if (from <= this.#baseIndex) {
      this.#baseIndex = from - 1;
      this.#baseTerm = previousTerm;
    }
    this.#count = Math.min(this.#count, Math.max(0, from - 1 - this.#baseIndex));
  }

  /** Forgets everything: the log begins anew after entry `index` of `term`. */
  startAfter(index: number, term: number): void {
    this.#baseIndex = index;
    this.#baseTerm = term;
    this.#count = 0;
  }

  /** Forgets everything before `first`; the term of first − 1 is kept. */
  dropBefore(first: number): void {
    const drop = first - 1 - this.#baseIndex;
    if (drop <= 0) return;
    this.#baseTerm = this.term(first - 1) ?? this.#baseTerm;
    for (const array of [this.#terms, this.#places, this.#lengths]) array.copyWithin(0, drop, this.#count);
    this.#baseIndex += drop;
    this.#count -= drop;
  }

  #has(index: number): boolean {
    return index > this.#baseIndex && index <= this.lastIndex;
  }

  #grow(): void {
    const size = this.#terms.length * 2;
    const grown = { terms: new Float64Array(size), places: new Float64Array(size), lengths: new Uint32Array(size) };
    grown.terms.set(this.#terms);
    grown.places.set(this.#places);
    grown.lengths.set(this.#lengths);
    this.#terms = grown.terms;
    this.#places = grown.places;
    this.#lengths = grown.lengths;
  }
}
