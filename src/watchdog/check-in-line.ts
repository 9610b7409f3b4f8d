import type { CheckInReport } from "./machine.ts";

/** A check-in is some 80 bytes; a peer that sends more without an end of line is not main. */
export const CHECK_IN_BYTES_MAX = 1024;

/** Main's check-in from one JSON line; undefined for anything else, which is not an error: it simply is no check-in. */
export function parseCheckIn(line: string): CheckInReport | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { client, pid, coreAgeMs, isStarted } = value as Record<string, unknown>;
  if (client !== "main" || typeof isStarted !== "boolean") return undefined;
  if (typeof pid !== "number" || !Number.isSafeInteger(pid) || pid <= 1) return undefined;
  if (typeof coreAgeMs !== "number" || !(coreAgeMs >= 0)) return undefined;
  return { pid, coreAgeMs, isStarted };
}
