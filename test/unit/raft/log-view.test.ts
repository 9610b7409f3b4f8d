import { test } from "uvu";
import * as assert from "uvu/assert";
import { Inflight } from "../../../src/raft/inflight.ts";
import { LogView } from "../../../src/raft/log-view.ts";
import { entry, membershipOf } from "../../support/raft/group.ts";
import { MemoryLog } from "../../support/raft/memory-log.ts";

const NO_LIMIT = 1 << 30;

function viewOf(terms: readonly number[], commit = 0, applied = 0): { view: LogView; log: MemoryLog } {
  const log = new MemoryLog(terms.map((term, i) => entry(term, i + 1)));
  return { view: new LogView(log, commit, applied), log };
}

/** Writes a Ready's entries as the disk does, without saying so. */
function submit(view: LogView, log: MemoryLog, sequence: number): void {
  log.write(view.submit(sequence));
}

test("entries are handed out for writing once, and are durable only when said so", () => {
  const { view, log } = viewOf([1]);
  view.push(entry(1, 2));
  view.push(entry(1, 3));
  assert.equal(
    view.submit(1).map((e) => e.index),
    [2, 3],
  );
  assert.equal(view.submit(2), []);
  assert.is(view.stable, 1);
  log.write([entry(1, 2), entry(1, 3)]);
  assert.ok(view.written(1));
  assert.is(view.stable, 3);
});

test("committed entries are handed out only when they are durable here", () => {
  const { view, log } = viewOf([1]);
  view.push(entry(1, 2));
  view.commitTo(2);
  assert.equal(
    view.offer(NO_LIMIT).map((e) => e.index),
    [1],
  );
  submit(view, log, 1);
  assert.equal(view.offer(NO_LIMIT), []);
  view.written(1);
  assert.equal(
    view.offer(NO_LIMIT).map((e) => e.index),
    [2],
  );
});

test("the completion of a write that was cut off under way does not count for what came in its place", () => {
  const { view, log } = viewOf([1]);
  view.push(entry(1, 2));
  view.push(entry(1, 3));
  submit(view, log, 1);
  view.truncate(2);
  view.push(entry(2, 2));
  submit(view, log, 2);
  // Another leader brings back the very entries that the first write carried.
  view.truncate(2);
  view.push(entry(1, 2));
  view.push(entry(1, 3));
  view.written(1);
  assert.is(view.stable, 1);
  submit(view, log, 3);
  view.written(2);
  assert.is(view.stable, 1);
  view.written(3);
  assert.is(view.stable, 3);
});

test("the log is never cut at or below commit", () => {
  const { view } = viewOf([1, 1, 1], 2);
  assert.throws(() => view.truncate(2), /committed/);
  view.truncate(3);
  assert.is(view.lastIndex, 2);
});

test("a commit index that is after the end of the log at a start is the end of the log", () => {
  assert.is(viewOf([1, 1], 7).view.commit, 2);
});

test("slices span what is durable and what is in memory, and stop at the byte limit but never before one entry", () => {
  const { view } = viewOf([1, 1, 1]);
  view.push(entry(2, 4, "x".repeat(100)));
  view.push(entry(2, 5, "y"));
  assert.equal(
    view.slice(2, 5, NO_LIMIT).map((e) => e.index),
    [2, 3, 4, 5],
  );
  assert.equal(
    view.slice(4, 5, 10).map((e) => e.index),
    [4],
  );
  assert.equal(
    view.slice(2, 5, 100).map((e) => e.index),
    [2, 3],
  );
});

test("what is applying is bounded by bytes, and applied makes room", () => {
  const log = new MemoryLog([1, 2, 3, 4].map((index) => entry(1, index, "x".repeat(40))));
  const view = new LogView(log, 4, 0);
  assert.equal(
    view.offer(60).map((e) => e.index),
    [1],
  );
  assert.equal(view.offer(60), []);
  view.appliedTo(1);
  assert.equal(
    view.offer(90).map((e) => e.index),
    [2, 3],
  );
});

test("up-to-date looks at the last term first, then at the index", () => {
  const { view } = viewOf([1, 2, 2]);
  assert.ok(view.isUpToDate(3, 2));
  assert.ok(view.isUpToDate(1, 3));
  assert.not(view.isUpToDate(9, 1));
  assert.not(view.isUpToDate(2, 2));
});

test("a snapshot that conflicts empties the log, one that matches keeps the acknowledged rest", () => {
  const conflicting = viewOf([1, 1, 1]).view;
  conflicting.restore({ index: 2, term: 5, membership: membershipOf([1]) });
  assert.equal([conflicting.lastIndex, conflicting.commit, conflicting.applied], [2, 2, 2]);
  const matching = viewOf([1, 1, 1]).view;
  matching.restore({ index: 2, term: 1, membership: membershipOf([1]) });
  assert.equal([matching.lastIndex, matching.commit, matching.stable], [3, 2, 3]);
});

test("appends under way are bounded by count and by bytes, and freed up to what was acknowledged", () => {
  const byCount = new Inflight(3, 1000);
  for (const index of [5, 7, 9]) byCount.add(index, 10);
  assert.ok(byCount.isFull);
  byCount.freeTo(7);
  assert.equal([byCount.count, byCount.bytes], [1, 10]);
  byCount.add(10, 1);
  byCount.add(11, 1);
  assert.ok(byCount.isFull);
  const byBytes = new Inflight(64, 100);
  byBytes.add(1, 100);
  assert.ok(byBytes.isFull);
  byBytes.freeTo(0);
  assert.ok(byBytes.isFull);
  byBytes.clear();
  assert.equal([byBytes.isFull, byBytes.bytes], [false, 0]);
});

test.run();
