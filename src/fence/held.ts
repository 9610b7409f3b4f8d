// The fencing machine where something else than its own off decides: a hold, an answer of the host, a person. Pure.

import { after, closeSession, isDown, propose, proposeClosed, proposeProven, quiet, throughGates } from "./arrows.ts";
import type { FenceState, Look, Step } from "./machine-types.ts";
import { type FenceRow, type Marks, type Proof, RETURNED } from "./record.ts";
import { isSettled } from "./settled.ts";

/** A standing hold or failure is told again this often. */
export const ALERT_EVERY_MS = 60_000;

export function whenHeld(state: FenceState, look: Look, record: FenceRow, now: number): Step {
  const closed = closeSession(state);
  const idle = closed.state;
  if (record.confirmed_by !== "") return after(closed, whenConfirmed(idle, look, record, now));
  if (look.judgement.verdict === "alive") return after(closed, whenAlive(idle, look, record, now));
  if (!isDown(look) || now < idle.notBeforeAt) return closed;
  return after(closed, throughGates(quiet(idle), look, record, now, false));
}

/** A person says that it is off. Only an answer of the host itself can say otherwise. */
export function whenConfirmed(state: FenceState, look: Look, record: FenceRow, now: number): Step {
  const { verdict, storage } = look.judgement;
  if (verdict === "unknown") return quiet(state);
  if (verdict === "alive" || storage === "beating") {
    const reason = `${record.confirmed_by} confirmed that it is off, but it answers`;
    const held = propose(state, record, { state: "HELD", reasonCode: "answered", reason, isConfirmationVoid: true });
    return { ...held, effects: [...held.effects, { kind: "alert", text: `host ${state.hostId}: ${reason}` }] };
  }
  // An attempt of its own: from here on answers count anew, those before the confirmation were known to the person.
  const proofs: readonly Proof[] = [{ kind: "person", by: record.confirmed_by }];
  return proposeProven({ ...state, firstOffAt: now }, look, record, proofs, { attempt: record.attempt + 1 });
}

/** It answers while we were about to power it off, or had sent an off. */
export function whenAnswered(state: FenceState, look: Look, record: FenceRow): Step {
  const closed = closeSession({ ...state, proofs: undefined, failure: undefined });
  if (record.off_epoch === 0) {
    if (look.judgement.verdict !== "alive") return closed;
    return after(closed, proposeClosed(closed.state, look, record, "it answered again before anything was sent"));
  }
  const reason = "the host answered after an off was sent";
  const held = propose(closed.state, record, { state: "HELD", reasonCode: "answered", reason });
  const text = `host ${state.hostId}: ${reason}`;
  return after(closed, { ...held, effects: [...held.effects, { kind: "alert", text }] });
}

/** A held host that answers: it was never off, or it came back. */
export function whenAlive(state: FenceState, look: Look, record: FenceRow, now: number): Step {
  const { judgement } = look;
  const proofs = JSON.parse(record.proofs) as readonly Proof[];
  if (record.off_epoch > 0 && state.contactAt === undefined)
    return { state: { ...state, busy: "settle" }, effects: [{ kind: "settle" }] };
  if (proofs.length === 0) {
    if (!isSettled(state, record, now)) return quiet(state);
    return proposeClosed(state, look, record, "it answers again; it was not proven off");
  }
  // The return of the dead: its boot id and its domains come before any further start.
  if (judgement.bootId === "" || judgement.domains === undefined) return quiet(state);
  if (record.boot_id !== "" && judgement.bootId !== record.boot_id) {
    const marks = JSON.parse(record.marks) as Marks;
    return propose(state, record, {
      state: marks.recoveringAt === undefined ? "OFF_PROVEN" : "RECOVERING",
      reasonCode: RETURNED,
      reason: `it came back with a new boot id and runs ${judgement.domains.length} of our VMs: the proof stands`,
    });
  }
  if (!isSettled(state, record, now)) return quiet(state);
  return proposeClosed(state, look, record, "it answers and shows no new boot id: it was never off; check its BMC");
}

/** A hold that stands for a minute is an alert, and again every minute. */
export function withAlert(result: Step, record: FenceRow, now: number): Step {
  const { state } = result;
  if (result.effects.some((effect) => effect.kind === "propose")) return result;
  const key = `${record.state} ${record.reason_code}`;
  if (state.alertAt === undefined || state.alertedReason !== key)
    return { ...result, state: { ...state, alertAt: now + ALERT_EVERY_MS, alertedReason: key } };
  if (now < state.alertAt) return result;
  const text = `host ${state.hostId} stays ${record.state}: ${record.reason}`;
  return {
    state: { ...state, alertAt: now + ALERT_EVERY_MS },
    effects: [...result.effects, { kind: "alert", text }],
  };
}
