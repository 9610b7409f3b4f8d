// Rows and looks for the tests of fencing: a host in health with one BMC, changed where a test says so.

import { createFence, step } from "../../../src/fence/machine.ts";
import type { FenceState, HostJudgement, Look } from "../../../src/fence/machine-types.ts";
import { askGates, FENCE_POLICY_DEFAULT, type GateInput } from "../../../src/fence/policy.ts";
import type { FenceRow } from "../../../src/fence/record.ts";

export const HEARD: HostJudgement = {
  verdict: "alive",
  downSinceAt: undefined,
  isNeverHeard: false,
  lastAnswerAt: 900,
  isAnswerAfterOff: false,
  bmcPower: "on",
  storage: "none",
  bootId: "boot-1",
  domains: undefined,
  evidence: ["box 0 hears it"],
  marks: {},
};

export const DOWN: HostJudgement = {
  ...HEARD,
  verdict: "down",
  downSinceAt: 500,
  lastAnswerAt: 0,
  evidence: ["boxes 0 and 1 hear nothing for 2000 ms"],
  marks: { lastAnswerAt: 1, suspectAt: 2, agreedAt: 3 },
};

export const GATES: GateInput = {
  now: 100_000,
  policy: FENCE_POLICY_DEFAULT,
  hostId: 3,
  hostState: 2,
  verdict: "down",
  downSinceAt: 99_000,
  isNeverHeard: false,
  bmcPower: "on",
  domains: [],
  leaseRemainingMs: 500,
  setting: { isArmed: true, changedBy: "founding", why: "" },
  notReady: undefined,
  suspects: [{ hostId: 3, bmcPower: "on", domains: [] }],
  hostCount: 4,
  powerCommands: [],
  capacity: { vms: 2, placeable: 2 },
};

export const LOOK: Look = {
  record: undefined,
  judgement: DOWN,
  gates: askGates(GATES),
  levels: [
    { level: 1, method: "ipmi" },
    { level: 2, method: "ipmi" },
  ],
  isDealtWith: false,
  isFencingWaived: false,
  wallAt: 1_700_000_000_000,
};

export const RECORD: FenceRow = {
  host_id: 3,
  version: 1,
  failure: 1,
  state: "INTENT",
  epoch: 7,
  level: 1,
  method: "ipmi",
  attempt: 1,
  off_epoch: 0,
  reason_code: "",
  reason: "",
  evidence: "[]",
  proofs: "[]",
  confirmed_by: "",
  boot_id: "boot-1",
  marks: "{}",
  report: "",
};

/** The machine of leader 7 that knows failure 1. */
export function machine(more: Partial<FenceState> = {}): FenceState {
  return { ...createFence(3, 7, 1_000), failureNumber: 1, ...more };
}

/** One look; the effects by kind. */
export function look(state: FenceState, more: Partial<Look>, now = 2_000) {
  const result = step(state, { kind: "looked", look: { ...LOOK, ...more } }, now);
  const proposed = result.effects.find((effect) => effect.kind === "propose");
  return { ...result, kinds: result.effects.map(({ kind }) => kind), proposed };
}
