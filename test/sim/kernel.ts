/** The kernel's side of the packet lease: it goes on whatever becomes of the process, and its clock is the box's. */
export class SimKernel {
  readonly #live = new Map<number, number>();
  current = 0;
  address = false;

  addLive(token: number, lifeMs: number, localNow: number): void {
    for (const [old, until] of this.#live) if (until < localNow) this.#live.delete(old);
    this.#live.set(token, localNow + lifeMs);
  }

  /** Only the mistaken variants use this: a kernel timer that is set to what the process computed. */
  setLive(token: number, until: number): void {
    this.#live.set(token, until);
  }

  activate(token: number): void {
    this.current = token;
  }

  flush(): void {
    this.#live.clear();
    this.current = 0;
    this.address = false;
  }

  passes(localNow: number): boolean {
    return this.current !== 0 && (this.#live.get(this.current) ?? 0) > localNow;
  }

  isHolder(localNow: number): boolean {
    return this.address && this.passes(localNow);
  }
}
