import { test } from "uvu";
import * as assert from "uvu/assert";
import { ALERT_EVERY_MS } from "../../../src/fence/held.ts";
import { step } from "../../../src/fence/machine.ts";
import { askGates } from "../../../src/fence/policy.ts";
import type { FenceRow, Proof } from "../../../src/fence/record.ts";
import { isSettled, SETTLE_MS } from "../../../src/fence/settled.ts";
import { DOWN, GATES, HEARD, LOOK, look, machine, RECORD } from "./fixtures.ts";

const PROOF: Proof = { kind: "bmc", method: "ipmi", address: "b:623", guid: "g", was: "on", reads: 2, spanMs: 250 };
const SENT: FenceRow = { ...RECORD, state: "OFF_SENT", off_epoch: 7 };
const PROVEN: FenceRow = { ...SENT, state: "OFF_PROVEN", proofs: JSON.stringify([PROOF]) };
const HELD: FenceRow = { ...RECORD, state: "HELD", reason_code: "storm", reason: "too many" };

test("a host in health has no record and causes nothing", () => {
  assert.equal(look(machine(), { judgement: HEARD }).kinds, []);
  assert.equal(look(machine(), { judgement: { ...DOWN, verdict: "suspect" } }).kinds, []);
  assert.equal(look(machine(), { judgement: { ...DOWN, verdict: "unknown" } }).kinds, []);
});

test("a host that is agreed down gets an intent on the record, and nothing else yet", () => {
  const { kinds, proposed } = look(machine({ failureNumber: 0 }), {});
  assert.equal(kinds, ["propose"]);
  assert.is(proposed?.update.state, "INTENT");
  assert.is(proposed?.update.epoch, 7);
  assert.is(proposed?.update.isNewFailure, true);
  assert.is(proposed?.isHostLost, false);
});

test("an intent of ours opens the session; the off waits for its own entry", () => {
  const first = look(machine(), { record: RECORD });
  assert.equal(first.kinds, ["open"]);
  const open = step(first.state, { kind: "opened", result: { ok: true }, jitter: 0 }, 2_010).state;
  const second = look(open, { record: RECORD }, 2_020);
  assert.equal(second.kinds, ["propose"]);
  assert.is(second.proposed?.update.state, "OFF_SENT");
  assert.is(second.proposed?.update.offEpoch, 7);
  const recorded = step(second.state, { kind: "proposed", outcome: "done" }, 2_030).state;
  assert.equal(look(recorded, { record: SENT }, 2_040).kinds, ["power-off"]);
});

test("while an effect is out, a look starts nothing", () => {
  for (const busy of ["propose", "open", "power-off", "settle"] as const)
    assert.equal(look(machine({ busy, isSessionOpen: true }), { record: SENT }).kinds, []);
});

test("the proof, HOST to ERROR and VMs to UNKNOWN are one entry", () => {
  const state = machine({ proofs: [PROOF], firstOffAt: 1_500 });
  const { proposed } = look(state, { record: SENT });
  assert.is(proposed?.update.state, "OFF_PROVEN");
  assert.equal(proposed?.update.proofs, [PROOF]);
  assert.is(proposed?.isHostLost, true);
});

test("where a storage heartbeat exists, the proof waits for two missed beats", () => {
  const state = machine({ proofs: [PROOF], firstOffAt: 1_500 });
  assert.equal(look(state, { record: SENT, judgement: { ...DOWN, storage: "beating" } }).kinds, []);
  assert.equal(look(state, { record: SENT, judgement: { ...DOWN, storage: "missed-two" } }).kinds, ["propose"]);
});

test("a heartbeat that does not end in spite of the BMC's off is told", () => {
  const state = machine({ proofs: [PROOF], firstOffAt: 1_500 });
  const judgement = { ...DOWN, storage: "beating" } as const;
  assert.equal(look(state, { record: SENT, judgement }, 11_499).kinds, []);
  assert.equal(look(state, { record: SENT, judgement }, 11_500).kinds, ["alert"]);
});

