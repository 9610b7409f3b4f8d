/** What of RAFT says how long the log is, with OpenNebula's names, meanings and defaults. */
export interface PurgeSettings {
  /** LOG_RETENTION: applied entries that are kept for boxes that were away. */
  readonly retention: number;
  /** LIMIT_PURGE: entries that are forgotten at once, at most. */
  readonly limit: number;
  /** LOG_PURGE_TIMEOUT, which is in seconds there. */
  readonly everyMs: number;
}

const DEFAULT: PurgeSettings = { retention: 250_000, limit: 100_000, everyMs: 600_000 };
/** A day. */
const EVERY_SECONDS_MAX = 86_400;
const COUNT = /^\d{1,9}$/;

export function purgeOf(
  items: Readonly<Record<string, string>>,
): PurgeSettings | { readonly problem: string; readonly fallback: PurgeSettings } {
  const wrong = ["LOG_RETENTION", "LIMIT_PURGE", "LOG_PURGE_TIMEOUT"].find(
    (name) => items[name] !== undefined && !COUNT.test(items[name]),
  );
  if (wrong !== undefined) return { problem: `${wrong} = "${items[wrong]}" is no count`, fallback: DEFAULT };
  const seconds = Number(items["LOG_PURGE_TIMEOUT"] ?? DEFAULT.everyMs / 1000);
  const limit = Number(items["LIMIT_PURGE"] ?? DEFAULT.limit);
  if (seconds < 1 || seconds > EVERY_SECONDS_MAX)
    return { problem: `LOG_PURGE_TIMEOUT = "${seconds}" is not 1 … ${EVERY_SECONDS_MAX} seconds`, fallback: DEFAULT };
  if (limit < 1) return { problem: 'LIMIT_PURGE = "0": the log would grow for ever', fallback: DEFAULT };
  return { retention: Number(items["LOG_RETENTION"] ?? DEFAULT.retention), limit, everyMs: seconds * 1000 };
}
