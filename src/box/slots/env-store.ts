import { CodedError } from "../../base/error.ts";
import { chooseGrubEnv, formatGrubEnv, type GrubEnv, onlySlot, parseGrubEnv, type Slot } from "../grub-env.ts";
import type { EnvFiles, WithEnvFiles } from "./ports.ts";

/**
 * What the boot loader decides by, in its two copies. A change is written to `env2` first and then to `env1`, each durable
 * before the next: whatever write a power cut tears, one of them is whole, and until `env1` is whole with the new values
 * and after that alike, GRUB reads one state or the other, never a mixture.
 */
export class EnvStore {
  readonly #lend: WithEnvFiles;
  readonly #running: Slot;

  /** `running`: what is known to boot, should both copies be lost. */
  constructor(lend: WithEnvFiles, running: Slot) {
    this.#lend = lend;
    this.#running = running;
  }

  /** What counts now; `isWhole` when both copies say so. */
  read(): Promise<{ readonly env: GrubEnv; readonly isWhole: boolean }> {
    return this.#lend("read", (files) => this.#read(files));
  }

  /** Returns what is in force after the change. Throws `boot-env` when it cannot be written; then the old one still is. */
  change(decide: (env: GrubEnv) => GrubEnv): Promise<GrubEnv> {
    return this.#lend("change", async (files) => {
      const { env } = await this.#read(files);
      // GRUB may have counted a try in `env1` alone: what it wrote is taken along.
      const next = decide(env);
      await this.#write(files, next);
      return next;
    });
  }

  /** Makes both copies equal again after a write that was cut off, or GRUB's own in `env1`. `wasWhole`: there was no need. */
  repair(): Promise<{ readonly env: GrubEnv; readonly wasWhole: boolean }> {
    return this.#lend("change", async (files) => {
      const { env, isWhole } = await this.#read(files);
      if (!isWhole) await this.#write(files, env);
      return { env, wasWhole: isWhole };
    });
  }

  async #read(files: EnvFiles): Promise<{ env: GrubEnv; isWhole: boolean }> {
    const [env1, env2] = [await files.read("env1"), await files.read("env2")];
    const env = chooseGrubEnv(env1, env2);
    // Both lost: what runs is what boots; the other slot is not known to.
    if (env === undefined) return { env: onlySlot(this.#running), isWhole: false };
    const isSame = env1 !== undefined && env2 !== undefined && Buffer.from(env1).equals(env2);
    return { env, isWhole: isSame && parseGrubEnv(env1) !== undefined };
  }

  async #write(files: EnvFiles, env: GrubEnv): Promise<void> {
    const bytes = formatGrubEnv(env);
    for (const name of ["env2", "env1"] as const) {
      try {
        await files.write(name, bytes);
      } catch (error) {
        throw new CodedError("boot-env", `Cannot write the boot loader's ${name}`, error);
      }
    }
  }
}
