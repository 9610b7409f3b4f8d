import type { Action } from "./actions.ts";
import { INITIAL_KEYS, type KeyState } from "./keys.ts";
import type { ActionResult, Facts, Verdict } from "./types.ts";

/** A question that nobody answers is taken back, ms: the cable may be out, and the next one there is somebody else. */
export const ANSWER_WITHIN_MS = 120_000;

/** What a dialogue knows so far. */
export interface Dialogue {
  readonly action: Action;
  readonly answers: readonly string[];
  /** For a program: nothing is paged, and the end is marked. */
  readonly isExec: boolean;
}

export type Step = "question" | "password" | "name";

export type Mode =
  /** Facts are gathered: for the screen, or before an action. */
  | { readonly kind: "looking"; readonly then: "screen" | Dialogue }
  | { readonly kind: "prompt" }
  | { readonly kind: "asking"; readonly dialogue: Dialogue; readonly step: Step }
  | { readonly kind: "verifying"; readonly dialogue: Dialogue }
  | { readonly kind: "running"; readonly dialogue: Dialogue }
  | { readonly kind: "paging"; readonly rest: readonly string[] }
  | { readonly kind: "over" };

export interface ConsoleState {
  readonly mode: Mode;
  readonly keys: KeyState;
  readonly line: string;
  readonly ahead: readonly number[];
  readonly facts: Facts | undefined;
  /** When something was typed last, monotonic ms. */
  readonly heardAt: number;
  /** Ends after one action: `ringfence console exec`. */
  readonly isSingle: boolean;
  /** A pipe gets no echo of what came by it. */
  readonly isEchoing: boolean;
  /** Nothing more will be typed, though what was asked for may go on. */
  readonly isInputOver: boolean;
}

export type ConsoleEvent =
  | { readonly kind: "started" }
  /** One command line from elsewhere than the line: the words behind `ringfence console exec`. */
  | { readonly kind: "commanded"; readonly line: string }
  | { readonly kind: "received"; readonly bytes: readonly number[] }
  | { readonly kind: "input-ended" }
  | { readonly kind: "looked"; readonly facts: Facts }
  | { readonly kind: "verified"; readonly verdict: Verdict }
  | { readonly kind: "finished"; readonly result: ActionResult }
  /** The line is gone. What runs is let run to its end, and is on the record; nothing else is begun. */
  | { readonly kind: "hung-up" }
  | { readonly kind: "ticked" };

export type ConsoleEffect =
  | { readonly kind: "write"; readonly text: string }
  | { readonly kind: "look" }
  | { readonly kind: "verify"; readonly password: string }
  | { readonly kind: "run"; readonly action: Action; readonly answers: readonly string[]; readonly facts: Facts }
  | { readonly kind: "end"; readonly isDone: boolean };

export interface ConsoleStep {
  readonly state: ConsoleState;
  readonly effects: readonly ConsoleEffect[];
}

/** A console for a person on a line; or with `isSingle` for one command of a program. */
export function initialState(now: number, { isSingle = false, isEchoing = true } = {}): ConsoleState {
  return {
    ...{ mode: { kind: "prompt" }, keys: INITIAL_KEYS, line: "", ahead: [], facts: undefined },
    ...{ heardAt: now, isSingle, isEchoing, isInputOver: false },
  };
}
