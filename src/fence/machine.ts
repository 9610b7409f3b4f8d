import type { Outcome } from "../base/entry.ts";
import { type BmcPower, firstShut, type GateAnswer } from "./policy.ts";
import { type FenceRow, isOpen, type Marks, type Proof, RETURNED, type RecordUpdate } from "./record.ts";

/**
 * The fencing machine of one host, at the leader. HEALTHY, SUSPECT and AGREED_DOWN are what the monitor says; from
 * INTENT on every state is a row of the replicated record, written *before* it is acted on. The machine is
 * level-triggered: it holds nothing that the next leader could not get from the row and a fresh look.
 *
 * Driver: on every tick, tag, verdict and finished effect, call `step` with a `looked` event; perform the effects; feed
 * each result back. At most one effect that takes time is out at once.
 */
export interface FenceState {
  readonly hostId: number;
  /** This leader's Raft term. */
  readonly epoch: number;
  /** When this leader took the host over, monotonic ms like every instant here. */
  readonly startedAt: number;
  readonly busy: "" | "propose" | "open" | "power-off" | "settle";
  /** A session with every device of the level stands open, identity checked, status read. */
  readonly isSessionOpen: boolean;
  /** When this leader sent the first off of the present attempt, or may have. */
  readonly firstOffAt: number | undefined;
  /** What this leader's power-off proved and the record does not say yet. */
  readonly proofs: readonly Proof[] | undefined;
  /** The end of this leader's last session with the BMC of this failure, or of its attempt at one. */
  readonly contactAt: number | undefined;
  /** Why the present level failed; undefined while it has not. */
  readonly failure: string | undefined;
  /** Rounds through all levels that failed; sets the back-off. */
  readonly failedRounds: number;
  /** No new try before this. */
  readonly notBeforeAt: number;
  /** The lease was too short or an entry was not admitted: nothing is tried before this. */
  readonly againAt: number;
  /** When the next alert of a standing HELD or FAILED is due. */
  readonly alertAt: number | undefined;
  readonly alertedReason: string;
  /** The last alert and when it was given. */
  readonly told: { readonly text: string; readonly at: number } | undefined;
  /** Until then a host that was dealt with and has just come back is not judged down by verdicts from before. */
  readonly returnGraceUntilAt: number;
  /** The failure that all of the above belongs to. */
  readonly failureNumber: number;
}

/** What the boxes together say about the host, in the leader's clock. */
export interface HostJudgement {
  /** `suspect`: the loop is silent. `down`: a majority of the voters in force agrees, and no box hears it. */
  readonly verdict: "unknown" | "alive" | "suspect" | "down" | "isolated";
  /** Since when it is down or isolated. */
  readonly downSinceAt: number | undefined;
  /** The newest application answer, domain event or storage heartbeat at any box; undefined when none was since start. */
  readonly lastAnswerAt: number | undefined;
  /** A box got one of these after it applied the OFF_SENT of this record's failure and attempt. */
  readonly isAnswerAfterOff: boolean;
  readonly bmcPower: BmcPower;
  /** The storage heartbeat; `none` where there is no such thing. */
  readonly storage: "none" | "beating" | "missed-two";
  /** The boot id that the host shows or last showed; "" when it never did. */
  readonly bootId: string;
  /** Ids of the VMs whose domains it showed since it last came back; undefined when it has not shown them. */
  readonly domains: readonly number[] | undefined;
  /** Sentences for the record. */
  readonly evidence: readonly string[];
  readonly marks: Marks;
}

/** Everything that the machine looks at; read afresh for each `looked`. */
export interface Look {
  readonly record: FenceRow | undefined;
  readonly judgement: HostJudgement;
  readonly gates: readonly GateAnswer[];
  /** The levels that can run by themselves, ascending, with their methods in words. */
  readonly levels: readonly { readonly level: number; readonly method: string }[];
  /** The host is in ERROR and its last record is closed: it was dealt with and waits to be repaired. */
  readonly isDealtWith: boolean;
  readonly isFencingWaived: boolean;
  /** Wall time in ms, for the marks. */
  readonly wallAt: number;
}

export type FenceEvent =
  | { readonly kind: "looked"; readonly look: Look }
  | { readonly kind: "proposed"; readonly outcome: Outcome["kind"] }
  /** `jitter`: 0 … 1, spreads the back-off of several hosts. */
  | { readonly kind: "opened"; readonly result: SessionResult; readonly jitter: number }
  | { readonly kind: "powered-off"; readonly result: PowerResult; readonly jitter: number }
  | { readonly kind: "settled" };

