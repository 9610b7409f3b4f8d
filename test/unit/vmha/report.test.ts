import { test } from "uvu";
import * as assert from "uvu/assert";
import type { RecoveryRow } from "../../../src/vmha/record.ts";
import { makeReport, placedAt } from "../../../src/vmha/report.ts";

const ROW: RecoveryRow = {
  host_id: 3,
  vm_id: 7,
  failure: 1,
  version: 2,
  outcome: "RESUBMITTED",
  target: 4,
  reason: "",
  attempt: 1,
  at: 5_200,
};

test("a report tells the seconds of each step and the outcome of each VM", () => {
  const marks = {
    lastAnswerAt: 1_000,
    suspectAt: 3_000,
    agreedAt: 3_100,
    offSentAt: 3_120,
    provenAt: 4_150,
    placedAt: 4_160,
    startedAt: 4_500,
  };
  assert.equal(makeReport(marks, [ROW]), {
    detectSeconds: 2,
    agreeSeconds: 0.1,
    fenceSeconds: 0.02,
    proveSeconds: 1.03,
    placeSeconds: 0.01,
    startSeconds: 0.34,
    vms: [{ id: 7, outcome: "RESUBMITTED", target: 4, reason: "" }],
  });
});

test("what a leader change lost is left out, and a clock that was set back gives no negative time", () => {
  const report = makeReport({ suspectAt: 3_000, agreedAt: 2_000 }, []);
  assert.is(report.detectSeconds, undefined);
  assert.is(report.agreeSeconds, 0);
});

test("placed is when the last VM got its outcome", () => {
  assert.is(placedAt([ROW, { ...ROW, at: 6_000 }, { ...ROW, at: 0 }]), 6_000);
  assert.is(placedAt([]), undefined);
});

test.run();
