/**
 * The decision to pet, and to start main again: pure. The hardware resets the box when it is not petted within its
 * time-out, so every hang of the kernel or of the supervisor is covered by doing nothing; this machine adds the hangs of
 * main. Times are monotonic ms.
 */
import { EXIT_NEEDS_PERSON, EXIT_RESTART } from "../base/exit-codes.ts";
import { CLIENT_WORDS, CLIENTS, type Client, type Freezable, type MainPhase } from "./clients.ts";
import type { WatchdogLimits } from "./limits.ts";

export interface WatchdogSettings {
  readonly limits: WatchdogLimits;
  /** T_hw as the device has taken it, ms. Undefined: there is no device, nothing can reset the box. */
  readonly deviceTimeoutMs: number | undefined;
  /** Shorter than that when one of several devices wants to be petted sooner. */
  readonly petWithinMs?: number | undefined;
}

/** What main says of itself each half second. */
export interface CheckInReport {
  readonly pid: number;
  readonly phase: MainPhase;
  /** Grows with each step of a start. */
  readonly progress: number;
  /** The newest acknowledgement that each client has returned. */
  readonly tokens: Readonly<Partial<Record<Client, number>>>;
}

export type WatchdogEvent =
  | { readonly kind: "started"; readonly pid: number }
  | { readonly kind: "start-failed"; readonly why: string }
  | ({ readonly kind: "checked-in" } & CheckInReport)
  /** `how` is for people: "exit code 1", "signal SIGKILL". */
  | { readonly kind: "ended"; readonly pid: number; readonly code: number | null; readonly how: string }
  /** No process of any earlier start is left. */
  | { readonly kind: "cage-emptied" }
  | { readonly kind: "stop-requested" }
  /** An acknowledgement that nobody can know beforehand is on its way to main. */
  | { readonly kind: "token-issued"; readonly token: number }
  | { readonly kind: "snooze-asked"; readonly ms: number; readonly by: string }
  | { readonly kind: "stop-petting-asked"; readonly by: string }
  | { readonly kind: "freeze-asked"; readonly client: Freezable; readonly by: string }
  | { readonly kind: "resume-asked"; readonly by: string }
  | { readonly kind: "ticked" };

export type WatchdogEffect =
  | { readonly kind: "pet" }
  /** Start main; answered by `started` or `start-failed`. */
  | { readonly kind: "start" }
  /** SIGKILL to whatever runs in the cage; answered by `cage-emptied` when that is nothing. Asked for until it is. */
  | { readonly kind: "empty-cage" }
  /** SIGTERM to main. */
  | { readonly kind: "terminate"; readonly pid: number }
  /** Write down what can be seen of a hung main from outside, before it is killed. */
  | { readonly kind: "record-hang"; readonly pid: number; readonly why: string }
  /** Main could say what is wrong, and it is nothing of the program's own. */
  | { readonly kind: "needs-person" }
  /** The reset that follows will leave no word: write the reason down now. */
  | { readonly kind: "presume-reset"; readonly why: string }
  /** Main is gone: disarm the device if `isDisarming`, and end. */
  | { readonly kind: "finish"; readonly isDisarming: boolean }
  /** A test: main is told that this client is to hang. */
  | { readonly kind: "freeze"; readonly client: Freezable }
  /** A person did this: it is kept for the cluster's record. */
  | { readonly kind: "record"; readonly action: string; readonly detail: string }
  /** To whoever asked. */
  | { readonly kind: "answer"; readonly isDone: boolean; readonly text: string }
  | { readonly kind: "log"; readonly text: string };

/** Main is not running; it is started at `startAt`, once the cage is empty. */
interface Down {
  readonly kind: "down";
  readonly since: number;
  readonly startAt: number;
  readonly isEmpty: boolean;
}

