import type { BoxRole } from "./cluster.ts";

/**
 * This box's part, as a line for its log; undefined when the line before says it already. A box that is cut off tries an
 * election several times a second, for days: that is one line, or the log would keep nothing else.
 */
export function roleLine(role: BoxRole, before: string): string | undefined {
  const line = textOf(role);
  return line === before ? undefined : line;
}

function textOf({ role, term, leader, isReady }: BoxRole): string {
  if (role === "leader") return `leader in term ${term}${isReady ? ", ready" : ""}`;
  if (leader === "") return "no leader is known";
  return `${role} in term ${term}, leader ${leader}`;
}
