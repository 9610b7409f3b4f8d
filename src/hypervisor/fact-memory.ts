import type { Fact, Now } from "./ports.ts";

/** A fact that the record has not taken up is said again after this. */
export const SAY_AGAIN_MS = 5000;
/** Facts remembered; beyond it the oldest is forgotten, which costs a repetition, nothing else. */
const REMEMBERED_MAX = 10_000;

/** Says each fact once, then again every {@link SAY_AGAIN_MS} for as long as the level holds; a failed report comes again at once. */
export class FactMemory {
  readonly #say: (fact: Fact) => Promise<void>;
  readonly #now: Now;
  readonly #saidAt = new Map<string, number>();

  constructor(say: (fact: Fact) => Promise<void>, now: Now) {
    this.#say = say;
    this.#now = now;
  }

  /** The next fact about this VM on this host is news. */
  forget(vmId: number, hostId: number): void {
    for (const key of this.#saidAt.keys()) if (key.includes(` ${vmId} ${hostId} `)) this.#saidAt.delete(key);
  }

  async say(fact: Fact): Promise<void> {
    const key = `${fact.kind} ${fact.vmId} ${fact.hostId} ${fact.epoch}`;
    const saidAt = this.#saidAt.get(key);
    if (saidAt !== undefined && this.#now() - saidAt < SAY_AGAIN_MS) return;
    this.#saidAt.delete(key);
    this.#saidAt.set(key, this.#now());
    const [oldest] = this.#saidAt.keys();
    if (this.#saidAt.size > REMEMBERED_MAX && oldest !== undefined) this.#saidAt.delete(oldest);
    try {
      await this.#say(fact);
    } catch (error) {
      this.#saidAt.delete(key);
      throw error;
    }
  }
}