export interface Up {
  readonly kind: "up";
  readonly pid: number;
  readonly startedAt: number;
  /** The first check-in. */
  readonly firstHeardAt: number | undefined;
  readonly mainPhase: MainPhase;
  /** Since when the main of this start is in that phase. */
  readonly phaseSince: number;
  readonly progress: number;
  readonly progressAt: number;
  /** When each client lived for certain: the issue of the newest acknowledgement that it returned. */
  readonly aliveAt: Readonly<Partial<Record<Client, number>>>;
  /** Clients whose gap was worth a warning and is not over. */
  readonly warned: readonly Client[];
}

/** An orderly end: main has had SIGTERM, what is left at `killAt` is killed. */
interface Stopping {
  readonly kind: "stopping";
  readonly pid: number | undefined;
  readonly killAt: number;
}

export interface WatchdogState {
  readonly phase: Down | Up | Stopping | { readonly kind: "stopped" };
  readonly pettedAt: number | undefined;
  readonly tickedAt: number;
  /** Ends and hangs since the last good start. */
  readonly failures: number;
  readonly firstFailureAt: number;
  /** Instants of hangs, the last few. */
  readonly hangs: readonly number[];
  /** The acknowledgements that may still come back, oldest first. */
  readonly issued: readonly { readonly token: number; readonly at: number }[];
  /** Until then hangs are borne: a person looks at them. */
  readonly snoozedUntil: number | undefined;
  /** Why main is not started, although nothing is wrong with it as far as this life knows. */
  readonly rest: { readonly why: string; readonly until: number } | undefined;
  /** Petting has ended, for good: the reset was decided. */
  readonly doom: { readonly since: number; readonly isOverdue: boolean } | undefined;
}

export interface WatchdogStep {
  readonly state: WatchdogState;
  readonly effects: readonly WatchdogEffect[];
}

/** Pets in a device's time-out: four may be lost. */
const PETS_PER_TIMEOUT = 5;
/** A gap between two pets above this part of the time-out is worth a line: the next one may be the last. */
const PET_GAP_WARNING = 3 / 5;
/** iTCO fires at twice its time-out; a box that still runs after that and the margin has no working watchdog. */
const OVERDUE_TIMEOUTS = 2;
const OVERDUE_MARGIN_MS = 10_000;
/** Two a second for longer than any client may take. */
const TOKENS_MAX = 128;
/** A client's gap above this part of its time is worth a line. */
const CLIENT_GAP_WARNING = 3 / 5;

/** `rest`: main is not started before `until`, or a person says so; a box in recovery has the dog petted all the same. */
export function initialState(now: number, rest?: { readonly why: string; readonly until: number }): WatchdogState {
  return {
    // What an earlier supervisor left behind goes first.
    phase: { kind: "down", since: now, startAt: rest?.until ?? now, isEmpty: false },
    pettedAt: undefined,
    tickedAt: now,
    failures: 0,
    firstFailureAt: now,
    hangs: [],
    issued: [],
    snoozedUntil: undefined,
    rest,
    doom: undefined,
  };
}

/** One decision. */
export function step(
  settings: WatchdogSettings,
  state: WatchdogState,
  event: WatchdogEvent,
  now: number,
): WatchdogStep {
  switch (event.kind) {
    case "started":
      return startedAs(state, event.pid, now);
    case "start-failed":
      return failed(settings, state, `main cannot be started: ${event.why}`, now);
    case "checked-in":
      return checkedIn(settings, state, event, now);
    case "ended":
      return ended(settings, state, event, now);
    case "cage-emptied":
      if (state.phase.kind === "down")
        return { state: { ...state, phase: { ...state.phase, isEmpty: true } }, effects: [] };
      if (state.phase.kind === "stopping") return finish(state, state.doom === undefined);
      return { state, effects: [] };
    case "stop-requested":
      return stop(settings, state, now);
    case "token-issued":
      return {
        state: { ...state, issued: [...state.issued, { token: event.token, at: now }].slice(-TOKENS_MAX) },
        effects: [],
      };
    case "snooze-asked":
      return snooze(settings, state, event.ms, event.by, now);
    case "stop-petting-asked":
      return stopPetting(settings, state, event.by, now);
    case "freeze-asked":
      return freeze(state, event.client, event.by);
    case "resume-asked":
      return resume(state, event.by, now);
    case "ticked":
      return tick(settings, state, now);
  }
}

