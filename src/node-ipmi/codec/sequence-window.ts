/**
 * Which session sequence numbers may still be taken (IPMI 2.0 §6.12.13).
 *
 * Each number is accepted once. Gaps are fine: BMCs that share their port with the host skip numbers. 32 behind and 32
 * ahead is wider than the specification's 16, since firmware was seen to go beyond that. Ask only for a packet whose
 * AuthCode has been verified: otherwise a forged number could move the window.
 */
export class SequenceWindow {
  static readonly SIZE = 32;
  #highest = 0;
  /** Bit n: number `highest - n` was seen. */
  #seen = 0;

  /** True when `sequence` is new and within the window; it then counts as seen. 0 is never valid inside a session. */
  accept(sequence: number): boolean {
    if (sequence === 0) return false;
    const ahead = (sequence - this.#highest) | 0;
    if (ahead > SequenceWindow.SIZE) return false;
    if (ahead > 0) {
      this.#seen = ahead >= 32 ? 1 : ((this.#seen << ahead) | 1) >>> 0;
      this.#highest = sequence;
      return true;
    }
    const behind = -ahead;
    if (behind >= SequenceWindow.SIZE || ((this.#seen >>> behind) & 1) === 1) return false;
    this.#seen = (this.#seen | (1 << behind)) >>> 0;
    return true;
  }
}
