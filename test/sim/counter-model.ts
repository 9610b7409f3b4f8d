import type { SequentialModel } from "./linearizability.ts";

/** What the simulated clients do with a counter: add one and hear its value, or read it. */
export interface CounterInput {
  readonly kind: "add" | "read";
  readonly key: number;
}

/** A counter that starts at 0. Reads whose outcome is unknown say nothing. */
export const COUNTER: SequentialModel<number, CounterInput, number> = {
  initial: 0,
  step: (state, { kind }, output) => {
    const value = kind === "add" ? state + 1 : state;
    return output === undefined || output === value ? value : undefined;
  },
  kindOf: ({ kind }) => kind,
  isPast: (state, { kind }, output) => (kind === "add" ? output <= state : output < state),
};
