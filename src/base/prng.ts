/** A seeded random source (xoshiro128**). The same seed gives the same values on every machine. Not for secrets. */
export interface Prng {
  /** An integer in 0 … 2^32 − 1. */
  uint32(): number;
  /** An integer in `min` … `max`, both included. */
  range(min: number, max: number): number;
  /** A number in 0 ≤ x < 1. */
  fraction(): number;
  /** True with probability `p` (0 … 1). */
  chance(p: number): boolean;
  /** One of `items`, which must not be empty. */
  pick<T>(items: readonly T[]): T;
  /** A new, independent source: for another component, so that its draws do not shift ours. */
  split(): Prng;
}

/** Makes a source from a seed; any finite number is a seed. */
export function createPrng(seed: number): Prng {
  // splitmix32 spreads a small seed over the whole state.
  let mix = (seed ^ Math.floor(seed / 2 ** 32)) >>> 0;
  const next = (): number => {
    mix = (mix + 0x9e3779b9) >>> 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
  let a = next();
  let b = next();
  let c = next();
  let d = next() | 1;
  const rotl = (x: number, k: number): number => ((x << k) | (x >>> (32 - k))) >>> 0;
  const uint32 = (): number => {
    const result = Math.imul(rotl(Math.imul(b, 5), 7), 9) >>> 0;
    const t = (b << 9) >>> 0;
    c = (c ^ a) >>> 0;
    d = (d ^ b) >>> 0;
    b = (b ^ c) >>> 0;
    a = (a ^ d) >>> 0;
    c = (c ^ t) >>> 0;
    d = rotl(d, 11);
    return result;
  };
  const fraction = (): number => uint32() / 2 ** 32;
  const range = (min: number, max: number): number => min + Math.floor(fraction() * (max - min + 1));
  return {
    uint32,
    range,
    fraction,
    chance: (p) => fraction() < p,
    pick: <T>(items: readonly T[]): T => items[range(0, items.length - 1)] as T,
    split: () => createPrng(uint32()),
  };
}
