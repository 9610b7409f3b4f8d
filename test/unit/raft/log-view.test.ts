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

test("a slice fits its limit to the byte, and is empty when its first entry was purged", () => {
  const log = new MemoryLog([entry(1, 1), entry(1, 2), entry(1, 3)]);
  const view = new LogView(log, 3, 3);
  for (const index of [4, 5]) view.push(entry(1, index));
  const sizes = [0, 64, 95, 96].map((bytesMax) => view.slice(4, 5, bytesMax).length);
  assert.equal(sizes, [1, 2, 2, 2]);
  assert.equal(view.slice(4, 5, 63).length, 1);
  assert.equal(view.slice(2, 5, 1000).length, 4);
  log.compact({ index: 3, term: 1, membership: membershipOf([1]) });
  assert.equal(view.slice(3, 5, 1000), []);
  assert.equal(view.slice(6, 5, 1000), []);
});

test("a slice has no gap: it ends at the first entry that does not fit", () => {
  const view = new LogView(new MemoryLog(), 0, 0);
  for (const [at, size] of [1, 500, 1].entries()) view.push(entry(1, at + 1, "x".repeat(size)));
  assert.equal(
    view.slice(1, 3, 100).map((e) => e.index),
    [1],
  );
});

test("a cut below what is in memory empties it", () => {
  const { view } = viewOf([1, 1, 1]);
  view.push(entry(1, 4));
  view.truncate(2);
  assert.equal([view.lastIndex, view.term(2), view.stable], [1, undefined, 1]);
  view.push(entry(9, 2));
  assert.equal([view.lastIndex, view.term(1), view.term(2)], [2, 1, 9]);
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

test("a snapshot's installation has told the log its term already: what was held there before decides", () => {
  for (const [term, last] of [
    [5, 2],
    [1, 4],
  ] as const) {
    const log = new MemoryLog([1, 1, 1].map((each, at) => entry(each, at + 1)));
    const view = new LogView(log, 0, 0);
    view.push(entry(1, 4));
    const meta = { index: 2, term, membership: membershipOf([1]) };
    log.compact(meta);
    view.restore(meta);
    assert.equal([view.lastIndex, view.lastTerm, view.commit], [last, term, 2]);
    view.push(entry(9, last + 1));
    assert.equal([view.term(last + 1), view.slice(last + 1, last + 1, NO_LIMIT).length], [9, 1]);
  }
});

test("a snapshot over foreign entries in memory, one of them being written, leaves nothing of them", () => {
  const log = new MemoryLog([entry(1, 1)]);
  const view = new LogView(log, 1, 1);
  for (const index of [2, 3]) view.push(entry(1, index));
  view.submit(1);
  const meta = { index: 2, term: 5, membership: membershipOf([1]) };
  log.compact(meta);
  view.restore(meta);
  assert.equal([view.lastIndex, view.lastTerm, view.stable, view.applied, view.offered], [2, 5, 2, 2, 2]);
  assert.not(view.hasUnsubmitted());
  // The old write ends: what it wrote is not in this log.
  view.written(1);
  assert.is(view.stable, 2);
  view.push(entry(5, 3, "new"));
  assert.equal(view.slice(3, 3, NO_LIMIT), [entry(5, 3, "new")]);
  assert.equal(view.submit(2), [entry(5, 3, "new")]);
  view.written(2);
  assert.is(view.stable, 3);
});

test("a snapshot of what is only in memory yet makes that much durable and applied, and the rest goes its way", () => {
  const log = new MemoryLog([entry(1, 1)]);
  const view = new LogView(log, 1, 0);
  assert.is(view.offer(32).length, 1);
  for (const index of [2, 3, 4, 5]) view.push(entry(1, index));
  const meta = { index: 2, term: 1, membership: membershipOf([1]) };
  log.compact(meta);
  view.restore(meta);
  assert.equal([view.lastIndex, view.stable, view.applied, view.offered], [5, 2, 2, 2]);
  const written = view.submit(1);
  assert.equal(
    written.map((e) => e.index),
    [3, 4, 5],
  );
  log.write(written);
  view.written(1);
  view.commitTo(5);
  // What was being applied before counts no more: there is room for one entry of 32 bytes, and not for two.
  assert.equal(
    view.offer(32).map((e) => e.index),
    [3],
  );
  view.appliedTo(3);
  assert.equal(
    view.offer(32).map((e) => e.index),
    [4],
  );
  assert.throws(() => view.appliedTo(5), /4 was handed out/);
  assert.throws(() => view.appliedTo(2), /4 was handed out/);
});

test("appends under way are bounded by count and by bytes, and freed up to what was acknowledged", () => {
  const one = new Inflight(1, 1000);
  for (const index of [5, 6]) {
    one.add(index, 10);
    assert.ok(one.isFull);
    one.freeTo(index);
    assert.not(one.isFull);
  }
  one.add(7, 10);
  one.clear();
  one.add(8, 10);
  one.freeTo(8);
  assert.is(one.count, 0);
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
