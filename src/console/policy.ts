/** Wrong passwords on this box since the last right one, on all lines together. */
export interface Attempts {
  readonly wrong: number;
  /** When the last one was, monotonic ms of this boot. */
  readonly lastAt: number;
}

export const NO_ATTEMPTS: Attempts = { wrong: 0, lastAt: 0 };

/** Two slips of the finger cost nothing … */
const FREE_ATTEMPTS = 3;
const FIRST_WAIT_MS = 2000;
/** … and nobody is locked out for good: five minutes make 288 attempts a day, where a person in need waits for one. */
const WAIT_MS_MAX = 300_000;

/** How long until the next password is looked at, ms: 0 for the first three, then 2, 4, 8 … 300 s from the last one. */
export function waitBefore(attempts: Attempts, now: number): number {
  if (attempts.wrong < FREE_ATTEMPTS) return 0;
  const wait = Math.min(WAIT_MS_MAX, FIRST_WAIT_MS * 2 ** Math.min(attempts.wrong - FREE_ATTEMPTS, 30));
  // A count that was kept over a restart of the machine: its clock began anew.
  const since = attempts.lastAt > now ? 0 : now - attempts.lastAt;
  return Math.max(0, wait - since);
}

/** Counted before it is looked at: a process that is killed in the middle has not spared the attempt. */
export function afterAttempt(attempts: Attempts, now: number): Attempts {
  return { wrong: attempts.wrong + 1, lastAt: now };
}