function startedAs(state: WatchdogState, pid: number, now: number): WatchdogStep {
  if (state.phase.kind !== "down") return { state, effects: [] };
  const phase: Up = {
    ...{ kind: "up", pid, startedAt: now, firstHeardAt: undefined },
    ...{ mainPhase: "starting", phaseSince: now, progress: -1, progressAt: now, aliveAt: {}, warned: [] },
  };
  return {
    state: { ...state, phase, rest: undefined },
    effects: [{ kind: "log", text: `main started, process ${pid}` }],
  };
}

function checkedIn(settings: WatchdogSettings, state: WatchdogState, report: CheckInReport, now: number): WatchdogStep {
  const { phase } = state;
  // A line of an earlier main that was still on its way says nothing about this one.
  if (phase.kind !== "up" || phase.pid !== report.pid) return { state, effects: [] };
  const effects: WatchdogEffect[] = [];
  const took = now - phase.startedAt;
  if (phase.firstHeardAt === undefined) effects.push({ kind: "log", text: `main checks in after ${seconds(took)}` });
  if (report.phase === "started" && phase.mainPhase !== "started")
    effects.push({ kind: "log", text: `main runs with all parts after ${seconds(took)}` });
  const firstHeardAt = phase.firstHeardAt ?? now;
  const isNewPhase = report.phase !== phase.mainPhase;
  const isProgress = isNewPhase || report.progress !== phase.progress;
  const next: Up = {
    ...phase,
    firstHeardAt,
    mainPhase: report.phase,
    phaseSince: isNewPhase ? now : phase.phaseSince,
    progress: report.progress,
    progressAt: isProgress ? now : phase.progressAt,
    aliveAt: returnedBy(state, phase, report),
  };
  const isGood = now - firstHeardAt >= settings.limits.goodMs && lateness(settings.limits, next, now) === undefined;
  return { state: { ...state, phase: next, failures: isGood ? 0 : state.failures }, effects };
}

/** A client lives since the issue of what it returned: what it says itself of its age is not asked. */
function returnedBy(state: WatchdogState, phase: Up, report: CheckInReport): Up["aliveAt"] {
  const aliveAt: Partial<Record<Client, number>> = { ...phase.aliveAt };
  for (const client of CLIENTS) {
    const token = report.tokens[client];
    const at = token === undefined ? undefined : state.issued.findLast((one) => one.token === token)?.at;
    // Never back: after a pause of the whole box what was on its way is as old as the pause. And what was issued to an
    // earlier main is nobody's proof.
    if (at !== undefined && at >= phase.startedAt) aliveAt[client] = Math.max(aliveAt[client] ?? at, at);
  }
  return aliveAt;
}

function ended(
  settings: WatchdogSettings,
  state: WatchdogState,
  event: Extract<WatchdogEvent, { kind: "ended" }>,
  now: number,
): WatchdogStep {
  const { phase } = state;
  // What main leaves behind of its own children has no time of grace.
  if (phase.kind === "stopping" && phase.pid === event.pid)
    return { state: { ...state, phase: { ...phase, killAt: now } }, effects: [{ kind: "empty-cage" }] };
  // Else its end was ordered, and the cage tells when all of it is gone.
  if (phase.kind !== "up" || phase.pid !== event.pid) return { state, effects: [] };
  // Only of one that ran with all parts: a start that wants another start, again and again, is a failure.
  if (event.code === EXIT_RESTART && phase.mainPhase === "started")
    return {
      state: { ...state, phase: { kind: "down", since: now, startAt: now, isEmpty: false } },
      effects: [{ kind: "log", text: "main ended to be started again" }, { kind: "empty-cage" }],
    };
  if (event.code !== EXIT_NEEDS_PERSON) return failed(settings, state, `main ended by itself (${event.how})`, now);
  // It could say what is wrong, and neither a restart nor a reset mends it; a person may at any time.
  const startAt = now + settings.limits.backOffMaxMs;
  return {
    state: { ...state, failures: 0, phase: { kind: "down", since: now, startAt, isEmpty: false } },
    effects: [
      { kind: "log", text: `main needs a person (${event.how}): see its message; the box is not reset for this` },
      { kind: "needs-person" },
      { kind: "empty-cage" },
    ],
  };
}