test("a storage heartbeat after the proof voids it, as an answer does", () => {
  const { proposed, kinds } = look(machine(), {
    record: PROVEN,
    judgement: { ...DOWN, verdict: "isolated", storage: "beating" },
  });
  assert.equal(kinds, ["propose", "alert"]);
  assert.is(proposed?.update.state, "HELD");
  assert.is(proposed?.update.reasonCode, "answered");
  const back = { ...PROVEN, reason_code: "returned" };
  const { kinds: none } = look(machine({ contactAt: 1_900 }), {
    record: back,
    judgement: { ...DOWN, verdict: "isolated", storage: "beating" },
  });
  assert.equal(none, [], "it was off in between and is back");
});

test("an answer before anything was sent closes the record", () => {
  const { proposed } = look(machine(), { record: RECORD, judgement: HEARD });
  assert.is(proposed?.update.state, "CLOSED");
});

test("an answer after an off was sent holds, alerts and sends nothing more", () => {
  for (const judgement of [HEARD, { ...DOWN, isAnswerAfterOff: true }, { ...DOWN, lastAnswerAt: 1_600 }]) {
    const { kinds, proposed } = look(machine({ firstOffAt: 1_500, isSessionOpen: true }), { record: SENT, judgement });
    assert.equal(kinds, ["close-session", "propose", "alert"]);
    assert.is(proposed?.update.state, "HELD");
  }
});

test("an answer after the proof stops the recovery, in OFF_PROVEN and in RECOVERING", () => {
  for (const state of ["OFF_PROVEN", "RECOVERING"] as const) {
    const { proposed, kinds } = look(machine({ firstOffAt: 1_500, contactAt: 1_600 }), {
      record: { ...PROVEN, state },
      judgement: { ...DOWN, lastAnswerAt: 1_700 },
    });
    assert.is(proposed?.update.state, "HELD");
    assert.ok(kinds.includes("alert"));
  }
});

test("a host that came back with a new boot id and shows its domains lets the recovery go on", () => {
  const record: FenceRow = { ...PROVEN, state: "HELD", reason_code: "answered", marks: '{"recoveringAt":5}' };
  const back = { ...HEARD, bootId: "boot-2" };
  const state = machine({ contactAt: 1_600 });
  assert.equal(look(state, { record, judgement: back }).kinds, [], "its domains are not shown yet");
  const { proposed } = look(state, { record, judgement: { ...back, domains: [] } });
  assert.is(proposed?.update.state, "RECOVERING");
  const returned: FenceRow = { ...PROVEN, state: "RECOVERING", reason_code: "returned" };
  assert.equal(look(state, { record: returned, judgement: { ...back, domains: [] } }).kinds, []);
});

test("a host that answers with the same boot id was never off: nothing is recovered", () => {
  const record: FenceRow = { ...PROVEN, state: "HELD", reason_code: "answered" };
  const judgement = { ...HEARD, domains: [4] };
  assert.equal(look(machine({ contactAt: 1_600 }), { record, judgement }, 2_000).kinds, [], "C is not over");
  const { proposed } = look(machine({ contactAt: 1_600 }), { record, judgement }, 1_600 + SETTLE_MS);
  assert.is(proposed?.update.state, "CLOSED");
});

test("a level that fails gives way to the next, the last one to FAILED with an alert", () => {
  const next = look(machine({ failure: "no answer" }), { record: RECORD });
  assert.is(next.proposed?.update.state, "INTENT");
  assert.is(next.proposed?.update.level, 2);
  assert.is(next.proposed?.update.attempt, 2);
  const last = look(machine({ failure: "no answer" }), { record: { ...RECORD, level: 2 } });
  assert.is(last.proposed?.update.state, "FAILED");
  assert.ok(last.kinds.includes("alert"));
});

