import type { WatchEvent } from "../support/rack/watch/event-file.ts";

/** Sequence numbers of echoes are 16 bits wide. */
const SEQUENCES = 0x10000;

/**
 * The longest outage in the window, counted in echoes that were not answered: `intervalMs` each. 0 when every echo
 * between the first and the last answer was answered, also when the prober itself was late.
 */
export function longestLoss(
  events: readonly WatchEvent[],
  target: string,
  window: { readonly fromMs: number; readonly untilMs: number; readonly intervalMs: number },
): number {
  const { fromMs, untilMs, intervalMs } = window;
  const answers = events
    .filter(
      (event) => event.kind === "answer" && event.target === target && fromMs <= event.atMs && event.atMs <= untilMs,
    )
    .map((event) => (event.kind === "answer" ? event.sequence : 0));
  let longest = 0;
  for (let at = 1; at < answers.length; at++) {
    // An answer may overtake another one on its way: a step back of a few is no loss.
    const step = ((answers[at] ?? 0) - (answers[at - 1] ?? 0) + SEQUENCES) % SEQUENCES;
    if (step < SEQUENCES / 2) longest = Math.max(longest, step - 1);
  }
  return longest * intervalMs;
}