/** A start came to nothing: empty the cage, wait, try again; or see that this does not help. */
function failed(settings: WatchdogSettings, state: WatchdogState, why: string, now: number): WatchdogStep {
  const { limits } = settings;
  const waitMs = Math.min(limits.backOffMs * 2 ** Math.min(state.failures, 16), limits.backOffMaxMs);
  const next: WatchdogState = {
    ...state,
    failures: state.failures + 1,
    firstFailureAt: state.failures === 0 ? now : state.firstFailureAt,
    phase: { kind: "down", since: now, startAt: now + waitMs, isEmpty: false },
  };
  const effects: WatchdogEffect[] = [
    { kind: "log", text: `${why}; starts again in ${seconds(waitMs)}` },
    { kind: "empty-cage" },
  ];
  return withVerdict(settings, { state: next, effects }, why, now);
}

function hung(settings: WatchdogSettings, state: WatchdogState, phase: Up, late: string, now: number): WatchdogStep {
  const hangs = [...state.hangs.filter((at) => now - at < settings.limits.relapseMs), now].slice(
    -settings.limits.relapsesMax - 1,
  );
  const result = failed(settings, { ...state, hangs }, `main hangs: ${late}`, now);
  return { state: result.state, effects: [{ kind: "record-hang", pid: phase.pid, why: late }, ...result.effects] };
}

/** Do restarts still help? If not, the last petting was the last one. */
function withVerdict(settings: WatchdogSettings, result: WatchdogStep, why: string, now: number): WatchdogStep {
  const { limits } = settings;
  const { state, effects } = result;
  const isHelpless = state.failures >= limits.helplessFailures && now - state.firstFailureAt >= limits.helplessMs;
  const relapses = state.hangs.filter((at) => now - at < limits.relapseMs).length;
  if (isHelpless)
    return condemn(settings, result, `${state.failures} starts of main in a row came to nothing, last: ${why}`, now);
  if (relapses > limits.relapsesMax)
    return condemn(settings, result, `main hung ${relapses} times in ${seconds(limits.relapseMs)}, last: ${why}`, now);
  return { state, effects };
}

function condemn(settings: WatchdogSettings, result: WatchdogStep, why: string, now: number): WatchdogStep {
  const { state, effects } = result;
  // Without a device the only help is to go on trying.
  if (settings.deviceTimeoutMs === undefined || state.doom !== undefined) return { state, effects };
  // A person looks at it, and the end of that time is near.
  if (state.snoozedUntil !== undefined) return { state, effects };
  return {
    state: { ...state, doom: { since: now, isOverdue: false } },
    effects: [
      { kind: "presume-reset", why },
      { kind: "log", text: `restarts do not help (${why}): petting ends, the hardware resets this box` },
      ...effects,
    ],
  };
}

function stop(settings: WatchdogSettings, state: WatchdogState, now: number): WatchdogStep {
  const { phase } = state;
  if (phase.kind === "stopping" || phase.kind === "stopped") return { state, effects: [] };
  const pid = phase.kind === "up" ? phase.pid : undefined;
  const stopping: Stopping = { kind: "stopping", pid, killAt: pid === undefined ? now : now + settings.limits.stopMs };
  const orders: WatchdogEffect[] = pid === undefined ? [{ kind: "empty-cage" }] : [{ kind: "terminate", pid }];
  return { state: { ...state, phase: stopping }, effects: [{ kind: "log", text: "stops" }, ...orders] };
}

