import { unreachable } from "../../base/assert.ts";
import type { Slot } from "../grub-env.ts";

/**
 * The steps of an installation, in their order. Each is durable before the next begins, so a power cut leaves: a slot that
 * GRUB does not try (all but the last), or a whole one on trial (after the last). Nothing is taken up again after a cut:
 * an installation starts anew, and trusts no byte that an earlier one wrote.
 */
export const STEPS = [
  /** The slot is not tried any more, whatever happens to it. */
  "mark",
  /** Footer and superblock of what was there go: it is no image any more, for whoever does not ask the environment. */
  "clear",
  "write",
  /** The first block, and all that was written is durable. */
  "seal",
  /** What the device has is what the manifest says. */
  "verify",
  "footer",
  /** What the next boot is told of this update. */
  "record",
  /** The slot comes first, on trial. */
  "switch",
] as const;

export type Step = (typeof STEPS)[number];

export type UpdateState =
  | { readonly kind: "idle" }
  | { readonly kind: "working"; readonly slot: Slot; readonly step: Step; readonly isAborted: boolean }
  /** After a failure or an abort: the slot is made empty, which may fail, too. */
  | { readonly kind: "clearing-up"; readonly slot: Slot; readonly why: string }
  | { readonly kind: "installed"; readonly slot: Slot }
  | { readonly kind: "failed"; readonly why: string };

export type UpdateEvent =
  | { readonly kind: "started"; readonly slot: Slot; readonly obstacle: string | undefined }
  | { readonly kind: "step-done" }
  | { readonly kind: "step-failed"; readonly why: string }
  | { readonly kind: "abort-asked" };

export type UpdateEffect =
  | { readonly kind: "perform"; readonly step: Step; readonly slot: Slot }
  /** Ends the step that runs as soon as that can be: it fails then. */
  | { readonly kind: "interrupt" }
  | { readonly kind: "clear-up"; readonly slot: Slot };

export interface UpdateStep {
  readonly state: UpdateState;
  readonly effects: readonly UpdateEffect[];
}

export function step(state: UpdateState, event: UpdateEvent): UpdateStep {
  switch (event.kind) {
    case "started":
      if (state.kind !== "idle") return { state, effects: [] };
      if (event.obstacle !== undefined) return { state: { kind: "failed", why: event.obstacle }, effects: [] };
      return perform(event.slot, "mark", false);
    case "step-done":
      return done(state);
    case "step-failed":
      return failed(state, event.why);
    case "abort-asked":
      // What is switched already is an update; it can be left again by `slot switch`.
      if (state.kind !== "working" || state.step === "switch") return { state, effects: [] };
      return { state: { ...state, isAborted: true }, effects: [{ kind: "interrupt" }] };
    default:
      return unreachable(event);
  }
}

function done(state: UpdateState): UpdateStep {
  if (state.kind === "clearing-up") return { state: { kind: "failed", why: state.why }, effects: [] };
  if (state.kind !== "working") return { state, effects: [] };
  if (state.isAborted) return clearUp(state.slot, "it was stopped");
  const next = STEPS[STEPS.indexOf(state.step) + 1];
  if (next === undefined) return { state: { kind: "installed", slot: state.slot }, effects: [] };
  return perform(state.slot, next, false);
}

function failed(state: UpdateState, why: string): UpdateStep {
  if (state.kind === "clearing-up")
    return { state: { kind: "failed", why: `${state.why}; and the slot cannot be emptied: ${why}` }, effects: [] };
  if (state.kind !== "working") return { state, effects: [] };
  // Nothing of the slot was touched: what was there may still be good, although it is not tried any more.
  if (state.step === "mark") return { state: { kind: "failed", why }, effects: [] };
  return clearUp(state.slot, state.isAborted ? "it was stopped" : why);
}

function perform(slot: Slot, next: Step, isAborted: boolean): UpdateStep {
  return {
    state: { kind: "working", slot, step: next, isAborted },
    effects: [{ kind: "perform", step: next, slot }],
  };
}

function clearUp(slot: Slot, why: string): UpdateStep {
  return { state: { kind: "clearing-up", slot, why }, effects: [{ kind: "clear-up", slot }] };
}
