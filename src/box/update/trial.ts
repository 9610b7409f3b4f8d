import { errorChain } from "../../base/error.ts";
import { fallBack, type GrubEnv, markGood, otherSlot, type Slot } from "../grub-env.ts";
import type { EnvStore } from "../slots/env-store.ts";
import { type Health, lookAtTrial, missingHealth, NEW_TRIAL, NO_HEALTH, TRIAL_MS, type Trial } from "./policy.ts";
import type { UpdateRecord } from "./record.ts";

export interface TrialPorts {
  readonly env: Pick<EnvStore, "change" | "repair">;
  readonly running: { readonly slot: Slot; readonly build: string };
  record(): UpdateRecord | undefined;
  /** Durably; throws. */
  keep(record: UpdateRecord): void;
  health(): Promise<Health>;
  /** Whether the slot holds an image that may run here. */
  isWhole(slot: Slot): Promise<boolean>;
  /** Monotonic ms. */
  now(): number;
  /** Since this boot began, ms. */
  bootMs(): number;
  /** Restarts the machine in order. */
  reboot(): void;
  log(text: string): void;
}

/** Under load a box is always some entries behind; what was committed so long ago it has applied, ms. */
const CATCH_UP_MS = 2000;

/**
 * After each boot: GRUB has counted a try of the slot that runs, and goes on with the other one after the third. Watches
 * until this box is healthy and takes that back; a version that is on trial and does not become healthy in its time is
 * left. Of a slot that was good before only an answering front-end is asked: what else is wrong is not the slot's fault.
 */
export class TrialWatch {
  readonly #ports: TrialPorts;
  #trial: Trial = NEW_TRIAL;
  #env: GrubEnv | undefined;
  #said = "";
  /** What must be applied by now, and what was committed when. */
  #due: number | undefined;
  #seen = { commit: 0, at: Number.NEGATIVE_INFINITY };

  constructor(ports: TrialPorts) {
    this.#ports = ports;
  }

  /** What is missing before the running slot is good; empty when it is, or may be now. */
  get missing(): readonly string[] {
    return this.#trial.missing;
  }

  /** One look, each second. True when there is nothing more to watch. Throws `boot-env`. */
  async look(): Promise<boolean> {
    const { slot } = this.#ports.running;
    this.#env ??= await this.#begin();
    const { isGood, tries } = this.#env.slots[slot];
    if (isGood && tries === 0) {
      this.#trial = { ...this.#trial, missing: [] };
      return true;
    }
    const health = await this.#lookAtHealth();
    const record = this.#ports.record();
    const missing = isGood ? unanswering(health) : missingHealth(record?.before ?? NO_HEALTH, health);
    const look = lookAtTrial(this.#trial, missing, this.#ports.now());
    this.#trial = look.trial;
    if (look.isGood) {
      await this.#ports.env.change((now) => markGood(now, slot));
      this.#end(record, slot, "good", "");
      this.#ports.log(`slot ${slot} is marked good${isGood ? "" : ": it has proved itself"}`);
      return true;
    }
    if (!isGood) await this.#tell(missing);
    return false;
  }

  async #lookAtHealth(): Promise<Health> {
    const health = await this.#ports.health();
    const now = this.#ports.now();
    if (now - this.#seen.at >= CATCH_UP_MS) {
      this.#due = this.#due === undefined ? health.commit : this.#seen.commit;
      this.#seen = { commit: health.commit, at: now };
    }
    return { ...health, commit: Math.min(health.commit, this.#due ?? health.commit) };
  }

  /** What a cut-off write left is made whole; an update that GRUB has left is put on the record. */
  async #begin(): Promise<GrubEnv> {
    const { running } = this.#ports;
    // GRUB's count is in one copy only, so there is need after each boot.
    const { env } = await this.#ports.env.repair();
    const record = this.#ports.record();
    if (record?.outcome === "trial" && record.from.slot === running.slot && record.from.build === running.build) {
      const why = "it did not come up: the boot loader went back";
      this.#end(record, record.to.slot, "fallback", why);
      this.#ports.log(`ALERT version ${record.to.version} in slot ${record.to.slot} was left: ${why}`);
    }
    return env;
  }

  async #tell(missing: readonly string[]): Promise<void> {
    const { env, running, bootMs, log } = this.#ports;
    const text = `slot ${running.slot} is on trial: ${missing.join("; ")}`;
    if (missing.length > 0 && text !== this.#said) log(text);
    this.#said = text;
    if (bootMs() < TRIAL_MS) return;
    if (!(await this.#ports.isWhole(otherSlot(running.slot)))) return;
    const why = missing.join("; ") || "it was never healthy for long";
    await env.change((now) => fallBack(now, running.slot));
    this.#end(this.#ports.record(), running.slot, "fallback", why);
    log(`ALERT slot ${running.slot} is left after ${TRIAL_MS / 60_000} minutes, and the other one started: ${why}`);
    this.#ports.reboot();
  }

  /** The end of the update that brought this slot, if one did. */
  #end(record: UpdateRecord | undefined, slot: Slot, outcome: UpdateRecord["outcome"], why: string): void {
    if (record?.outcome !== "trial" || record.to.slot !== slot) return;
    try {
      this.#ports.keep({ ...record, outcome, why });
    } catch (error) {
      this.#ports.log(`the end of the update is not on the record: ${errorChain(error)}`);
    }
  }
}

function unanswering({ isMember, isAnswering }: Health): readonly string[] {
  return isMember && !isAnswering ? ["its front-end does not answer"] : [];
}
