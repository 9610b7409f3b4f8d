/**
 * Why the box or the supervisor ended last. A reset by the hardware leaves no word, so the word is written *before* it can
 * happen ("presumed-watchdog") and overwritten by a controlled stop.
 */
export interface ResetReason {
  readonly reason: "presumed-watchdog" | "controlled-stop";
  /** Names the boot that wrote this. */
  readonly bootId: string;
  /** ISO wall time, for people. */
  readonly at: string;
  /** The decision, or the last check-ins; one line. */
  readonly detail: string;
}

/** Reads what {@link formatResetReason} wrote; undefined for a torn or foreign text. */
export function parseResetReason(text: string): ResetReason | undefined {
  try {
    const value = JSON.parse(text) as Record<string, unknown> | null;
    const { reason, bootId, at, detail } = value ?? {};
    if (reason !== "presumed-watchdog" && reason !== "controlled-stop") return undefined;
    if (typeof bootId !== "string" || typeof at !== "string" || typeof detail !== "string") return undefined;
    return { reason, bootId, at, detail };
  } catch {
    return undefined;
  }
}

export function formatResetReason(reason: ResetReason): string {
  return `${JSON.stringify(reason)}\n`;
}

/**
 * One line for people. `isCardReset` is the device's own word (WDIOF_CARDRESET), undefined when it has none: iTCO says
 * no after a reset of its own, so only a yes counts.
 */
export function describeLastEnd(
  last: ResetReason | undefined,
  bootId: string,
  isCardReset: boolean | undefined,
): string {
  if (last === undefined)
    return isCardReset === true ? "reset by the watchdog; no record of why" : "no record: first start, or a lost disk";
  const since = `${last.at}${last.detail === "" ? "" : `: ${last.detail}`}`;
  if (last.bootId === bootId)
    return last.reason === "controlled-stop"
      ? `controlled stop of the supervisor in this boot (${since})`
      : `the supervisor ended without a word and was started again in this boot (${since})`;
  if (isCardReset === true) return `reset by the watchdog, says the device (${since})`;
  if (last.reason === "controlled-stop") return `controlled stop (${since})`;
  return `presumed watchdog, or the power failed (${since})`;
}