test("FAILED is tried again for ever, each time later, at most a minute apart", () => {
  let state = machine();
  let before = 0;
  for (let round = 0; round < 12; round++) {
    state = { ...state, busy: "power-off", failedRounds: round };
    const result = { ok: false, cause: "failed", why: "still on" } as const;
    const failed = step(state, { kind: "powered-off", result, jitter: 1 }, 10_000).state;
    const waitMs = failed.notBeforeAt - 10_000;
    assert.ok(waitMs >= before && waitMs <= 60_000, `round ${round}: ${waitMs} ms`);
    before = waitMs;
    const record: FenceRow = { ...RECORD, state: "FAILED" };
    assert.equal(look({ ...failed, failure: undefined }, { record }, failed.notBeforeAt - 1).kinds, []);
    const again = look({ ...failed, failure: undefined }, { record }, failed.notBeforeAt);
    assert.is(again.proposed?.update.state, "INTENT");
    assert.is(again.proposed?.update.level, 1);
  }
});

test("a lease that is too short is nobody's failure: the session stays and the off is tried again", () => {
  const state = machine({ busy: "power-off", isSessionOpen: true });
  const result = { ok: false, cause: "lease", why: "short" } as const;
  const after = step(state, { kind: "powered-off", result, jitter: 0 }, 2_000).state;
  assert.is(after.failure, undefined);
  assert.equal(look(after, { record: SENT }).kinds, [], "not at once: it would spin");
  assert.equal(look(after, { record: SENT }, 2_020).kinds, ["power-off"]);
});

test("an entry that was not admitted is decided anew on the next rows, but not at once", () => {
  for (const outcome of ["rejected", "unknown", "expired"] as const) {
    const state = step(machine({ busy: "propose" }), { kind: "proposed", outcome }, 2_000).state;
    assert.equal(look(state, { record: RECORD }).kinds, []);
    assert.equal(look(state, { record: RECORD }, 2_020).kinds, ["open"]);
  }
});

test("the wrong machine is refused with an alert", () => {
  const state = machine({ busy: "open" });
  const result = { ok: false, cause: "identity", why: "GUID differs" } as const;
  const { effects } = step(state, { kind: "opened", result, jitter: 0 }, 2_000);
  assert.equal(
    effects.map(({ kind }) => kind),
    ["close-session", "alert"],
  );
});

test("a shut gate is put on the record once, leaves by itself and is told every minute", () => {
  const gates = askGates({ ...GATES, setting: { isArmed: false, changedBy: "ann", why: "" } });
  const { proposed } = look(machine({ failureNumber: 0 }), { gates });
  assert.is(proposed?.update.state, "HELD");
  assert.is(proposed?.update.reasonCode, "armed");
  const record: FenceRow = { ...HELD, reason_code: "armed" };
  const first = look(machine(), { record, gates }, 2_000);
  assert.equal(first.kinds, []);
  assert.equal(look(first.state, { record, gates }, 2_000 + ALERT_EVERY_MS).kinds, ["alert"]);
  assert.is(look(first.state, { record }, 7_000).proposed?.update.state, "INTENT");
});

test("a gate that opens by itself in moments is not put on the record", () => {
  assert.equal(look(machine({ failureNumber: 0 }), { gates: askGates({ ...GATES, leaseRemainingMs: 20 }) }).kinds, []);
});

test("a new leader makes an intent of its own before it sends, and only if the host is still down", () => {
  for (const record of [RECORD, SENT]) {
    const later = { ...machine(), epoch: 8 };
    assert.equal(look(later, { record, judgement: { ...DOWN, verdict: "unknown" } }).kinds, []);
    const { proposed } = look(later, { record });
    assert.is(proposed?.update.state, "INTENT");
    assert.is(proposed?.update.epoch, 8);
    assert.is(proposed?.update.attempt, 2);
  }
});

