import { unreachable } from "../base/assert.ts";

/** Shorter ones are no press of a finger, ms. */
const PRESS_MIN_MS = 30;
/** From here on it is no short press any more: the fault lamp blinks, and letting go does nothing. */
const WARN_MS = 3000;
/** Held so long, nobody meant anything else. */
const RESET_MS = 10_000;
/** "This one" goes out by itself: nobody comes back to switch it off. */
const IDENTIFY_MS = 60_000;

export interface ButtonState {
  /** Undefined: not pressed, or held since before we looked, or done with. */
  readonly pressedAt: number | undefined;
  readonly identifyUntil: number;
}

export type ButtonEvent = { readonly kind: "pressed" } | { readonly kind: "released" } | { readonly kind: "ticked" };

/** A factory reset was asked for: held for ten seconds. Once a press. */
export type ButtonEffect = { readonly kind: "ask-reset" };

/** A button that is held at the start (stuck, or wired wrongly) is none until it was let go. */
export const INITIAL_BUTTON: ButtonState = { pressedAt: undefined, identifyUntil: 0 };

/** Short: identify, and again: no more. Ten seconds: a factory reset is asked for. */
export function step(
  state: ButtonState,
  event: ButtonEvent,
  now: number,
): { readonly state: ButtonState; readonly effects: readonly ButtonEffect[] } {
  switch (event.kind) {
    case "pressed":
      return { state: { ...state, pressedAt: state.pressedAt ?? now }, effects: [] };
    case "released":
      return { state: released(state, now), effects: [] };
    case "ticked":
      if (state.pressedAt === undefined || now - state.pressedAt < RESET_MS) return { state, effects: [] };
      return { state: { ...state, pressedAt: undefined }, effects: [{ kind: "ask-reset" }] };
    default:
      return unreachable(event);
  }
}

function released(state: ButtonState, now: number): ButtonState {
  const heldMs = state.pressedAt === undefined ? 0 : now - state.pressedAt;
  const up = { ...state, pressedAt: undefined };
  if (heldMs < PRESS_MIN_MS || heldMs >= WARN_MS) return up;
  return { ...up, identifyUntil: now < state.identifyUntil ? 0 : now + IDENTIFY_MS };
}

export function isIdentifying(state: ButtonState, now: number): boolean {
  return now < state.identifyUntil;
}

export function isWarning(state: ButtonState, now: number): boolean {
  return state.pressedAt !== undefined && now - state.pressedAt >= WARN_MS;
}
