/** What watchers' events mean. Pure: the same file gives the same verdict. */
import type { GuestRecord } from "../guest/record.ts";
import type { WatchEvent } from "./event-file.ts";

export interface Gap {
  readonly ms: number;
  /** The last answer before the gap; undefined if there was none. */
  readonly fromMs: number | undefined;
  /** The first answer after it; undefined if it lasted to the end of the window. */
  readonly untilMs: number | undefined;
}

/**
 * The longest time between two answers, of those that reach into the window `fromMs` … `untilMs`.
 * Silence at the window's end counts up to that end.
 */
export function longestGap(answersMs: readonly number[], fromMs: number, untilMs: number): Gap {
  const before = answersMs.findLast((at) => at <= fromMs);
  const inside = answersMs.filter((at) => at > fromMs && at <= untilMs);
  const after = answersMs.find((at) => at > untilMs);
  const points = [before, ...inside, after];
  let longest: Gap = { ms: 0, fromMs: before, untilMs: before };
  for (let i = 1; i < points.length; i++) {
    const start = points[i - 1];
    const end = points[i];
    const ms = (end ?? untilMs) - (start ?? fromMs);
    if (ms > longest.ms) longest = { ms, fromMs: start, untilMs: end };
  }
  return longest;
}

/** Times at which `target` answered, in order. */
export function answerTimes(events: readonly WatchEvent[], target: string): readonly number[] {
  const times = events.flatMap((event) => (event.kind === "answer" && event.target === target ? [event.atMs] : []));
  return times.sort((a, b) => a - b);
}

/** When `target` first answered an echo after `afterMs`; undefined if it has not yet. */
export function firstAnswer(events: readonly WatchEvent[], target: string, afterMs: number): number | undefined {
  return answerTimes(events, target).find((at) => at > afterMs);
}

/**
 * When a boot that was not seen before `afterMs` first wrote to the guest's disk; undefined if none has yet. What the
 * guest's earlier boot still writes does not count: it may go on where only its network was cut.
 */
export function firstRecordOfNewBoot(
  events: readonly WatchEvent[],
  target: string,
  afterMs: number,
): number | undefined {
  const records = events.flatMap((event) => (event.kind === "record" && event.target === target ? [event] : []));
  const known = new Set(records.filter((record) => record.atMs <= afterMs).map((record) => record.bootId));
  return records.find((record) => record.atMs > afterMs && !known.has(record.bootId))?.atMs;
}

/** A watched guest's records, for doubleRun. */
export function recordsOf(events: readonly WatchEvent[], target: string): readonly GuestRecord[] {
  return events.flatMap((event) => (event.kind === "record" && event.target === target ? [event] : []));
}

export interface Holding {
  readonly mac: string;
  /** Its first and last answer of an unbroken series. */
  readonly fromMs: number;
  readonly untilMs: number;
}

export interface HolderVerdict {
  /** The most MACs that held the VIP at one instant. */
  readonly max: number;
  /** Instants with more than one holder; at most 100 of them. */
  readonly overlaps: readonly { readonly atMs: number; readonly macs: readonly string[] }[];
  /** Who held when. */
  readonly holdings: readonly Holding[];
}

/** A holder answers each round of 5 ms. Who is silent for longer than this has lost it, and may get it back later. */
const HOLDING_PAUSE_MS_MAX = 100;
/** A kernel answers a question in microseconds; answers to one round that come within this are of one instant. */
const INSTANT_MS = 1;
const OVERLAPS_MAX = 100;

/**
 * Two stations held the VIP at one instant if one answered between two answers of the other's unbroken series, or if
 * both answered the same round at once.
 */
export function judgeHolders(events: readonly WatchEvent[]): HolderVerdict {
  const answers = events.filter((event) => event.kind === "holder").sort((a, b) => a.atMs - b.atMs);
  const holdings = holdingsOf(answers);
  const overlaps = new Map<number, readonly string[]>();
  let max = Math.min(1, answers.length);
  const note = (atMs: number, macs: ReadonlySet<string>) => {
    max = Math.max(max, macs.size);
    if (macs.size > 1 && overlaps.size < OVERLAPS_MAX) overlaps.set(atMs, [...macs].sort());
  };
  // A box that stutters still gives few holdings: this is not quadratic in the number of answers.
  for (const { atMs, mac } of answers) {
    const others = holdings.filter((holding) => holding.fromMs <= atMs && atMs <= holding.untilMs);
    note(atMs, new Set([mac, ...others.map((holding) => holding.mac)]));
  }
  const atOnce = answers.filter((answer) => answer.atMs - answer.askedAtMs <= INSTANT_MS);
  for (const round of Map.groupBy(atOnce, (answer) => answer.round).values()) {
    note(round[0]?.atMs ?? 0, new Set(round.map((answer) => answer.mac)));
  }
  return { max, overlaps: [...overlaps].map(([atMs, macs]) => ({ atMs, macs })), holdings };
}

function holdingsOf(answers: readonly { readonly atMs: number; readonly mac: string }[]): readonly Holding[] {
  return [...Map.groupBy(answers, (answer) => answer.mac)].flatMap(([mac, own]) => {
    const holdings: Holding[] = [];
    for (const { atMs } of own) {
      const current = holdings.at(-1);
      if (current !== undefined && atMs - current.untilMs <= HOLDING_PAUSE_MS_MAX) {
        holdings[holdings.length - 1] = { ...current, untilMs: atMs };
      } else holdings.push({ mac, fromMs: atMs, untilMs: atMs });
    }
    return holdings;
  });
}
