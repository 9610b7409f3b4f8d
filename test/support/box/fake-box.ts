import { createHash } from "node:crypto";
import type { Prng } from "../../../src/base/prng.ts";
import { openBundle } from "../../../src/box/bundle.ts";
import {
  bootOrder,
  chooseGrubEnv,
  countTry,
  formatGrubEnv,
  markGood,
  onlySlot,
  otherSlot,
  type Slot,
} from "../../../src/box/grub-env.ts";
import type { Release } from "../../../src/box/release.ts";
import { decodeFooter, FOOTER_BYTES } from "../../../src/box/slot-footer.ts";
import { EnvStore } from "../../../src/box/slots/env-store.ts";
import type { EnvFiles } from "../../../src/box/slots/ports.ts";
import { Installation } from "../../../src/box/update/driver.ts";
import { NO_HEALTH } from "../../../src/box/update/policy.ts";
import type { UpdateRecord } from "../../../src/box/update/record.ts";
import { bundleOf, chunksOf, contentOf, footerOf, type UpdateKey } from "./bundles.ts";
import { FakeBlocks, FakeEsp, Power, PowerCut } from "./fake-disk.ts";

/** Room for two writes of content and the footer. */
export const SLOT_BYTES = 1536 * 1024;

/** A box with two slots and an ESP, on a disk that loses what was not synced. */
export class FakeBox {
  readonly power = new Power();
  readonly esp = new FakeEsp(this.power);
  readonly slots: Readonly<Record<Slot, FakeBlocks>>;
  readonly key: UpdateKey;
  readonly log: string[] = [];
  running: { readonly slot: Slot; readonly release: Release };
  record: UpdateRecord | undefined;

  /** Slot A holds `release` and runs, marked good. */
  constructor(key: UpdateKey, release: Release, seed = 1) {
    this.key = key;
    this.slots = { A: new FakeBlocks(SLOT_BYTES, this.power), B: new FakeBlocks(SLOT_BYTES, this.power) };
    this.slots.A.put(0, contentOf(release, seed));
    this.slots.A.put(SLOT_BYTES - FOOTER_BYTES, footerOf(key, release));
    for (const file of [this.esp.files.env1, this.esp.files.env2]) file.put(0, formatGrubEnv(onlySlot("A")));
    this.running = { slot: "A", release };
  }

  get store(): EnvStore {
    return new EnvStore((access, use) => use(access === "read" ? readOnly(this.esp) : this.esp), this.running.slot);
  }

  async installation(bundle: Uint8Array, given: Partial<ConstructorParameters<typeof Installation>[2]> = {}) {
    return new Installation(
      {
        env: this.store,
        openSlot: async (slot) => this.slots[slot],
        keep: async (record) => {
          if (this.power.isCut()) throw new PowerCut();
          this.record = record;
        },
        wallTime: () => "2026-11-28T00:00:00.000Z",
        log: (text) => this.log.push(text),
      },
      await openBundle(chunksOf(bundle, 64 * 1024), this.key.verify),
      {
        running: this.running,
        levelInForce: 1,
        bootKey: undefined,
        allowsDowngrade: false,
        before: NO_HEALTH,
        ...given,
      },
    );
  }

  /** Installs a bundle; returns why not, "" when it is installed. */
  async install(
    bundle: Uint8Array,
    given: Partial<ConstructorParameters<typeof Installation>[2]> = {},
  ): Promise<string> {
    try {
      await (await this.installation(bundle, given)).run();
      return "";
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** The power comes back: what was not durable is lost by chance. */
  crash(prng: Prng): void {
    for (const blocks of [this.slots.A, this.slots.B, this.esp.files.env1, this.esp.files.env2]) blocks.crash(prng);
    this.power.cutAt = Number.POSITIVE_INFINITY;
    this.power.steps = 0;
  }

  /** Whether a slot holds an image from its first to its last byte, and which. */
  wholeRelease(slot: Slot, releases: ReadonlyMap<string, string>): Release | undefined {
    const blocks = this.slots[slot];
    const footer = decodeFooter(blocks.peek(SLOT_BYTES - FOOTER_BYTES), this.key.verify);
    if (typeof footer === "string") return undefined;
    const { imageBytes, treeBytes } = footer.release;
    const sum = createHash("sha256")
      .update(blocks.peek(0, imageBytes + treeBytes))
      .digest("hex");
    return releases.get(footer.release.version) === sum ? footer.release : undefined;
  }

  /**
   * Boots as GRUB does: by the environment the first slot that it tries, after counting the try. Throws when that
   * slot, or the one that would come after it, is not whole.
   */
  async boot(releases: ReadonlyMap<string, string>): Promise<void> {
    const env = chooseGrubEnv(await this.esp.read("env1"), await this.esp.read("env2"));
    if (env === undefined) throw new Error("both copies of the environment are lost");
    const tried = bootOrder(env);
    const halves = tried.filter((one) => this.wholeRelease(one, releases) === undefined);
    if (halves.length > 0) throw new Error(`slot ${halves.join(", ")} is tried and is not whole`);
    const [slot] = tried;
    const release = slot === undefined ? undefined : this.wholeRelease(slot, releases);
    if (slot === undefined || release === undefined) throw new Error("no slot is tried");
    this.esp.files.env1.put(0, formatGrubEnv(countTry(env, slot)));
    this.running = { slot, release };
  }

  /** What the health gate does on a healthy box. */
  async becomeGood(): Promise<void> {
    await this.store.change((env) => markGood(env, this.running.slot));
  }

  get other(): Slot {
    return otherSlot(this.running.slot);
  }
}

/** A bundle, and the sum by which its image is known again. */
export function newVersion(key: UpdateKey, release: Release, seed: number): { bundle: Uint8Array; sum: string } {
  const content = contentOf(release, seed);
  return { bundle: bundleOf(key, release, content), sum: createHash("sha256").update(content).digest("hex") };
}

/** The ESP as it is lent to one who only reads. */
function readOnly(esp: EnvFiles): EnvFiles {
  return { read: (name) => esp.read(name), write: () => Promise.reject(new Error("the ESP is mounted read-only")) };
}
