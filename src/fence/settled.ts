import type { FenceState } from "./machine-types.ts";
import type { FenceRow } from "./record.ts";

/** A power-changing session sends nothing more after this; C is counted from it. */
export const COMMAND_DEADLINE_MS = 3_000;
/** C: how long a host that an earlier command may still hit is not enabled, powered on or given a VM. */
export const SETTLE_MS = COMMAND_DEADLINE_MS + 5_000;

/** Whether no command of any leader can hit the host any more: it may be put to use and its record closed. */
export function isSettled(state: FenceState, record: FenceRow, now: number): boolean {
  if (record.off_epoch === 0) return true;
  return state.failureNumber === record.failure && state.contactAt !== undefined && now >= state.contactAt + SETTLE_MS;
}
