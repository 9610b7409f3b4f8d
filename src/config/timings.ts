/** What raft, lease and VIP run on, ms. Cluster-wide. */
export interface RaftTimings {
  readonly profile: "default" | "fast" | "custom";
  /** Least and largest election time-out. */
  readonly electionTimeoutMs: readonly [number, number];
  readonly heartbeatMs: number;
  /** E: for how long a voter that heard the leader votes for nobody. */
  readonly promiseMs: number;
  readonly retryMs: readonly [number, number];
  /** How long a call to another box may take. */
  readonly callTimeoutMs: number;
}

/** vip.md section 4 and consensus.md section 6. */
const DEFAULT: RaftTimings = {
  profile: "default",
  electionTimeoutMs: [650, 1000],
  heartbeatMs: 100,
  promiseMs: 600,
  retryMs: [20, 150],
  callTimeoutMs: 5000,
};
const FAST: RaftTimings = {
  profile: "fast",
  electionTimeoutMs: [165, 300],
  heartbeatMs: 20,
  promiseMs: 150,
  retryMs: [5, 40],
  callTimeoutMs: 5000,
};

/** ρ, δ: the same numbers as cluster/lease.ts, whose test compares them. */
export const CLOCK_RATE_ERROR = 0.01;
export const LEASE_MARGIN_MS = 25;
/** A voter must outwait the promise by this before it campaigns, ms. */
const ELECTION_AFTER_PROMISE_MS = { slow: 50, fast: 15 };
/** Seen on a loaded 2-core machine: timers so late, fdatasync so slow, ms. */
const SEEN_TIMER_LATE_MS = 13;
const SEEN_SYNC_MS = 34;

/** One inequality of the proof. */
export interface TimingFact {
  readonly text: string;
  readonly holds: boolean;
}

/**
 * The timings of a RAFT section: a profile, or OpenNebula's own numbers (BROADCAST_TIMEOUT_MS is the heartbeat,
 * ELECTION_TIMEOUT_MS the least election time-out). Explicit numbers win over the profile.
 */
export function timingsOf(
  items: Readonly<Record<string, string>>,
): RaftTimings | { readonly problem: string; readonly fallback: RaftTimings } {
  const profile = (items["PROFILE"] ?? "default").toLowerCase();
  if (profile !== "default" && profile !== "fast")
    return { problem: `PROFILE = "${items["PROFILE"]}" is not default or fast`, fallback: DEFAULT };
  const base = profile === "fast" ? FAST : DEFAULT;
  const bad = ["ELECTION_TIMEOUT_MS", "BROADCAST_TIMEOUT_MS", "PROMISE_MS", "XMLRPC_TIMEOUT_MS"].find(
    (name) => items[name] !== undefined && !/^[1-9]\d{0,5}$/.test(items[name]),
  );
  if (bad !== undefined)
    return { problem: `${bad} = "${items[bad]}" is not a number of ms in 1 … 999999`, fallback: base };
  const number = (name: string): number | undefined => (items[name] === undefined ? undefined : Number(items[name]));
  const heartbeat = number("BROADCAST_TIMEOUT_MS");
  const election = number("ELECTION_TIMEOUT_MS");
  const promise = number("PROMISE_MS");
  const callTimeoutMs = number("XMLRPC_TIMEOUT_MS") ?? base.callTimeoutMs;
  if (heartbeat === undefined && election === undefined && promise === undefined) return { ...base, callTimeoutMs };
  const least = election ?? base.electionTimeoutMs[0];
  const margin = least < 400 ? ELECTION_AFTER_PROMISE_MS.fast : ELECTION_AFTER_PROMISE_MS.slow;
  const timings: RaftTimings = {
    profile: "custom",
    electionTimeoutMs: [least, Math.round((least * 1000) / 650)],
    heartbeatMs: heartbeat ?? base.heartbeatMs,
    promiseMs: promise ?? least - margin,
    retryMs: base.retryMs,
    callTimeoutMs,
  };
  const broken = timingProof(timings).find((fact) => !fact.holds);
  return broken === undefined ? timings : { problem: `this does not hold: ${broken.text}`, fallback: base };
}

/** Every inequality on which the lease and the elections rest, with the numbers put in. */
export function timingProof(timings: RaftTimings): readonly TimingFact[] {
  const [least, largest] = timings.electionTimeoutMs;
  const { heartbeatMs, promiseMs } = timings;
  const lease = promiseMs * (1 - CLOCK_RATE_ERROR) - LEASE_MARGIN_MS;
  const margin = least < 400 ? ELECTION_AFTER_PROMISE_MS.fast : ELECTION_AFTER_PROMISE_MS.slow;
  const fact = (text: string, holds: boolean): TimingFact => ({ text, holds });
  return [
    fact(
      `lease D = E·(1−ρ) − δ = ${promiseMs}·${1 - CLOCK_RATE_ERROR} − ${LEASE_MARGIN_MS} = ${lease.toFixed(1)} ms < E = ${promiseMs} ms on any voter's clock: the holder stops before a voter may vote`,
      lease > 0 && lease < promiseMs * (1 - CLOCK_RATE_ERROR),
    ),
    fact(
      `least election time-out ${least} ms ≥ E + ${margin} = ${promiseMs + margin} ms: nobody campaigns within a promise`,
      least >= promiseMs + margin,
    ),
    fact(`largest election time-out ${largest} ms > least ${least} ms: elections are not in step`, largest > least),
    fact(
      `3 heartbeats = ${3 * heartbeatMs} ms ≤ D = ${lease.toFixed(1)} ms: two lost heartbeats in a row cost no lease`,
      3 * heartbeatMs <= lease,
    ),
    fact(
      `heartbeat + timers ${SEEN_TIMER_LATE_MS} ms + sync ${SEEN_SYNC_MS} ms late (both as measured under load) = ${heartbeatMs + SEEN_TIMER_LATE_MS + SEEN_SYNC_MS} ms < D = ${lease.toFixed(1)} ms`,
      heartbeatMs + SEEN_TIMER_LATE_MS + SEEN_SYNC_MS < lease,
    ),
  ];
}

