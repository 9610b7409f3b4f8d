import { test } from "uvu";
import * as assert from "uvu/assert";
import { Lease, leaseDurationMs } from "../../../src/cluster/lease.ts";
import { EMPTY_MEMBERSHIP } from "../../../src/raft/membership.ts";

const three = { ...EMPTY_MEMBERSHIP, voters: ["a", "b", "c"] };

test("the lease counts from the send, whenever the answer comes", () => {
  const lease = new Lease("a");
  assert.is(lease.sent(1, 1000, 600, three), false);
  assert.is(lease.until, 0);
  assert.is(lease.answered("b", 1, 600, three), true);
  assert.is(lease.until, 1000 + leaseDurationMs(600));
});

test("D is E less the clock's rate error less the margin, and never negative", () => {
  assert.is(leaseDurationMs(600), 600 * 0.99 - 25);
  assert.is(leaseDurationMs(10), 0);
});

test("an answer that promises less than the round asked for does not count", () => {
  const lease = new Lease("a");
  lease.sent(1, 0, 600, three);
  assert.is(lease.answered("b", 1, 599, three), false);
  assert.is(lease.until, 0);
});

test("answers count by number: an old round never extends a newer lease", () => {
  const lease = new Lease("a");
  lease.sent(1, 0, 600, three);
  lease.sent(2, 100, 600, three);
  assert.is(lease.answered("b", 2, 600, three), true);
  const until = lease.until;
  assert.is(lease.answered("c", 1, 600, three), false);
  assert.is(lease.until, until);
});

test("a round needs a quorum of the configuration at the send and at the count", () => {
  const lease = new Lease("a");
  const five = { ...EMPTY_MEMBERSHIP, voters: ["a", "b", "c", "d", "e"] };
  lease.sent(1, 0, 600, three);
  assert.is(lease.answered("b", 1, 600, five), false);
  assert.is(lease.answered("d", 1, 600, five), true);
});

test("one voter confirms itself; a learner's answer is worth nothing", () => {
  assert.is(new Lease("a").sent(1, 0, 600, { ...EMPTY_MEMBERSHIP, voters: ["a"] }), true);
  const lease = new Lease("a");
  lease.sent(1, 0, 600, { ...three, learners: ["l"] });
  assert.is(lease.answered("l", 1, 600, { ...three, learners: ["l"] }), false);
});

test("after a drop nothing that was sent before counts", () => {
  const lease = new Lease("a");
  lease.sent(1, 0, 600, three);
  lease.drop();
  assert.is(lease.answered("b", 1, 600, three), false);
  assert.is(lease.until, 0);
});

test.run();
