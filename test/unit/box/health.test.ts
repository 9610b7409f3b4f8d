import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  compareVersions,
  type Health,
  lookAtTrial,
  missingHealth,
  NEW_TRIAL,
  NO_HEALTH,
  STEADY_MS,
} from "../../../src/box/update/policy.ts";
import { formatUpdateRecord, parseUpdateRecord } from "../../../src/box/update/record.ts";

const WELL: Health = {
  ...{ isMember: true, hasLeader: true, applied: 100, commit: 100, isVipConsistent: true, isAnswering: true },
  ...{ hosts: [1, 2], fenceable: [1, 2] },
};

test("a box that is as well as before misses nothing, and each thing that is worse is named", () => {
  assert.equal(missingHealth(WELL, WELL), []);
  const worse: readonly [Partial<Health>, RegExp][] = [
    [{ isMember: false }, /identity is gone/],
    [{ isAnswering: false }, /front-end/],
    [{ hasLeader: false }, /not rejoined/],
    [{ applied: 99, commit: 120 }, /99 of 120/],
    [{ applied: 90, commit: 90 }, /90 of 100/],
    [{ isVipConsistent: false }, /VIP/],
    [{ hosts: [] }, /hypervisor is connected/],
    [{ fenceable: [3] }, /BMC/],
  ];
  for (const [change, why] of worse) {
    const missing = missingHealth(WELL, { ...WELL, ...change });
    assert.is(missing.length, 1);
    assert.match(missing[0] ?? "", why);
  }
});

test("what did not work before is not asked for, and one host that died is not the update's fault", () => {
  const alone = { ...WELL, hasLeader: false, hosts: [], fenceable: [] };
  assert.equal(missingHealth(alone, alone), []);
  assert.equal(missingHealth(WELL, { ...WELL, hosts: [2], fenceable: [1] }), []);
});

test("a box that belongs to no cluster is well when it waits for its token", () => {
  assert.equal(missingHealth(NO_HEALTH, NO_HEALTH), []);
  assert.is(missingHealth(NO_HEALTH, { ...NO_HEALTH, isMember: true }).length, 1);
});

test("a slot is good only after ten healthy seconds without a break", () => {
  let { trial, isGood } = lookAtTrial(NEW_TRIAL, [], 0);
  assert.is(isGood, false);
  ({ trial, isGood } = lookAtTrial(trial, ["x"], STEADY_MS - 1));
  ({ trial, isGood } = lookAtTrial(trial, [], STEADY_MS));
  ({ trial, isGood } = lookAtTrial(trial, [], STEADY_MS * 2 - 1));
  assert.is(isGood, false);
  assert.is(lookAtTrial(trial, [], STEADY_MS * 2).isGood, true);
});

test("versions are ordered as semver.org has it", () => {
  const order = [
    "0.1.0",
    "0.2.0-alpha",
    "0.2.0-alpha.1",
    "0.2.0-beta",
    "0.2.0-beta.2",
    "0.2.0-beta.11",
    "0.2.0-rc.1",
    "0.2.0",
    "0.10.0",
    "1.0.0",
  ];
  for (const [index, version] of order.entries())
    for (const [other, than] of order.entries())
      assert.is(Math.sign(compareVersions(version, than)), Math.sign(index - other), `${version} and ${than}`);
  assert.is(compareVersions("1.0.0+a", "1.0.0+b"), 0);
});

test("a record of an update is read as it was written; a torn one is none", () => {
  const end = { slot: "A", version: "0.1.0", build: "abc" } as const;
  const record = { from: end, to: { ...end, slot: "B" }, at: "2026", before: WELL, outcome: "trial", why: "" } as const;
  const text = formatUpdateRecord(record);
  assert.equal(parseUpdateRecord(text), record);
  for (let length = 0; length < text.length - 1; length++)
    assert.is(parseUpdateRecord(text.slice(0, length)), undefined);
});

test.run();
