import type { Action } from "./actions.ts";
import type { ActionResult, Facts, Verdict } from "./types.ts";

/** One dangerous thing that somebody did or tried at a console. */
export interface ConsoleRecord {
  /** 32 hex digits; what is put on the record twice is there once. */
  readonly id: string;
  /** Wall ms, for people. */
  readonly at: number;
  readonly box: string;
  /** Where it was typed: `ttyS0`, `exec`. */
  readonly line: string;
  readonly action: string;
  /** The answers that are no secrets. */
  readonly detail: string;
  /** `begun` until it has ended. */
  readonly outcome: string;
}

/** What the console needs of the world. Nothing here needs main, a quorum or a network to *fail* in bounded time. */
export interface ConsolePorts {
  /** Monotonic ms. */
  now(): number;
  /** Queues text for the line; a line that does not take it loses text, never holds anything up. */
  write(text: string): void;
  look(): Promise<Facts>;
  verify(password: string): Promise<Verdict>;
  run(action: Action, answers: readonly string[], facts: Facts): Promise<ActionResult>;
  /** Keeps it on this box for the cluster's record; a text says why it is not safe there. Never throws. */
  record(fact: Omit<ConsoleRecord, "id" | "at"> & { readonly id?: string }): { id: string; why: string | undefined };
  /** Called once, when nothing runs any more. */
  end(isDone: boolean): void;
}
