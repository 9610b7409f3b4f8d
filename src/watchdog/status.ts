import { CLIENTS, type Client } from "./clients.ts";
import { clientAge, clientLimit, type WatchdogSettings, type WatchdogState } from "./machine.ts";

/** What `ringfence watchdog status` shows; times in ms. */
export interface WatchdogStatus {
  readonly device: { readonly name: string; readonly timeoutMs: number; readonly pettedAgoMs: number | null } | null;
  readonly main: {
    readonly state: string;
    readonly pid: number | null;
    readonly sinceMs: number;
    readonly clients: readonly { readonly client: Client; readonly ageMs: number | null; readonly limitMs: number }[];
  };
  /** Ends and hangs since the last good start. */
  readonly failures: number;
  readonly hangs: number;
  readonly snoozeMs: number;
  /** Since when petting has ended, ms; null while it goes on. */
  readonly doomMs: number | null;
  /** Why main is held back, and for how long still (null: until a person says so). */
  readonly rest: { readonly why: string; readonly leftMs: number | null } | null;
  readonly lastEnd: string;
}

/** The machine's state for people. */
export function statusOf(
  settings: WatchdogSettings,
  state: WatchdogState,
  words: { readonly deviceName: string; readonly lastEnd: string },
  now: number,
): WatchdogStatus {
  const { phase, rest } = state;
  const up = phase.kind === "up" ? phase : undefined;
  const since = up?.startedAt ?? (phase.kind === "down" ? phase.since : now);
  return {
    device:
      settings.deviceTimeoutMs === undefined
        ? null
        : {
            name: words.deviceName,
            timeoutMs: settings.deviceTimeoutMs,
            pettedAgoMs: state.pettedAt === undefined ? null : now - state.pettedAt,
          },
    main: {
      state: up === undefined ? phase.kind : up.firstHeardAt === undefined ? "silent" : up.mainPhase,
      pid: up?.pid ?? null,
      sinceMs: now - since,
      clients: CLIENTS.map((client) => ({
        client,
        ageMs: up === undefined ? null : (clientAge(up, client, now) ?? null),
        limitMs: up === undefined ? settings.limits.clientMs[client] : clientLimit(settings.limits, up, client),
      })),
    },
    failures: state.failures,
    hangs: state.hangs.filter((at) => now - at < settings.limits.relapseMs).length,
    snoozeMs: state.snoozedUntil === undefined ? 0 : Math.max(0, state.snoozedUntil - now),
    doomMs: state.doom === undefined ? null : now - state.doom.since,
    rest:
      rest === undefined
        ? null
        : { why: rest.why, leftMs: Number.isFinite(rest.until) ? Math.max(0, rest.until - now) : null },
    lastEnd: words.lastEnd,
  };
}