/** A reset that was decided stays decided: closing without disarming leaves the hardware counting. */
function finish(state: WatchdogState, isDisarming: boolean): WatchdogStep {
  return { state: { ...state, phase: { kind: "stopped" } }, effects: [{ kind: "finish", isDisarming }] };
}

function tick(settings: WatchdogSettings, before: WatchdogState, now: number): WatchdogStep {
  const effects: WatchdogEffect[] = [];
  let state = forgiveOwnGap(settings, before, now, effects);
  state = endSnooze(state, now, effects);
  state = pet(settings, state, now, effects);
  state = admitOverdue(settings, state, now, effects);
  const { phase } = state;
  switch (phase.kind) {
    case "up": {
      if (state.snoozedUntil !== undefined) return { state, effects };
      const late = lateness(settings.limits, phase, now);
      if (late !== undefined) return append(effects, hung(settings, state, phase, late, now));
      return { state: { ...state, phase: warn(settings.limits, phase, now, effects) }, effects };
    }
    case "down":
      return append(effects, waitDown(settings, state, phase, now));
    case "stopping":
      // The hardware ends what SIGKILL cannot.
      if (now - phase.killAt >= settings.limits.unkillableMs) return append(effects, finish(state, false));
      if (now >= phase.killAt) effects.push({ kind: "empty-cage" });
      return { state, effects };
    case "stopped":
      return { state, effects };
  }
}

/** What we did not hear while we stood still ourselves is not main's fault: its time counts from now. */
function forgiveOwnGap(
  settings: WatchdogSettings,
  state: WatchdogState,
  now: number,
  effects: WatchdogEffect[],
): WatchdogState {
  const gapMs = now - state.tickedAt;
  const next = { ...state, tickedAt: now };
  if (gapMs <= settings.limits.ownGapMs) return next;
  effects.push({ kind: "log", text: `the supervisor itself stood still for ${seconds(gapMs)}` });
  return { ...next, phase: forgiven(next.phase, gapMs, now) };
}

/** All that lived before the gap lives now, as far as we know. */
function forgiven(phase: WatchdogState["phase"], gapMs: number, now: number): WatchdogState["phase"] {
  if (phase.kind !== "up") return phase;
  const aliveAt = Object.fromEntries(Object.keys(phase.aliveAt).map((client) => [client, now]));
  // Grown by the gap and not set to now: a start that was slow before stays a slow one.
  return {
    ...phase,
    ...{ startedAt: phase.startedAt + gapMs, phaseSince: phase.phaseSince + gapMs },
    ...{ progressAt: phase.progressAt + gapMs, aliveAt },
    firstHeardAt: phase.firstHeardAt === undefined ? undefined : Math.min(now, phase.firstHeardAt + gapMs),
  };
}

/** What hung while a person looked is given its whole time once more. */
function endSnooze(state: WatchdogState, now: number, effects: WatchdogEffect[]): WatchdogState {
  const { phase, snoozedUntil } = state;
  if (snoozedUntil === undefined || now < snoozedUntil) return state;
  effects.push({ kind: "log", text: "the snooze is over: hangs count again" });
  const fresh: WatchdogState["phase"] =
    phase.kind === "up" ? ({ ...forgiven(phase, 0, now), phaseSince: now, progressAt: now } as Up) : phase;
  return { ...state, snoozedUntil: undefined, failures: 0, hangs: [], phase: fresh };
}

function pet(settings: WatchdogSettings, state: WatchdogState, now: number, effects: WatchdogEffect[]): WatchdogState {
  const { deviceTimeoutMs } = settings;
  if (deviceTimeoutMs === undefined || state.doom !== undefined || state.phase.kind === "stopped") return state;
  const withinMs = settings.petWithinMs ?? deviceTimeoutMs;
  const gapMs = state.pettedAt === undefined ? undefined : now - state.pettedAt;
  if (gapMs !== undefined && gapMs < withinMs / PETS_PER_TIMEOUT) return state;
  effects.push({ kind: "pet" });
  if (gapMs !== undefined && gapMs > withinMs * PET_GAP_WARNING)
    effects.push({ kind: "log", text: `petted after ${seconds(gapMs)} of ${seconds(withinMs)}` });
  return { ...state, pettedAt: now };
}

