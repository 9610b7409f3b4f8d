import type { SuiteId } from "../codec/suites.ts";
import type { Chassis } from "./chassis.ts";
import type { FaultSet } from "./faults.ts";
import type { FirmwareFlaws } from "./firmware.ts";
import type { SessionTable } from "./session-table.ts";

/** What the parts of a BMC share. */
export interface BmcState {
  readonly users: readonly { readonly name: Buffer; readonly key: Buffer; readonly privilege: number }[];
  readonly bmcKey: Buffer | undefined;
  readonly guid: Buffer;
  readonly suites: readonly SuiteId[];
  readonly flaws: FirmwareFlaws;
  readonly faults: FaultSet;
  readonly sessions: SessionTable;
  readonly chassis: Chassis;
}

/** The GUID that the BMC shows at the moment. */
export function guidOf(state: BmcState): Buffer {
  const fault = state.faults.get("wrong-guid");
  if (!fault) return state.guid;
  return fault.value ? Buffer.from(fault.value, "hex") : Buffer.from(state.guid.map((byte) => byte ^ 0xff));
}
