/**
 * The decision to pet, and to start main again: pure. The hardware resets the box when it is not petted within its
 * time-out, so every hang of the kernel or of the supervisor is covered by doing nothing; this machine adds the hangs of
 * main. Times are monotonic ms.
 */
import { EXIT_NEEDS_PERSON, EXIT_RESTART } from "../base/exit-codes.ts";
import type { WatchdogLimits } from "./limits.ts";

export interface WatchdogSettings {
  readonly limits: WatchdogLimits;
  /** T_hw as the device has taken it, ms. Undefined: there is no device, nothing can reset the box. */
  readonly deviceTimeoutMs: number | undefined;
}

/** What main says of itself each half second. */
export interface CheckInReport {
  readonly pid: number;
  /** How long the core thread has been silent, ms; 0 while it is not started yet. */
  readonly coreAgeMs: number;
  /** All parts run. A box that waits for a join token is alive and not started. */
  readonly isStarted: boolean;
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
  /** The reset that follows will leave no word: write the reason down now. */
  | { readonly kind: "presume-reset"; readonly why: string }
  /** Main is gone: disarm the device if `isDisarming`, and end. */
  | { readonly kind: "finish"; readonly isDisarming: boolean }
  | { readonly kind: "log"; readonly text: string };

/** Main is not running; it is started at `startAt`, once the cage is empty. */
interface Down {
  readonly kind: "down";
  readonly since: number;
  readonly startAt: number;
  readonly isEmpty: boolean;
}

interface Up {
  readonly kind: "up";
  readonly pid: number;
  readonly startedAt: number;
  /** The last check-in; undefined before the first. */
  readonly heardAt: number | undefined;
  /** When the core thread lived for certain. */
  readonly coreAliveAt: number;
  readonly firstHeardAt: number | undefined;
  readonly isStarted: boolean;
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

export function initialState(now: number): WatchdogState {
  return {
    // What an earlier supervisor left behind goes first.
    phase: { kind: "down", since: now, startAt: now, isEmpty: false },
    pettedAt: undefined,
    tickedAt: now,
    failures: 0,
    firstFailureAt: now,
    hangs: [],
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
    case "ticked":
      return tick(settings, state, now);
  }
}

function startedAs(state: WatchdogState, pid: number, now: number): WatchdogStep {
  if (state.phase.kind !== "down") return { state, effects: [] };
  const phase: Up = {
    ...{ kind: "up", pid, startedAt: now, heardAt: undefined, coreAliveAt: now, firstHeardAt: undefined },
    isStarted: false,
  };
  return { state: { ...state, phase }, effects: [{ kind: "log", text: `main started, process ${pid}` }] };
}

function checkedIn(settings: WatchdogSettings, state: WatchdogState, report: CheckInReport, now: number): WatchdogStep {
  const { phase } = state;
  // A line of an earlier main that was still on its way says nothing about this one.
  if (phase.kind !== "up" || phase.pid !== report.pid) return { state, effects: [] };
  const effects: WatchdogEffect[] = [];
  const took = now - phase.startedAt;
  if (phase.heardAt === undefined) effects.push({ kind: "log", text: `main checks in after ${seconds(took)}` });
  if (report.isStarted && !phase.isStarted)
    effects.push({ kind: "log", text: `main runs with all parts after ${seconds(took)}` });
  const firstHeardAt = phase.firstHeardAt ?? now;
  const next: Up = {
    ...phase,
    heardAt: now,
    // Never back: after a pause of the whole box the first report is the age of the pause.
    coreAliveAt: Math.max(phase.coreAliveAt, now - report.coreAgeMs),
    firstHeardAt,
    isStarted: report.isStarted,
  };
  const isGood = now - firstHeardAt >= settings.limits.goodMs && lateness(settings.limits, next, now) === undefined;
  return { state: { ...state, phase: next, failures: isGood ? 0 : state.failures }, effects };
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
  if (event.code === EXIT_RESTART && phase.isStarted)
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
  state = pet(settings, state, now, effects);
  state = admitOverdue(settings, state, now, effects);
  const { phase } = state;
  switch (phase.kind) {
    case "up": {
      const late = lateness(settings.limits, phase, now);
      return append(effects, late === undefined ? { state, effects: [] } : hung(settings, state, phase, late, now));
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
  if (state.phase.kind !== "up") return next;
  const { phase } = state;
  const heardAt = phase.heardAt === undefined ? undefined : now;
  // Grown by the gap and not set to now: a start that was slow before stays a slow one.
  const startedAt = phase.startedAt + gapMs;
  return { ...next, phase: { ...phase, startedAt, heardAt, coreAliveAt: now } };
}

function pet(settings: WatchdogSettings, state: WatchdogState, now: number, effects: WatchdogEffect[]): WatchdogState {
  const { deviceTimeoutMs } = settings;
  if (deviceTimeoutMs === undefined || state.doom !== undefined || state.phase.kind === "stopped") return state;
  const gapMs = state.pettedAt === undefined ? undefined : now - state.pettedAt;
  if (gapMs !== undefined && gapMs < deviceTimeoutMs / PETS_PER_TIMEOUT) return state;
  effects.push({ kind: "pet" });
  if (gapMs !== undefined && gapMs > deviceTimeoutMs * PET_GAP_WARNING)
    effects.push({ kind: "log", text: `petted after ${seconds(gapMs)} of ${seconds(deviceTimeoutMs)}` });
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
  if (phase.heardAt === undefined) {
    const waitedMs = now - phase.startedAt;
    return waitedMs > limits.firstCheckInMs ? `no check-in ${seconds(waitedMs)} after its start` : undefined;
  }
  const silentMs = now - phase.heardAt;
  const coreMs = now - phase.coreAliveAt;
  if (Math.max(silentMs, coreMs) <= limits.lateMs) return undefined;
  return `no check-in for ${seconds(silentMs)}, its core thread is silent for ${seconds(coreMs)}`;
}

function append(effects: readonly WatchdogEffect[], result: WatchdogStep): WatchdogStep {
  return { state: result.state, effects: [...effects, ...result.effects] };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
