import { CLIENTS, type Client, FREEZABLE, type Freezable, MAIN_PHASES, type MainPhase } from "./clients.ts";
import type { CheckInReport } from "./machine.ts";

/** A check-in is some 150 bytes; a peer that sends more without an end of line is not main. */
export const CHECK_IN_BYTES_MAX = 1024;

/** What a person asks of the supervisor. */
export type Request =
  | { readonly kind: "status" }
  | { readonly kind: "snooze"; readonly seconds: number; readonly by: string }
  | { readonly kind: "stop-petting"; readonly by: string }
  | { readonly kind: "freeze"; readonly client: Freezable; readonly by: string }
  /** Main is started although the box rests after too many resets. */
  | { readonly kind: "resume"; readonly by: string };

/** The supervisor's answer to a check-in: to be returned by each client. */
export interface Acknowledgement {
  readonly token: number;
  /** A test: this client is to hang. */
  readonly freeze?: Freezable;
}

/** Main's check-in from one JSON line; undefined for anything else, which is not an error: it simply is no check-in. */
export function parseCheckIn(line: string): CheckInReport | undefined {
  const value = objectOf(line);
  if (value === undefined) return undefined;
  const { client, pid, phase, progress, returned } = value;
  if (client !== "main" || !isPhase(phase) || !isCount(progress)) return undefined;
  if (!isCount(pid) || pid <= 1) return undefined;
  if (typeof returned !== "object" || returned === null) return undefined;
  const tokens: Partial<Record<Client, number>> = {};
  for (const [name, token] of Object.entries(returned)) {
    const known = CLIENTS.find((one) => one === name);
    if (known === undefined || !isCount(token)) return undefined;
    tokens[known] = token;
  }
  return { pid, phase, progress, tokens };
}

export function formatCheckIn(report: CheckInReport): string {
  const { pid, phase, progress, tokens } = report;
  return `${JSON.stringify({ client: "main", pid, phase, progress, returned: tokens })}\n`;
}

/** The answer to a check-in; undefined for what is none. */
export function parseAcknowledgement(line: string): Acknowledgement | undefined {
  const value = objectOf(line);
  if (value === undefined || !isCount(value["token"])) return undefined;
  const freeze = FREEZABLE.find((one) => one === value["freeze"]);
  return { token: value["token"], ...(freeze === undefined ? {} : { freeze }) };
}

/** A person's request from one JSON line; undefined for anything else. */
export function parseRequest(line: string): Request | undefined {
  const value = objectOf(line);
  if (value === undefined) return undefined;
  const { ask, seconds, client } = value;
  const by = typeof value["by"] === "string" ? value["by"].replace(/[^\x20-\x7e]/g, "?").slice(0, 64) : "somebody";
  switch (ask) {
    case "status":
      return { kind: "status" };
    case "snooze":
      return isCount(seconds) && seconds > 0 ? { kind: "snooze", seconds, by } : undefined;
    case "stop-petting":
    case "resume":
      return { kind: ask, by };
    case "freeze": {
      const known = FREEZABLE.find((one) => one === client);
      return known === undefined ? undefined : { kind: "freeze", client: known, by };
    }
    default:
      return undefined;
  }
}

function objectOf(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function isPhase(value: unknown): value is MainPhase {
  return MAIN_PHASES.some((phase) => phase === value);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
