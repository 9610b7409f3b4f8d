import { closeSession, intent, isAnswered, isDown, propose, proposeProven, quiet, throughGates } from "./arrows.ts";
import { whenAnswered, whenConfirmed, whenHeld, withAlert } from "./held.ts";
import type { FenceEffect, FenceEvent, FenceState, Look, PowerResult, SessionResult, Step } from "./machine-types.ts";
import { type FenceRow, isOpen, type Proof, RETURNED } from "./record.ts";
import type { RecordUpdate } from "./record-change.ts";

const TELL_AGAIN_MS = 10_000;
/** The last beat before the off counts as news for 2.5 s; a heartbeat that lasts longer than this is one of a host that runs. */
const BEATS_ON_MS = 10_000;
/** The longest pause between two rounds of tries. */
export const BACK_OFF_MS_MAX = 60_000;
const BACK_OFF_MS_FIRST = 1_000;
/** A host that is back in service was heard by one connection; the verdicts of all boxes follow within this. */
export const RETURN_GRACE_MS = 5_000;
/**
 * After a lease that was too short, and after an entry that was rejected or unknown: asking at once would only spin
 * while leadership is being lost. A heartbeat renews the lease within this, a row arrives within this.
 */
export const AGAIN_MS = 20;

export function createFence(hostId: number, epoch: number, now: number): FenceState {
  return {
    hostId,
    epoch,
    startedAt: now,
    busy: "",
    isSessionOpen: false,
    firstOffAt: undefined,
    proofs: undefined,
    contactAt: undefined,
    failure: undefined,
    failedRounds: 0,
    notBeforeAt: now,
    againAt: now,
    alertAt: undefined,
    alertedReason: "",
    told: undefined,
    returnGraceUntilAt: now,
    failureNumber: 0,
  };
}

/**
 * The fencing machine of one host, at the leader. HEALTHY, SUSPECT and AGREED_DOWN are what the monitor says; from
 * INTENT on every state is a row of the replicated record, written *before* it is acted on. The machine is
 * level-triggered: it holds nothing that the next leader could not get from the row and a fresh look.
 *
 * Driver: on every tick, tag, verdict and finished effect, call `step` with a `looked` event; perform the effects; feed
 * each result back. At most one effect that takes time is out at once.
 */
export function step(state: FenceState, event: FenceEvent, now: number): Step {
  return tellOnce(react(state, event, now), now);
}

/** An arrow that has to be proposed again does not tell its alert again. */
function tellOnce(result: Step, now: number): Step {
  let { told } = result.state;
  const effects = result.effects.filter((effect) => {
    if (effect.kind !== "alert") return true;
    if (told?.text === effect.text && now - told.at < TELL_AGAIN_MS) return false;
    told = { text: effect.text, at: now };
    return true;
  });
  return { state: { ...result.state, told }, effects };
}

function react(state: FenceState, event: FenceEvent, now: number): Step {
  switch (event.kind) {
    case "looked":
      return looked(state, event.look, now);
    case "proposed":
      return quiet({ ...state, busy: "", againAt: event.outcome === "done" ? state.againAt : now + AGAIN_MS });
    case "opened":
      return opened(state, event.result, event.jitter, now);
    case "powered-off":
      return poweredOff(state, event.result, event.jitter, now);
    case "settled":
      return quiet({ ...state, busy: "", contactAt: now });
  }
}

function opened(state: FenceState, result: SessionResult, jitter: number, now: number): Step {
  const idle: FenceState = { ...state, busy: "" };
  if (result.ok) return quiet({ ...idle, isSessionOpen: true, contactAt: now });
  if (result.cause === "lease") return quiet({ ...idle, againAt: now + AGAIN_MS });
  return failedLevel(
    { ...idle, contactAt: now, notBeforeAt: now + backOffMs(state, jitter) },
    result.cause,
    result.why,
  );
}

function poweredOff(state: FenceState, result: PowerResult, jitter: number, now: number): Step {
  const idle: FenceState = { ...state, busy: "" };
  if (result.ok)
    return quiet({
      ...idle,
      isSessionOpen: false,
      contactAt: now,
      proofs: result.proofs,
      failure: undefined,
      failedRounds: 0,
    });
  if (result.cause === "lease") return quiet({ ...idle, againAt: now + AGAIN_MS });
  const notBeforeAt = now + backOffMs(state, jitter);
  return failedLevel({ ...idle, contactAt: now, notBeforeAt }, result.cause, result.why);
}

function failedLevel(state: FenceState, cause: "identity" | "failed", why: string): Step {
  const effects: FenceEffect[] = [{ kind: "close-session" }];
  if (cause === "identity") effects.push({ kind: "alert", text: `host ${state.hostId}: refused to power off: ${why}` });
  return { state: { ...state, isSessionOpen: false, failure: why }, effects };
}

function backOffMs(state: FenceState, jitter: number): number {
  const base = Math.min(BACK_OFF_MS_MAX, BACK_OFF_MS_FIRST * 2 ** Math.min(state.failedRounds, 10));
  return Math.round(base * (0.75 + 0.25 * jitter));
}