/** From the first time-out to the first write: pre-vote, vote, no-op and three syncs, as measured on a loaded machine, ms. */
const SEEN_ELECTION_MS = 15;

/**
 * What a client sees when the leader dies, ms: no writes and no VIP. `typical` is the mean of a model of three boxes (the
 * earlier of two followers' time-outs, half a heartbeat old), `largest` the last time-out; each lost election adds a retry.
 */
export function expectedGap({ electionTimeoutMs, heartbeatMs }: ClusterTimings): {
  readonly typicalMs: number;
  readonly largestMs: number;
} {
  const [least, largest] = electionTimeoutMs;
  const typicalMs = least + (largest - least) / 3 - heartbeatMs / 2 + SEEN_ELECTION_MS;
  return { typicalMs: Math.round(typicalMs), largestMs: largest + SEEN_ELECTION_MS };
}

/** Below this E the finer ticks and the shorter freshness of the fast profile apply, ms: between the two profiles. */
const FAST_BELOW_MS = 400;

/** Whether boxes tick as the fast profile does: by what is in force, not by the profile's name. */
export function isFast({ promiseMs }: Pick<RaftTimings, "promiseMs">): boolean {
  return promiseMs < FAST_BELOW_MS;
}

/** The default's gap has nothing to give away; with slower timings fewer ticks are less of what an idle box does. */
const TICK_MS = { fast: 2, least: 5, most: 20 };
/** Ticks in E, as the default profile has them. */
const TICKS_IN_E = 120;

/** How often raft, lease and VIP look at the clock, ms: below E/2 by far, so that a late tick is seen as a pause. */
export function tickMs(timings: Pick<RaftTimings, "promiseMs">): number {
  if (isFast(timings)) return TICK_MS.fast;
  return Math.min(TICK_MS.most, Math.max(TICK_MS.least, Math.floor(timings.promiseMs / TICKS_IN_E)));
}

/** vip.md section 2, as shares of E beyond the profiles: who chose slow timings chose to wait for all of them. */
const API_FRESH_MS = { fast: 300, least: 1000 };
const API_DEAD_LEAST_MS = 2000;
/** How often the API is asked within its freshness. */
const API_PROBES = 4;

/** When a box counts as one whose API answers, ms. */
export interface ApiLimits {
  /** The API is asked this often. */
  readonly apiProbeMs: number;
  /** A token is activated only if the API answered within this. */
  readonly apiFreshMs: number;
  /** A leader whose API was silent for this asks for a transfer. */
  readonly apiDeadMs: number;
}

/** The profiles' limits; with an E of more than a second, as long as E, and twice as long. */
export function apiLimits(timings: Pick<RaftTimings, "promiseMs">): ApiLimits {
  const apiFreshMs = isFast(timings) ? API_FRESH_MS.fast : Math.max(API_FRESH_MS.least, timings.promiseMs);
  return { apiProbeMs: apiFreshMs / API_PROBES, apiFreshMs, apiDeadMs: Math.max(API_DEAD_LEAST_MS, 2 * apiFreshMs) };
}

/** What of the timings is the cluster's: all but what a call of one box may take. */
export type ClusterTimings = Omit<RaftTimings, "callTimeoutMs">;

/** One text for equal timings: what boxes announce, and what the entry that puts them in force carries. */
export function timingsText({ profile, electionTimeoutMs, heartbeatMs, promiseMs, retryMs }: ClusterTimings): string {
  return JSON.stringify({ profile, electionTimeoutMs, heartbeatMs, promiseMs, retryMs });
}

/** Inverse of {@link timingsText}; undefined for a text that this build does not read, or whose proof does not hold. */
export function timingsFromText(text: string): ClusterTimings | undefined {
  let timings: RaftTimings;
  try {
    timings = { ...(JSON.parse(text) as ClusterTimings), callTimeoutMs: DEFAULT.callTimeoutMs };
    const { electionTimeoutMs, heartbeatMs, promiseMs, retryMs } = timings;
    const numbers = [...electionTimeoutMs, heartbeatMs, promiseMs, ...retryMs];
    if (numbers.length !== 6 || !numbers.every((number) => Number.isSafeInteger(number) && number > 0))
      return undefined;
    if (timingsText(timings) !== text || retryMs[1] < retryMs[0]) return undefined;
  } catch {
    return undefined;
  }
  return timingProof(timings).every((fact) => fact.holds) ? timings : undefined;
}

/** For people. */
export function describeTimings({ profile, electionTimeoutMs, heartbeatMs, promiseMs }: ClusterTimings): string {
  const [least, largest] = electionTimeoutMs;
  return `${profile} (heartbeat ${heartbeatMs} ms, E ${promiseMs} ms, election ${least}–${largest} ms)`;
}
