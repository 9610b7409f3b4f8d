import { ENTRY_SIZE_BYTES_MAX, type Entry, encodeEntry, type Outcome } from "../base/entry.ts";
import { CodedError } from "../base/error.ts";
import type { Proposal } from "./ports.ts";

/** Proposals that may wait for their outcome at once; more is answered *busy*. */
export const PROPOSALS_MAX = 4096;

/** The state as proposals need it: what became of a request id. */
export interface OutcomeSource {
  outcomeOf(requestId: string): Outcome | undefined;
}

interface Pending {
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Entries on their way through the log, on the leader. Each ends with what the state said of it, with *unknown* when
 * leadership was lost under way, or with an error when it surely did not happen.
 */
export class Proposals {
  readonly #pending = new Map<string, Pending>();
  #batch: Proposal[] = [];
  readonly #send: (proposals: readonly Proposal[]) => void;
  readonly #outcomes: OutcomeSource;

  constructor(outcomes: OutcomeSource, send: (proposals: readonly Proposal[]) => void) {
    this.#outcomes = outcomes;
    this.#send = send;
  }

  /** Rejects with `not-leader`, `busy` or `entry-too-large`: nothing happened. */
  propose(entry: Entry): Promise<Outcome> {
    const known = this.#outcomes.outcomeOf(entry.requestId);
    if (known !== undefined) return Promise.resolve(known);
    if (this.#pending.size >= PROPOSALS_MAX)
      return Promise.reject(
        new CodedError("busy", `Cannot propose ${entry.kind}: ${PROPOSALS_MAX} entries wait already`),
      );
    if (this.#pending.has(entry.requestId))
      return Promise.reject(
        new CodedError("busy", `Cannot propose ${entry.kind}: ${entry.requestId} is under way already`),
      );
    const data = encodeEntry(entry);
    if (data.length > ENTRY_SIZE_BYTES_MAX)
      return Promise.reject(
        new CodedError(
          "entry-too-large",
          `Cannot propose ${entry.kind}: ${data.length} bytes, at most ${ENTRY_SIZE_BYTES_MAX}`,
        ),
      );
    // All that is proposed while this turn's events are worked off travels to the core thread, and into the log, together:
    // each message costs both threads a wake-up, and in the core a frame to every peer.
    if (this.#batch.length === 0) setImmediate(() => this.#flush());
    this.#batch.push({ requestId: entry.requestId, data });
    return new Promise((resolve, reject) => this.#pending.set(entry.requestId, { resolve, reject }));
  }

  /** The state has applied an entry. */
  applied(requestId: string, outcome: Outcome): void {
    const pending = this.#pending.get(requestId);
    if (pending === undefined) return;
    this.#pending.delete(requestId);
    pending.resolve(outcome);
  }

  /** The core did not take them. */
  refused(requestIds: readonly string[], why: "not-leader" | "busy"): void {
    for (const requestId of requestIds) {
      const pending = this.#pending.get(requestId);
      this.#pending.delete(requestId);
      pending?.reject(
        new CodedError(why, why === "busy" ? "Too many writes wait for the log" : "This box does not lead"),
      );
    }
  }

  /** Whatever was under way may or may not be committed by the next leader. */
  leadershipLost(): void {
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const pending of all)
      pending.resolve({ kind: "unknown", why: "leadership was lost while the write was under way" });
  }

  #flush(): void {
    const batch = this.#batch;
    this.#batch = [];
    this.#send(batch);
  }
}
