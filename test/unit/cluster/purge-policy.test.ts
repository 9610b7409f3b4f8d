import { test } from "uvu";
import * as assert from "uvu/assert";
import { type PurgeLimits, type PurgeView, purgeIndex } from "../../../src/cluster/purge-policy.ts";

const limits: PurgeLimits = {
  ...{ durableApplied: 1000, retention: 100, limit: 500, patienceMs: 60_000, bytesMax: 1_000_000 },
};
const view: PurgeView = { firstIndex: 801, applied: 1000, sizeBytes: 500_000, followers: [], now: 100_000 };
const index = (limit: Partial<PurgeLimits>, seen: Partial<PurgeView>): number =>
  purgeIndex({ ...limits, ...limit }, { ...view, ...seen });

test("so many applied entries stay", () => {
  assert.is(index({}, {}), 900);
  assert.is(index({ retention: 0 }, {}), 1000);
  assert.ok(index({ retention: 5000 }, {}) < view.firstIndex);
});

test("so many entries go at once at most", () => {
  assert.is(index({ limit: 30 }, {}), 830);
  assert.is(index({ limit: 0 }, {}), 800, "nothing");
});

test("what the state does not hold durably never goes, however large the log is", () => {
  assert.is(index({ durableApplied: 850 }, {}), 850);
  assert.is(index({ durableApplied: 0 }, {}), 0);
  assert.is(index({ durableApplied: 850 }, { sizeBytes: 2_000_000 }), 850);
  assert.is(index({ durableApplied: 2000, retention: 0 }, { sizeBytes: 2_000_000 }), 1000);
});

test("a follower that answers is waited for, one that is away is not", () => {
  const near = { match: 870, answeredAt: 99_000 };
  assert.is(index({}, { followers: [near] }), 870);
  assert.is(index({}, { followers: [near, { match: 0, answeredAt: 99_000 }] }), 0);
  assert.is(index({}, { followers: [near, { match: 0, answeredAt: 30_000 }] }), 870);
});

test("a log that is too large loses the older half of what is applied, whoever needs it", () => {
  const followers = [{ match: 0, answeredAt: 100_000 }];
  assert.is(index({ retention: 900, limit: 1 }, { followers, sizeBytes: 2_000_000 }), 901);
});

test.run();