test("a new leader goes on with a proven record, after one session of its own and C before it is closed", () => {
  const record: FenceRow = { ...PROVEN, state: "RECOVERING" };
  const first = look({ ...machine(), epoch: 8 }, { record }, 2_000);
  assert.equal(first.kinds, ["settle"]);
  assert.is(isSettled(first.state, record, 2_000 + SETTLE_MS), false);
  const settled = step(first.state, { kind: "settled" }, 3_000).state;
  assert.is(isSettled(settled, record, 3_000 + SETTLE_MS - 1), false);
  assert.is(isSettled(settled, record, 3_000 + SETTLE_MS), true);
});

test("a person's word is a proof, unless the host answers", () => {
  const record: FenceRow = { ...HELD, confirmed_by: "ann" };
  const { proposed } = look(machine(), { record });
  assert.is(proposed?.update.state, "OFF_PROVEN");
  assert.equal(proposed?.update.proofs, [{ kind: "person", by: "ann" }]);
  const alive = look(machine(), { record, judgement: HEARD });
  assert.is(alive.proposed?.update.state, "HELD");
  assert.is(alive.proposed?.update.isConfirmationVoid, true);
  assert.equal(look(machine(), { record, judgement: { ...DOWN, verdict: "unknown" } }).kinds, []);
});

test("answers from before a confirmation do not void it", () => {
  const record: FenceRow = { ...SENT, state: "HELD", reason_code: "answered", confirmed_by: "ann" };
  const confirmed = look(machine({ firstOffAt: 1_500 }), { record, judgement: { ...DOWN, lastAnswerAt: 1_600 } });
  const proven: FenceRow = { ...PROVEN, attempt: 2, confirmed_by: "ann" };
  const state = { ...step(confirmed.state, { kind: "proposed", outcome: "done" }, 2_001).state, contactAt: 1_600 };
  assert.is(confirmed.proposed?.update.attempt, 2);
  assert.equal(look(state, { record: proven, judgement: { ...DOWN, lastAnswerAt: 1_600 } }).kinds, []);
});

test("a host that was dealt with waits to be repaired, and is not judged by verdicts from before its return", () => {
  const record: FenceRow = { ...PROVEN, state: "CLOSED" };
  const dealt = look(machine(), { record, isDealtWith: true }, 10_000);
  assert.equal(dealt.kinds, []);
  assert.equal(look(dealt.state, { record }, 10_100).kinds, []);
  const heard = look(dealt.state, { record, judgement: HEARD }, 10_200);
  assert.is(look(heard.state, { record }, 10_300).proposed?.update.state, "INTENT");
  assert.is(look(dealt.state, { record }, 15_001).proposed?.update.state, "INTENT");
});

test("without fencing, by --no-fencing, recovery begins at once and says so each time", () => {
  const { kinds, proposed } = look(machine({ failureNumber: 0 }), { isFencingWaived: true });
  assert.is(proposed?.update.state, "OFF_PROVEN");
  assert.is(proposed?.isHostLost, true);
  assert.ok(kinds.includes("alert"));
});

test("an arrow that must be proposed again tells its alert once", () => {
  const record: FenceRow = { ...PROVEN, state: "RECOVERING" };
  const judgement = { ...DOWN, lastAnswerAt: 1_700 };
  const first = look(machine({ firstOffAt: 1_500, contactAt: 1_600 }), { record, judgement });
  assert.equal(first.kinds, ["propose", "alert"]);
  const refused = step(first.state, { kind: "proposed", outcome: "unknown" }, 2_000).state;
  assert.equal(look(refused, { record, judgement }, 2_100).kinds, ["propose"]);
});

test("the machine never changes the state that it was given", () => {
  const state = Object.freeze(machine({ isSessionOpen: true }));
  for (const record of [undefined, RECORD, SENT, PROVEN, HELD])
    for (const judgement of [HEARD, DOWN]) step(state, { kind: "looked", look: { ...LOOK, record, judgement } }, 2_000);
});

test.run();