/** The reset did not come: the device is broken or a test's. Main is better than nothing. */
function admitOverdue(
  settings: WatchdogSettings,
  state: WatchdogState,
  now: number,
  effects: WatchdogEffect[],
): WatchdogState {
  const { doom } = state;
  if (doom === undefined || doom.isOverdue || settings.deviceTimeoutMs === undefined) return state;
  if (now - doom.since < OVERDUE_TIMEOUTS * settings.deviceTimeoutMs + OVERDUE_MARGIN_MS) return state;
  effects.push({
    kind: "log",
    text: "the watchdog device did not reset this box: it does not work. Main is tried again",
  });
  return { ...state, doom: { ...doom, isOverdue: true } };
}

function waitDown(settings: WatchdogSettings, state: WatchdogState, phase: Down, now: number): WatchdogStep {
  if (!phase.isEmpty) {
    const orders: WatchdogStep = { state, effects: [{ kind: "empty-cage" }] };
    if (now - phase.since < settings.limits.unkillableMs) return orders;
    return condemn(settings, orders, "processes of main cannot be killed", now);
  }
  // A main that is about to be reset must not become leader once more.
  if (now < phase.startAt || (state.doom !== undefined && !state.doom.isOverdue)) return { state, effects: [] };
  return { state, effects: [{ kind: "start" }] };
}

/** What is late, in words; undefined when all is well. */
function lateness(limits: WatchdogLimits, phase: Up, now: number): string | undefined {
  if (phase.firstHeardAt === undefined) {
    const waitedMs = now - phase.startedAt;
    return waitedMs > limits.handshakeMs ? `no check-in ${seconds(waitedMs)} after its start` : undefined;
  }
  const late = CLIENTS.filter((client) => (clientAge(phase, client, now) ?? 0) > clientLimit(limits, phase, client));
  if (late.length > 0)
    return late
      .map((client) => `${CLIENT_WORDS[client]} is silent for ${seconds(clientAge(phase, client, now) ?? 0)}`)
      .join(", ");
  if (phase.mainPhase !== "starting") return undefined;
  const standsMs = now - phase.progressAt;
  if (standsMs > limits.handshakeMs) return `its start has not gone on for ${seconds(standsMs)}`;
  const tookMs = now - phase.phaseSince;
  return tookMs > limits.startMs ? `its start is not over after ${seconds(tookMs)}` : undefined;
}

/**
 * How long a client has been silent; undefined when nothing is expected of it yet. The work thread is expected from the
 * first check-in on, the others from their first word, and all of them once all parts run. What a client was allowed
 * during the start is not held against it when the start is over: its time counts anew from there.
 */
export function clientAge(phase: Up, client: Client, now: number): number | undefined {
  const { mainPhase, phaseSince, firstHeardAt } = phase;
  const first = client === "work" ? firstHeardAt : mainPhase === "started" ? phaseSince : undefined;
  const heardAt = phase.aliveAt[client] ?? first;
  if (heardAt === undefined) return undefined;
  return now - (mainPhase === "starting" ? heardAt : Math.max(heardAt, phaseSince));
}

/**
 * How long a client may be silent. During a start each may stand as long as a step of it may: on a slow machine the parts
 * are made in one go, by the work thread, through which the acknowledgements of the others come too.
 */
export function clientLimit(limits: WatchdogLimits, { mainPhase }: Up, client: Client): number {
  return mainPhase === "starting" ? Math.max(limits.handshakeMs, limits.clientMs[client]) : limits.clientMs[client];
}