function looked(before: FenceState, look: Look, now: number): Step {
  const { record } = look;
  const state =
    record !== undefined && record.failure !== before.failureNumber ? newFailure(before, record, now) : before;
  if (state.busy !== "" || now < state.againAt) return quiet(state);
  if (!isOpen(record)) return whenClosed(state, look, now);
  switch (record.state) {
    case "INTENT":
    case "OFF_SENT":
      return whenPoweringOff(state, look, record, now);
    case "OFF_PROVEN":
    case "RECOVERING":
      return whenProven(state, look, record);
    case "HELD":
    case "FAILED":
      return withAlert(whenHeld(state, look, record, now), record, now);
    case "CLOSED":
      return quiet(state);
  }
}

/** Nothing in memory may leak from one failure of the host into the next. */
function newFailure(state: FenceState, record: FenceRow, now: number): FenceState {
  const isOurs = record.epoch === state.epoch;
  return {
    ...createFence(state.hostId, state.epoch, state.startedAt),
    busy: state.busy,
    told: state.told,
    // An earlier leader's record: its first off was before our start.
    firstOffAt: !isOurs && record.off_epoch > 0 ? state.startedAt : undefined,
    notBeforeAt: now,
    failureNumber: record.failure,
  };
}

function whenClosed(state: FenceState, look: Look, now: number): Step {
  const closed = closeSession(state);
  if (look.isDealtWith) return quietUntil(closed, now + RETURN_GRACE_MS);
  if (look.judgement.verdict === "alive") return quietUntil(closed, now);
  if (!isDown(look) || now < state.notBeforeAt || now < state.returnGraceUntilAt) return closed;
  return throughGates(closed, look, look.record, now, true);
}

function quietUntil(before: Step, returnGraceUntilAt: number): Step {
  return { ...before, state: { ...before.state, returnGraceUntilAt } };
}

/** INTENT and OFF_SENT, ours or an earlier leader's. */
function whenPoweringOff(state: FenceState, look: Look, record: FenceRow, now: number): Step {
  if (record.confirmed_by !== "") return whenConfirmed(state, look, record, now);
  if (isAnswered(state, look, record)) return whenAnswered(state, look, record);
  if (record.epoch !== state.epoch) {
    // The other box may be gone and its session with it: a new intent of our own, through the gates again.
    return isDown(look) && now >= state.notBeforeAt
      ? throughGates(quiet(state), look, record, now, false)
      : quiet(state);
  }
  if (state.proofs !== undefined) return whenProofInHand(state, look, record, state.proofs, now);
  if (state.failure !== undefined) return nextLevel(state, look, record, state.failure);
  if (!state.isSessionOpen) {
    // Verdict `suspect` here means that the evidence weakened: wait, send nothing.
    if (!isDown(look)) return quiet(state);
    return { state: { ...state, busy: "open" }, effects: [{ kind: "open", level: record.level }] };
  }
  if (!isDown(look)) return quiet(state);
  if (record.state === "INTENT")
    return propose(state, record, {
      state: "OFF_SENT",
      offEpoch: state.epoch,
      marks: { offSentAt: look.wallAt },
    });
  return {
    state: { ...state, busy: "power-off", firstOffAt: state.firstOffAt ?? now },
    effects: [{ kind: "power-off" }],
  };
}

/** The BMC says off. Where a storage heartbeat exists, it must have missed two beats as well. */
function whenProofInHand(state: FenceState, look: Look, record: FenceRow, proofs: readonly Proof[], now: number): Step {
  if (look.judgement.verdict === "unknown") return quiet(state);
  if (look.judgement.storage === "beating") {
    if (now - (state.firstOffAt ?? now) < BEATS_ON_MS) return quiet(state);
    const text = `host ${state.hostId}: its BMC says off, but it goes on writing to the shared datastore: is it the right BMC?`;
    return { state, effects: [{ kind: "alert", text }] };
  }
  return proposeProven({ ...state, proofs: undefined }, look, record, proofs);
}

function nextLevel(state: FenceState, look: Look, record: FenceRow, why: string): Step {
  const next = look.levels.find(({ level }) => level > record.level);
  if (next !== undefined && isDown(look)) {
    return propose({ ...state, failure: undefined, firstOffAt: undefined }, record, intent(state, look, record, next));
  }
  const failed = propose({ ...state, failure: undefined, failedRounds: state.failedRounds + 1 }, record, {
    state: "FAILED",
    reasonCode: "methods",
    reason: why,
  });
  const text = `host ${state.hostId}: every way to power it off failed (round ${state.failedRounds + 1}): ${why}`;
  return { ...failed, effects: [...failed.effects, { kind: "alert", text }] };
}

function whenProven(state: FenceState, look: Look, record: FenceRow): Step {
  const closed = closeSession(state);
  const isAlive = isAnswered(state, look, record) || look.judgement.storage === "beating";
  if (record.reason_code !== RETURNED && isAlive) {
    const reason = "the host answered after it was proven off: nothing more is started elsewhere";
    const update: RecordUpdate = { state: "HELD", reasonCode: "answered", reason, isConfirmationVoid: true };
    const held = propose(closed.state, record, update);
    const text = `host ${state.hostId}: ${reason}`;
    return { state: held.state, effects: [...closed.effects, ...held.effects, { kind: "alert", text }] };
  }
  if (record.off_epoch > 0 && state.contactAt === undefined)
    return { state: { ...closed.state, busy: "settle" }, effects: [...closed.effects, { kind: "settle" }] };
  return closed;
}
