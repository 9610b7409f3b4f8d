import { assert, unreachable } from "../../base/assert.ts";
import { CodedError, errorChain } from "../../base/error.ts";
import type { Bundle } from "../bundle.ts";
import { markBeingWritten, otherSlot, type Slot, switchTo } from "../grub-env.ts";
import type { Release } from "../release.ts";
import { FOOTER_BYTES } from "../slot-footer.ts";
import type { SlotDevice } from "../slots/ports.ts";
import { clearSlot, verifyContent, writeContent } from "../slots/slot-content.ts";
import { type Step, step, type UpdateEvent, type UpdateState } from "./machine.ts";
import { type Health, updateObstacle } from "./policy.ts";
import type { UpdatePorts } from "./ports.ts";

export interface InstallOptions {
  readonly running: { readonly slot: Slot; readonly release: Release };
  /** In force in the cluster; undefined when the box's program does not say. */
  readonly levelInForce: number | undefined;
  /** Whose signatures the boot loader demands, as in a boot report. */
  readonly bootKey: string | undefined;
  readonly allowsDowngrade: boolean;
  /** What works now: the new version must do as well. */
  readonly before: Health;
  /** Bytes of the content that are written, of so many. */
  progressed?(bytes: number, of: number): void;
}

/** Installs one bundle into the slot that does not run; use it once. */
export class Installation {
  readonly #ports: UpdatePorts;
  readonly #options: InstallOptions;
  readonly #bundle: Bundle;
  #state: UpdateState = { kind: "idle" };
  #device: SlotDevice | undefined;
  #firstBlock: Uint8Array | undefined;
  #isInterrupted = false;

  constructor(ports: UpdatePorts, bundle: Bundle, options: InstallOptions) {
    this.#ports = ports;
    this.#bundle = bundle;
    this.#options = options;
  }

  get state(): UpdateState {
    return this.#state;
  }

  /** Stops it, as long as it has not switched; {@link run} throws then. */
  abort(): void {
    const { state, effects } = step(this.#state, { kind: "abort-asked" });
    this.#state = state;
    if (effects.length > 0) this.#isInterrupted = true;
  }

  /** Returns the slot that the next boot tries. Throws `update` with the reason, and then nothing has been switched. */
  async run(): Promise<Slot> {
    const slot = otherSlot(this.#options.running.slot);
    try {
      this.#device = await this.#ports.openSlot(slot);
      await this.#drive({ kind: "started", slot, obstacle: await this.#obstacle(this.#device) });
    } finally {
      await this.#device?.close();
    }
    const end = this.#state;
    if (end.kind === "installed") return end.slot;
    throw new CodedError(
      "update",
      `Version ${this.#bundle.footer.release.version} is not installed: ${end.kind === "failed" ? end.why : end.kind}`,
    );
  }

  async #obstacle(device: SlotDevice): Promise<string | undefined> {
    const { running, levelInForce, bootKey, allowsDowngrade } = this.#options;
    const { env } = await this.#ports.env.read();
    return updateObstacle({
      ...{ bundle: this.#bundle.footer.release, running: running.release, levelInForce, bootKey, allowsDowngrade },
      isRunningGood: env.slots[running.slot].isGood,
      slotBytes: device.sizeBytes,
    });
  }

  async #drive(first: UpdateEvent): Promise<void> {
    for (let event: UpdateEvent | undefined = first; event !== undefined; ) {
      const { state, effects }: ReturnType<typeof step> = step(this.#state, event);
      this.#state = state;
      event = undefined;
      for (const effect of effects) {
        if (effect.kind === "interrupt") continue;
        try {
          if (effect.kind === "perform") await this.#perform(effect.step, effect.slot);
          else await clearSlot(this.#slot());
          event = { kind: "step-done" };
        } catch (error) {
          event = { kind: "step-failed", why: errorChain(error) };
        }
      }
    }
  }

  #slot(): SlotDevice {
    assert(this.#device !== undefined, "a slot is open");
    return this.#device;
  }

  async #perform(what: Step, slot: Slot): Promise<void> {
    const { env } = this.#ports;
    const device = this.#slot();
    const { sizeBytes, sha256, footerBytes } = this.#bundle;
    switch (what) {
      case "mark":
        await env.change((now) => markBeingWritten(now, slot));
        return;
      case "clear":
        return clearSlot(device);
      case "write":
        this.#firstBlock = await writeContent(device, this.#content(), (bytes) =>
          this.#options.progressed?.(bytes, sizeBytes),
        );
        return;
      case "seal":
        assert(this.#firstBlock !== undefined, "the content is written");
        await device.sync();
        await device.write(0, this.#firstBlock);
        return device.sync();
      case "verify":
        return verifyContent(device, sizeBytes, sha256);
      case "footer":
        await device.write(device.sizeBytes - FOOTER_BYTES, footerBytes);
        await device.sync();
        if (!Buffer.from(await device.read(device.sizeBytes - FOOTER_BYTES, FOOTER_BYTES)).equals(footerBytes))
          throw new CodedError("slot-damaged", "The slot's footer is not what was written: its disk is bad");
        return;
      case "record":
        return this.#record(slot);
      case "switch":
        await env.change((now) => switchTo(now, slot));
        return;
      default:
        return unreachable(what);
    }
  }

  async *#content(): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of this.#bundle.content()) {
      if (this.#isInterrupted) throw new CodedError("update", "it was stopped");
      yield chunk;
    }
  }

  /** A full data partition must not stand in the way of the update that mends it: then the next boot knows less. */
  async #record(slot: Slot): Promise<void> {
    const { running, before } = this.#options;
    const end = (of: Release, where: Slot) => ({ slot: where, version: of.version, build: of.build });
    const from = end(running.release, running.slot);
    const to = end(this.#bundle.footer.release, slot);
    try {
      await this.#ports.keep({ from, to, at: this.#ports.wallTime(), before, outcome: "trial", why: "" });
    } catch (error) {
      this.#ports.log(`the update goes on without a record: ${errorChain(error)}`);
    }
  }
}