/** `lease`: nothing was sent because the lease was too short; not the level's failure. */
export type SessionResult =
  | { readonly ok: true }
  | { readonly ok: false; readonly cause: "lease" | "identity" | "failed"; readonly why: string };

export type PowerResult =
  | { readonly ok: true; readonly proofs: readonly Proof[] }
  | Extract<SessionResult, { ok: false }>;

export type FenceEffect =
  /** Write the arrow. `isHostLost`: the host goes to ERROR and its VMs to UNKNOWN in the same entry. */
  | {
      readonly kind: "propose";
      readonly update: RecordUpdate;
      readonly isHostLost: boolean;
      readonly basedOn: FenceRow | undefined;
    }
  /** Open sessions with all devices of the record's level: identity, then status. Nothing that changes power. */
  | { readonly kind: "open"; readonly level: number }
  /** Send off to all of them and prove it. Only ever after the OFF_SENT of this epoch was read back. */
  | { readonly kind: "power-off" }
  | { readonly kind: "close-session" }
  /** One status session of our own with the BMC, so that no earlier leader's is in its way. */
  | { readonly kind: "settle" }
  | { readonly kind: "alert"; readonly text: string };

export interface Step {
  readonly state: FenceState;
  readonly effects: readonly FenceEffect[];
}

/** A power-changing session sends nothing more after this; C is counted from it. */
export const COMMAND_DEADLINE_MS = 3_000;
/** C: how long a host that an earlier command may still hit is not enabled, powered on or given a VM. */
export const SETTLE_MS = COMMAND_DEADLINE_MS + 5_000;
/** A standing hold or failure is told again this often. */
export const ALERT_EVERY_MS = 60_000;
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

/** Whether no command of any leader can hit the host any more: it may be put to use and its record closed. */
export function isSettled(state: FenceState, record: FenceRow, now: number): boolean {
  if (record.off_epoch === 0) return true;
  return state.failureNumber === record.failure && state.contactAt !== undefined && now >= state.contactAt + SETTLE_MS;
}

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

function whenHeld(state: FenceState, look: Look, record: FenceRow, now: number): Step {
  const closed = closeSession(state);
  const idle = closed.state;
  if (record.confirmed_by !== "") return after(closed, whenConfirmed(idle, look, record, now));
  if (look.judgement.verdict === "alive") return after(closed, whenAlive(idle, look, record, now));
  if (!isDown(look) || now < idle.notBeforeAt) return closed;
  return after(closed, throughGates(quiet(idle), look, record, now, false));
}

/** A person says that it is off. Only an answer of the host itself can say otherwise. */
function whenConfirmed(state: FenceState, look: Look, record: FenceRow, now: number): Step {
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
function whenAnswered(state: FenceState, look: Look, record: FenceRow): Step {
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
function whenAlive(state: FenceState, look: Look, record: FenceRow, now: number): Step {
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

/** All gates open: INTENT (or, with `--no-fencing`, straight on). A shut one: HELD with its reason. */
function throughGates(
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

function intent(
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

function proposeProven(
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

function proposeClosed(state: FenceState, look: Look, record: FenceRow, reason: string): Step {
  return propose(state, record, { state: "CLOSED", reason, marks: { closedAt: look.wallAt } });
}

function propose(state: FenceState, basedOn: FenceRow | undefined, update: RecordUpdate, isHostLost = false): Step {
  return { state: { ...state, busy: "propose" }, effects: [{ kind: "propose", update, isHostLost, basedOn }] };
}

function isDown(look: Look): boolean {
  return look.judgement.verdict === "down" || look.judgement.verdict === "isolated";
}

/** An answer that voids what we have: the host is heard, or was after the first off. */
function isAnswered(state: FenceState, look: Look, record: FenceRow): boolean {
  const { verdict, lastAnswerAt, isAnswerAfterOff } = look.judgement;
  if (verdict === "alive") return true;
  if (record.off_epoch === 0) return false;
  const sinceAt = state.firstOffAt ?? (record.epoch === state.epoch ? undefined : state.startedAt);
  return isAnswerAfterOff || (sinceAt !== undefined && lastAnswerAt !== undefined && lastAnswerAt > sinceAt);
}

/** A hold that stands for a minute is an alert, and again every minute. */
function withAlert(result: Step, record: FenceRow, now: number): Step {
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

function closeSession(state: FenceState): Step {
  if (!state.isSessionOpen) return quiet(state);
  return { state: { ...state, isSessionOpen: false }, effects: [{ kind: "close-session" }] };
}

function after(first: Step, then: Step): Step {
  return { state: then.state, effects: [...first.effects, ...then.effects] };
}

function quiet(state: FenceState): Step {
  return { state, effects: [] };
}