/** A line when a client's gap is more than three fifths of its time, and one when it is over. */
function warn(limits: WatchdogLimits, phase: Up, now: number, effects: WatchdogEffect[]): Up {
  const warned = CLIENTS.filter(
    (client) => (clientAge(phase, client, now) ?? 0) > clientLimit(limits, phase, client) * CLIENT_GAP_WARNING,
  );
  if (warned.length === phase.warned.length && warned.every((client) => phase.warned.includes(client))) return phase;
  for (const client of warned)
    if (!phase.warned.includes(client))
      effects.push({
        kind: "log",
        text: `${CLIENT_WORDS[client]} is silent for ${seconds(clientAge(phase, client, now) ?? 0)} of ${seconds(clientLimit(limits, phase, client))}`,
      });
  for (const client of phase.warned)
    if (!warned.includes(client)) effects.push({ kind: "log", text: `${CLIENT_WORDS[client]} is heard again` });
  return { ...phase, warned };
}

function snooze(settings: WatchdogSettings, state: WatchdogState, ms: number, by: string, now: number): WatchdogStep {
  if (state.doom !== undefined)
    return refuse(state, "the reset of this box is decided: nothing can be put off any more");
  if (state.phase.kind === "stopping" || state.phase.kind === "stopped") return refuse(state, "the supervisor stops");
  const takenMs = Math.min(ms, settings.limits.snoozeMs);
  const text = `hangs of the box's program are borne for ${seconds(takenMs)}; a hang of the kernel is a reset as ever`;
  return {
    state: { ...state, snoozedUntil: now + takenMs },
    effects: [
      { kind: "log", text: `snooze by ${by}: ${text}` },
      { kind: "record", action: "watchdog snooze", detail: `${seconds(takenMs)} by ${by}` },
      { kind: "answer", isDone: true, text },
    ],
  };
}

/** A bite on purpose: as if the supervisor hung, with the reason written before. */
function stopPetting(settings: WatchdogSettings, state: WatchdogState, by: string, now: number): WatchdogStep {
  const { deviceTimeoutMs } = settings;
  if (deviceTimeoutMs === undefined) return refuse(state, "there is no watchdog device: nothing would reset this box");
  if (state.doom !== undefined) return refuse(state, "petting has ended already");
  const text = `petting has ended: this box is reset within ${seconds(deviceTimeoutMs)}`;
  return {
    state: { ...state, doom: { since: now, isOverdue: false } },
    effects: [
      { kind: "presume-reset", why: `a test of the watchdog by ${by}` },
      { kind: "log", text: `test by ${by}: ${text}` },
      { kind: "record", action: "watchdog test", detail: `--stop-petting by ${by}` },
      { kind: "answer", isDone: true, text },
    ],
  };
}

function freeze(state: WatchdogState, client: Freezable, by: string): WatchdogStep {
  if (state.phase.kind !== "up" || state.phase.firstHeardAt === undefined)
    return refuse(state, "the box's program does not run");
  const text = `${CLIENT_WORDS[client]} is told to hang`;
  return {
    state,
    effects: [
      { kind: "log", text: `test by ${by}: ${text}` },
      { kind: "record", action: "watchdog test", detail: `--freeze ${client} by ${by}` },
      { kind: "freeze", client },
      { kind: "answer", isDone: true, text },
    ],
  };
}

function resume(state: WatchdogState, by: string, now: number): WatchdogStep {
  const { phase, rest } = state;
  if (rest === undefined || phase.kind !== "down")
    return refuse(state, "this box does not rest: its program is not held back");
  const text = "the box's program is started again";
  return {
    state: { ...state, rest: undefined, phase: { ...phase, startAt: now } },
    effects: [
      { kind: "log", text: `by ${by}: ${text}` },
      { kind: "record", action: "watchdog resume", detail: `by ${by}` },
      { kind: "answer", isDone: true, text },
    ],
  };
}

function refuse(state: WatchdogState, why: string): WatchdogStep {
  return { state, effects: [{ kind: "answer", isDone: false, text: why }] };
}

function append(effects: readonly WatchdogEffect[], result: WatchdogStep): WatchdogStep {
  return { state: result.state, effects: [...effects, ...result.effects] };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
