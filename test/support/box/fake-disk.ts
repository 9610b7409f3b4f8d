import type { Prng } from "../../../src/base/prng.ts";
import type { EnvFile, EnvFiles, SlotDevice } from "../../../src/box/slots/ports.ts";

const SECTOR_BYTES = 512;

/** The supply of a simulated box: cut before, or in the middle of, the n-th operation from now on. */
export class Power {
  steps = 0;
  cutAt = Number.POSITIVE_INFINITY;

  /** True: this operation is the one in whose middle the power goes. Throws when it is gone. */
  isCut(): boolean {
    if (this.steps > this.cutAt) throw new PowerCut();
    return this.steps++ === this.cutAt;
  }
}

export class PowerCut extends Error {
  constructor() {
    super("the power is gone");
  }
}

/**
 * A block device with a cache that loses what was not synced: at a cut each written sector is the old one or the new one,
 * by chance, and one sector of the write that was under way may be half of each.
 */
export class FakeBlocks implements SlotDevice {
  readonly #durable: Uint8Array;
  #cache = new Map<number, Uint8Array>();
  readonly #power: Power;
  #tearing: number | undefined;
  /** Errors of the medium: writes beyond here fail. */
  failsFrom = Number.POSITIVE_INFINITY;
  /** Bits that this sector turns when it is read back, as a bad flash does. */
  badSector: number | undefined;

  constructor(sizeBytes: number, power: Power) {
    this.#durable = new Uint8Array(sizeBytes);
    this.#power = power;
  }

  get sizeBytes(): number {
    return this.#durable.length;
  }

  /** What a reader sees now. */
  peek(at = 0, length = this.sizeBytes - at): Uint8Array {
    const bytes = this.#durable.slice(at, at + length);
    for (const [sector, content] of this.#cache) {
      const from = sector * SECTOR_BYTES - at;
      if (from >= 0 && from < length) bytes.set(content.subarray(0, length - from), from);
    }
    return bytes;
  }

  /** Puts bytes there before the story begins. */
  put(at: number, bytes: Uint8Array): void {
    this.#durable.set(bytes, at);
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    if (this.#power.isCut()) throw new PowerCut();
    const bytes = this.peek(at, length);
    const bad = this.badSector === undefined ? -1 : this.badSector * SECTOR_BYTES - at;
    if (bad >= 0 && bad < length) bytes[bad] = (bytes[bad] ?? 0) ^ 0x10;
    return bytes;
  }

  async write(at: number, bytes: Uint8Array): Promise<void> {
    const isCut = this.#power.isCut();
    if (at + bytes.length > Math.min(this.sizeBytes, this.failsFrom)) throw new Error("EIO: i/o error, write");
    for (let done = 0; done < bytes.length; done += SECTOR_BYTES)
      this.#cache.set((at + done) / SECTOR_BYTES, bytes.slice(done, done + SECTOR_BYTES));
    if (isCut) {
      this.#tearing = at / SECTOR_BYTES;
      throw new PowerCut();
    }
  }

  async sync(): Promise<void> {
    if (this.#power.isCut()) throw new PowerCut();
    for (const [sector, content] of this.#cache) this.#durable.set(content, sector * SECTOR_BYTES);
    this.#cache.clear();
  }

  async close(): Promise<void> {}

  /** What is there after the cut. */
  crash(prng: Prng): void {
    for (const [sector, content] of this.#cache) {
      const at = sector * SECTOR_BYTES;
      const isTorn = sector === this.#tearing && prng.chance(0.7);
      const take = isTorn ? prng.range(0, content.length) : prng.range(0, 1) * content.length;
      if (!isTorn || prng.chance(0.5)) this.#durable.set(content.subarray(0, take), at);
      else this.#durable.set(content.subarray(take), at + take);
    }
    this.#cache.clear();
    this.#tearing = undefined;
  }
}

/** The ESP: two files of two sectors each. */
export class FakeEsp implements EnvFiles {
  readonly files: Record<EnvFile, FakeBlocks>;

  constructor(power: Power) {
    this.files = { env1: new FakeBlocks(1024, power), env2: new FakeBlocks(1024, power) };
  }

  async read(name: EnvFile): Promise<Uint8Array> {
    return this.files[name].peek();
  }

  async write(name: EnvFile, bytes: Uint8Array): Promise<void> {
    await this.files[name].write(0, bytes);
    await this.files[name].sync();
  }
}
