// The arrows of the fencing machine: what it proposes to write, and the small words that all its steps are made of. Pure.

import type { FenceState, Look, Step } from "./machine-types.ts";
import { firstShut } from "./policy.ts";
import { type FenceRow, isOpen, type Proof } from "./record.ts";
import type { RecordUpdate } from "./record-change.ts";

/** All gates open: INTENT (or, with `--no-fencing`, straight on). A shut one: HELD with its reason. */
export function throughGates(
  before: Step,
  look: Look,
  record: FenceRow | undefined,
  now: number,
  isNewFailure: boolean,
): Step {
  const state = before.state;
  const shut = firstShut(look.gates);
  const opening = isNewFailure
    ? { isNewFailure, bootId: look.judgement.bootId, evidence: look.judgement.evidence, marks: look.judgement.marks }
    : {};
  if (shut !== undefined) {
    const isSame = isOpen(record) && record.state === "HELD" && record.reason_code === shut.gate;
    if (shut.isBrief || isSame) return before;
    return after(
      before,
      propose(state, record, { ...opening, state: "HELD", reasonCode: shut.gate, reason: shut.reason }),
    );
  }
  if (look.isFencingWaived) {
    const by = "HOST_HOOK with --no-fencing";
    const proven = proposeProven(state, look, record, [{ kind: "waived", by }], opening);
    const text = `host ${state.hostId}: its VMs are started elsewhere without fencing, because of --no-fencing`;
    return after(before, { ...proven, effects: [...proven.effects, { kind: "alert", text }] });
  }
  const first = look.levels[0];
  if (first === undefined) return before;
  const idle: FenceState = { ...state, firstOffAt: undefined, proofs: undefined, failure: undefined, notBeforeAt: now };
  const update = intent(idle, look, isNewFailure ? undefined : record, first);
  return after(before, propose(idle, record, { ...opening, ...update, marks: { ...opening.marks, ...update.marks } }));
}

export function intent(
  state: FenceState,
  look: Look,
  record: FenceRow | undefined,
  to: { readonly level: number; readonly method: string },
): RecordUpdate {
  return {
    state: "INTENT",
    epoch: state.epoch,
    level: to.level,
    method: to.method,
    attempt: (record?.attempt ?? 0) + 1,
    evidence: look.judgement.evidence,
    proofs: [],
    marks: { ...look.judgement.marks, intentAt: look.wallAt },
  };
}

export function proposeProven(
  state: FenceState,
  look: Look,
  record: FenceRow | undefined,
  proofs: readonly Proof[],
  opening: Partial<RecordUpdate> = {},
): Step {
  const update: RecordUpdate = {
    ...opening,
    state: "OFF_PROVEN",
    proofs,
    marks: { ...opening.marks, provenAt: look.wallAt },
  };
  return propose(state, record, update, true);
}

export function proposeClosed(state: FenceState, look: Look, record: FenceRow, reason: string): Step {
  return propose(state, record, { state: "CLOSED", reason, marks: { closedAt: look.wallAt } });
}

export function propose(
  state: FenceState,
  basedOn: FenceRow | undefined,
  update: RecordUpdate,
  isHostLost = false,
): Step {
  return { state: { ...state, busy: "propose" }, effects: [{ kind: "propose", update, isHostLost, basedOn }] };
}

export function isDown(look: Look): boolean {
  return look.judgement.verdict === "down" || look.judgement.verdict === "isolated";
}

/** An answer that voids what we have: the host is heard, or was after the first off. */
export function isAnswered(state: FenceState, look: Look, record: FenceRow): boolean {
  const { verdict, lastAnswerAt, isAnswerAfterOff } = look.judgement;
  if (verdict === "alive") return true;
  if (record.off_epoch === 0) return false;
  const sinceAt = state.firstOffAt ?? (record.epoch === state.epoch ? undefined : state.startedAt);
  return isAnswerAfterOff || (sinceAt !== undefined && lastAnswerAt !== undefined && lastAnswerAt > sinceAt);
}

export function closeSession(state: FenceState): Step {
  if (!state.isSessionOpen) return quiet(state);
  return { state: { ...state, isSessionOpen: false }, effects: [{ kind: "close-session" }] };
}

export function after(first: Step, then: Step): Step {
  return { state: then.state, effects: [...first.effects, ...then.effects] };
}

export function quiet(state: FenceState): Step {
  return { state, effects: [] };
}
