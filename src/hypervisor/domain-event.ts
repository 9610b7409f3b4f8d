/** What libvirt said of one domain. `detail` is libvirt's own word, for people. */
export interface DomainEvent {
  readonly kind:
    | "started"
    | "suspended"
    | "resumed"
    | "shutting-down"
    | "stopped"
    | "crashed"
    | "defined"
    | "undefined"
    | "pmsuspended"
    | "watchdog"
    | "io-error";
  readonly name: string;
  /** For `stopped`: why. */
  readonly cause: "shutdown" | "destroyed" | "crashed" | "migrated" | "saved" | "failed" | "other";
  readonly detail: string;
}

const LIFECYCLE: Readonly<Record<string, DomainEvent["kind"]>> = {
  Defined: "defined",
  Undefined: "undefined",
  Started: "started",
  Suspended: "suspended",
  Resumed: "resumed",
  Stopped: "stopped",
  Shutdown: "shutting-down",
  PMSuspended: "pmsuspended",
  Crashed: "crashed",
};

const CAUSES: Readonly<Record<string, DomainEvent["cause"]>> = {
  Shutdown: "shutdown",
  Destroyed: "destroyed",
  Crashed: "crashed",
  Migrated: "migrated",
  Saved: "saved",
  Failed: "failed",
};

/**
 * One line of `virsh event --all --loop --timestamp`:
 * `2026-11-20 09:44:31.531+0000: event 'lifecycle' for domain 'one-7': Stopped Failed`.
 * Undefined for events that nobody here acts on. The time stamp is the host's wall clock and is left out: it decides nothing.
 */
export function parseEventLine(line: string): DomainEvent | undefined {
  const match = /event '([a-z-]+)' for domain '?(.+?)'?: (.*)$/.exec(line);
  if (match === null) return undefined;
  const [, type, name = "", detail = ""] = match;
  if (type === "watchdog") return { kind: "watchdog", name, cause: "other", detail };
  if (type === "io-error" || type === "io-error-reason") return { kind: "io-error", name, cause: "other", detail };
  if (type !== "lifecycle") return undefined;
  const [word = "", ...rest] = detail.split(" ");
  const kind = LIFECYCLE[word];
  if (kind === undefined) return undefined;
  return { kind, name, cause: CAUSES[rest.join(" ")] ?? "other", detail: rest.join(" ") };
}
