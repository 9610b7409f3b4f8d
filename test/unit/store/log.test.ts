import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import { openLog } from "../../../src/store/log/log.ts";
import { decodeRecord, RECORD, recordSizeBytes } from "../../../src/store/log/record.ts";
import { zerosFrom } from "../../../src/store/log/recover.ts";
import { decodeSegmentHeader, SEGMENT_DATA_OFFSET, segmentName } from "../../../src/store/log/segment.ts";
import type { Log, LogEntry, LogOptions } from "../../../src/store/log/types.ts";
import { FakeDisk } from "../../support/fake-disk.ts";

const SEGMENT_BYTES = 16_384;

/** A clock that stands still until it is told. */
class ManualTimer {
  pending: (() => void) | undefined;
  readonly after = (_delayMs: number, callback: () => void): (() => void) => {
    this.pending = callback;
    return () => {
      this.pending = undefined;
    };
  };
  fire(): void {
    const callback = this.pending;
    this.pending = undefined;
    callback?.();
  }
}

const prng = createPrng(1);
const base = (disk: FakeDisk): LogOptions => ({
  disk,
  segmentSizeBytes: SEGMENT_BYTES,
  salt: () => prng.uint32(),
  after: () => () => undefined,
});

function entry(index: number, term = 1, bytes = 100): LogEntry {
  return { index, term, kind: "normal", data: new Uint8Array(bytes).fill((index * 7 + term) & 0xff) };
}

function entries(first: number, last: number, term = 1, bytes = 100): LogEntry[] {
  return Array.from({ length: last - first + 1 }, (_, at) => entry(first + at, term, bytes));
}

/** The turn in which an inline write reports. */
async function settle(): Promise<void> {
  for (let n = 0; n < 20; n++) await Promise.resolve();
}

async function rejection(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return "resolved";
}

const all = (log: Log): LogEntry[] => log.entries(log.firstIndex(), log.lastIndex(), Number.POSITIVE_INFINITY);

/** The records of a segment: their offsets and types. */
function recordsOf(disk: FakeDisk, segment: number): { offset: number; type: number; size: number }[] {
  const file = disk.open(segmentName(segment), "read");
  const bytes = file.pread(0, file.sizeBytes());
  const header = decodeSegmentHeader(bytes, segment);
  if (header === undefined) throw new Error("no header");
  const records: { offset: number; type: number; size: number }[] = [];
  for (let offset = SEGMENT_DATA_OFFSET; ; ) {
    const record = decodeRecord(bytes, offset, offset, header.salt);
    if (record === undefined) return records;
    const size = recordSizeBytes(record.length);
    records.push({ offset, type: record.type, size });
    offset += size;
  }
}

test("an empty directory is an empty log", async () => {
  const { log, recovered } = await openLog("", base(new FakeDisk()));
  assert.equal(recovered, {
    hardState: undefined,
    membership: undefined,
    firstIndex: 1,
    lastIndex: 0,
    commit: 0,
    damage: { kind: "none" },
    tornBytes: 0,
  });
  assert.is(log.term(0), 0);
  assert.is(log.snapshotMeta(), undefined);
  assert.equal(log.entries(1, 5, 100), []);
});

test("hard state, membership, entries and commit come back", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  const hardState = { term: 3, vote: "00ff00ff00ff00ff", promiseMs: 1500, commit: 2 };
  const membership = { index: 2, bytes: new Uint8Array([1, 2, 3]) };
  const written = [entry(1), { ...entry(2, 3), kind: "membership" as const }, entry(3, 3, 0)];
  await log.append({ entries: written, hardState, membership, commit: 2 });
  await log.close();
  const { log: again, recovered } = await openLog("", base(disk));
  assert.equal(recovered.hardState, hardState);
  assert.equal(recovered.membership, membership);
  assert.is(recovered.commit, 2);
  assert.equal(all(again), written);
  assert.is(again.durableIndex(), 3);
});

test("appends that arrive while a group is under way are one group", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  const before = disk.syncs;
  await Promise.all(entries(1, 100).map((one) => log.append({ entries: [one], commit: 0 })));
  assert.is(disk.syncs - before, 3, "the first append, a step of the spare, and the other 99 together");
  assert.is(log.statistics().groups, 3, "with the one at the start");
  for (let index = 101; index <= 110; index++) await log.append({ entries: [entry(index)], commit: 0 });
  assert.is(log.statistics().groups, 13);
});

test("an append resolves only after the sync that covers it", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  const done = log.append({ entries: [entry(1)], commit: 0 });
  assert.is(log.lastIndex(), 1, "readable at once");
  assert.is(log.durableIndex(), 0, "not yet durable");
  await done;
  assert.is(log.durableIndex(), 1);
});

test("a burst is closed by one empty group, and an idle log does no sync", async () => {
  const disk = new FakeDisk();
  const timer = new ManualTimer();
  const { log } = await openLog("", { ...base(disk), after: timer.after });
  await settle();
  assert.is(timer.pending, undefined, "nothing to close after the start");
  for (const one of entries(1, 5)) await log.append({ entries: [one], commit: 0 });
  await settle();
  const { groups } = log.statistics();
  timer.fire();
  await settle();
  assert.is(log.statistics().groups, groups, "not yet silent: there were groups since the timer was set");
  timer.fire();
  await settle();
  assert.is(log.statistics().groups, groups + 1);
  assert.is(timer.pending, undefined, "and nothing more is planned");
});

test("truncation replaces the tail, in memory at once and on disk", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  await log.append({ entries: entries(1, 10), commit: 4 });
  const done = log.append({ entries: entries(6, 7, 2), commit: 4 });
  assert.is(log.lastIndex(), 7);
  assert.is(log.term(6), 2);
  assert.is(log.term(8), undefined);
  assert.is(log.durableIndex(), 5);
  await done;
  assert.is(log.durableIndex(), 7);
  assert.equal(all(log), [...entries(1, 5), ...entries(6, 7, 2)]);
  await log.close();
  const { log: again } = await openLog("", base(disk));
  assert.equal(all(again), [...entries(1, 5), ...entries(6, 7, 2)]);
});

test("entries truncated while on their way never count as durable", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  const first = log.append({ entries: entries(1, 10), commit: 0 });
  const second = log.append({ entries: entries(3, 3, 2), commit: 0 });
  await first;
  assert.ok(log.durableIndex() <= 3);
  await second;
  assert.is(log.durableIndex(), 3);
});

test("a truncation at or below the commit is a programmer's error", async () => {
  const { log } = await openLog("", base(new FakeDisk()));
  await log.append({ entries: entries(1, 5), commit: 3 });
  assert.throws(() => log.append({ entries: entries(3, 3, 2), commit: 3 }), /truncation/);
});

test("an append larger than a group or a segment is split and comes back whole", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  const written = entries(1, 40, 1, 3000);
  await log.append({ entries: written, commit: 0 });
  assert.ok(log.statistics().rotations >= 8);
  await log.close();
  const { log: again, recovered } = await openLog("", base(disk));
  assert.equal(recovered.damage, { kind: "none" });
  assert.equal(all(again), written);
});

test("old entries are read from the disk, recent ones from memory", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", { ...base(disk), cacheBytes: 1000 });
  for (const one of entries(1, 300)) await log.append({ entries: [one], commit: 0 });
  assert.equal(all(log), entries(1, 300));
  assert.equal(log.entries(5, 300, 250).length, 2, "two of 100 bytes fit into 250");
  assert.equal(log.entries(5, 300, 1).length, 1, "one always");
  disk.failNext = "pread";
  assert.equal(log.entries(300, 300, 1000), [entry(300)], "no disk needed");
  assert.throws(() => log.entries(1, 1, 1000), /Cannot read entry 1/);
});

test("other bytes than were written are never served", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", { ...base(disk), cacheBytes: 0 });
  await log.append({ entries: entries(1, 3), commit: 0 });
  const second = recordsOf(disk, 1).filter(({ type }) => type === RECORD.entry)[1];
  disk.rot(segmentName(1), (bytes) => {
    bytes[(second?.offset ?? 0) + 40] = (bytes[(second?.offset ?? 0) + 40] ?? 0) ^ 1;
  });
  assert.throws(() => log.entries(2, 2, 1000), /Cannot read entry 2/);
  assert.equal(log.entries(3, 3, 1000), [entry(3)]);
});

test("one flipped bit anywhere in what was durable is damage, after it a torn tail", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  for (const one of entries(1, 6)) await log.append({ entries: [one], commit: 0 });
  const records = recordsOf(disk, 1);
  const lastGroup = records.findLast(({ type }) => type === RECORD.group);
  const end = records.at(-1);
  if (lastGroup === undefined || end === undefined) throw new Error("no records");
  const names = disk.list().sort();
  for (let offset = SEGMENT_DATA_OFFSET; offset < end.offset + end.size; offset += 3) {
    // The padding after a payload is nobody's.
    const record = records.find((one) => offset >= one.offset && offset < one.offset + one.size);
    if (record === undefined || offset >= record.offset + 132) continue;
    if (record.type === RECORD.group && offset >= record.offset + 48) continue;
    const flip = (bytes: Uint8Array): void => {
      bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
    };
    const copy = new FakeDisk();
    const source = disk.open(segmentName(1), "read").pread(0, SEGMENT_BYTES);
    const file = copy.open(segmentName(1), "create");
    file.pwrite(0, source);
    copy.rot(segmentName(1), flip);
    const { log: opened, recovered } = await openLog("", base(copy));
    if (offset < lastGroup.offset) {
      assert.is(recovered.damage.kind, "corrupt", `offset ${offset}`);
      assert.is(await rejection(opened.append({ entries: [], commit: 0 })), "log-damaged");
      assert.is(copy.steps, 2, "nothing was changed");
    } else {
      assert.is(recovered.damage.kind, "none", `offset ${offset}`);
      assert.is(recovered.lastIndex, 5);
      assert.ok(recovered.tornBytes > 0);
    }
    await opened.close();
  }
  assert.equal(disk.list().sort(), names);
});

test("the closing group decides the last one: rot in it is damage then", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  await log.append({ entries: [entry(1)], commit: 0 });
  await log.close();
  const last = recordsOf(disk, 1).findLast(({ type }) => type === RECORD.entry);
  disk.rot(segmentName(1), (bytes) => {
    bytes[(last?.offset ?? 0) + 33] = 0;
  });
  const { recovered } = await openLog("", base(disk));
  assert.is(recovered.damage.kind, "corrupt");
  assert.is(recovered.lastIndex, 0);
});

test("a lost segment in the middle and a lost header are damage; one rotten copy of the header is not", async () => {
  for (const [spoil, expected] of [
    [(disk: FakeDisk) => disk.unlink(segmentName(2)), "corrupt"],
    [(disk: FakeDisk) => disk.rot(segmentName(2), (bytes) => bytes.fill(0, 0, 1024)), "corrupt"],
    [(disk: FakeDisk) => disk.rot(segmentName(2), (bytes) => bytes.fill(0, 0, 512)), "none"],
    [(disk: FakeDisk) => disk.rot(segmentName(3), (bytes) => bytes.fill(0, 512, 1024)), "none"],
  ] as const) {
    const disk = new FakeDisk();
    const { log } = await openLog("", base(disk));
    for (const one of entries(1, 30, 1, 1500)) await log.append({ entries: [one], commit: 0 });
    await log.close();
    spoil(disk);
    const { recovered } = await openLog("", base(disk));
    assert.is(recovered.damage.kind, expected);
    if (expected === "none") assert.is(recovered.lastIndex, 30);
  }
});

test("a vote that rots at the end of an earlier segment is damage", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  for (let term = 1; log.statistics().rotations < 2; term++) {
    await log.append({ entries: [], hardState: { term, vote: "a", promiseMs: 0, commit: 0 }, commit: 0 });
  }
  await log.close();
  const last = recordsOf(disk, 1).at(-1);
  assert.is(last?.type, RECORD.hardState);
  disk.rot(segmentName(1), (bytes) => {
    bytes[(last?.offset ?? 0) + 16] = (bytes[(last?.offset ?? 0) + 16] ?? 0) ^ 1;
  });
  assert.is((await openLog("", base(disk))).recovered.damage.kind, "corrupt");
});

test("after a failed write or sync nothing is tried again", async () => {
  for (const kind of ["pwrite", "fdatasync"] as const) {
    const disk = new FakeDisk();
    const poisons: Error[] = [];
    const { log } = await openLog("", { ...base(disk), onPoison: (error) => poisons.push(error) });
    // The spare is made first, so that the failure hits the group.
    for (const one of entries(1, 3)) await log.append({ entries: [one], commit: 0 });
    disk.failNext = kind;
    const under = rejection(log.append({ entries: [entry(4)], commit: 0 }));
    const waiting = rejection(log.append({ entries: [entry(5)], commit: 0 }));
    assert.is(await under, "log-poisoned");
    assert.is(await waiting, "log-poisoned");
    assert.is(poisons.length, 1);
    const { steps } = disk;
    assert.is(await rejection(log.append({ entries: [entry(6)], commit: 0 })), "log-poisoned");
    assert.is(log.durableIndex(), 3);
    await log.close();
    assert.is(disk.steps, steps, "the disk was not touched again");
  }
});

test("without room for the next segment nothing is acknowledged or skipped, and room brings the log back", async () => {
  const disk = new FakeDisk();
  const timer = new ManualTimer();
  const poisons: Error[] = [];
  const { log } = await openLog("", { ...base(disk), after: timer.after, onPoison: (error) => poisons.push(error) });
  disk.capacityBytes = SEGMENT_BYTES;
  const acknowledged: number[] = [];
  const waiting = entries(1, 20, 1, 2000).map((one) =>
    log.append({ entries: [one], commit: 0 }).then(() => acknowledged.push(one.index)),
  );
  await settle();
  const durable = acknowledged.length;
  assert.ok(durable >= 5 && durable < 20, `${durable}`);
  const steps = disk.steps;
  for (let round = 0; round < 3; round++) {
    timer.fire();
    await settle();
  }
  assert.is(acknowledged.length, durable);
  // It tries, and what it tries takes no room.
  assert.ok(disk.steps > steps);
  assert.not.ok(disk.list().some((name) => name.startsWith("spare")));
  assert.is(log.durableIndex(), durable);
  disk.capacityBytes = Number.POSITIVE_INFINITY;
  timer.fire();
  await Promise.all(waiting);
  assert.equal(
    acknowledged,
    Array.from({ length: 20 }, (_, at) => at + 1),
  );
  assert.equal(poisons, []);
  disk.crash(createPrng(3));
  const { recovered } = await openLog("", base(disk));
  assert.is(recovered.lastIndex, 20);
});

test("a log that has no room for its first segment does not open", async () => {
  const disk = new FakeDisk();
  disk.capacityBytes = SEGMENT_BYTES - 1;
  assert.is(await rejection(openLog("", base(disk))), "log-open-failed");
});

test("a disk that is full when the power goes keeps what was acknowledged", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  disk.capacityBytes = SEGMENT_BYTES;
  let acknowledged = 0;
  for (const one of entries(1, 20, 1, 2000))
    log.append({ entries: [one], commit: 0 }).then(
      () => {
        acknowledged = one.index;
      },
      () => undefined,
    );
  await settle();
  assert.ok(acknowledged >= 5);
  disk.capacityBytes = Number.POSITIVE_INFINITY;
  disk.crash(createPrng(3));
  const { recovered } = await openLog("", base(disk));
  assert.is(recovered.lastIndex, acknowledged);
});

test("purged segments are used again, and their old records never come back", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  const hardState = { term: 4, vote: "a", promiseMs: 9, commit: 1 };
  await log.append({
    entries: [entry(1, 1, 1500)],
    hardState,
    membership: { index: 1, bytes: new Uint8Array([5]) },
    commit: 1,
  });
  for (const one of entries(2, 60, 1, 1500)) await log.append({ entries: [one], commit: one.index - 1 });
  const before = disk.list().length;
  log.purgeTo(45);
  await log.append({ entries: [entry(61, 1, 1500)], commit: 60 });
  assert.ok(disk.list().length < before);
  const first = log.firstIndex();
  assert.ok(first > 30 && first <= 46, `first index ${first}`);
  assert.equal(log.entries(first - 1, 61, 1e9), [], "purged");
  assert.equal(log.snapshotMeta(), {
    index: first - 1,
    term: 1,
    membership: { index: 1, bytes: new Uint8Array([5]) },
  });
  for (const one of entries(62, 100, 1, 1500)) await log.append({ entries: [one], commit: one.index - 1 });
  disk.crash(createPrng(4));
  const { log: again, recovered } = await openLog("", base(disk));
  assert.equal(recovered.damage, { kind: "none" });
  assert.is(recovered.firstIndex, first);
  assert.is(recovered.lastIndex, 100);
  assert.equal(recovered.hardState, hardState, "repeated in each segment");
  assert.equal(again.snapshotMeta()?.membership, { index: 1, bytes: new Uint8Array([5]) });
  assert.equal(all(again), entries(first, 100, 1, 1500));
  // A segment that was just begun in a used file and lost its first group holds nothing.
  const lost = new FakeDisk();
  const source = disk.open(segmentName(8), "read").pread(0, SEGMENT_BYTES);
  lost.open(segmentName(9), "create").pwrite(0, source);
  assert.is((await openLog("", base(lost))).recovered.lastIndex, 0);
});

test("a snapshot's mark outlives the purge of what it named", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  for (const one of entries(1, 60, 1, 1500)) await log.append({ entries: [one], commit: one.index - 1 });
  const membership = { index: 3, bytes: new Uint8Array([5]) };
  await log.append({ entries: [], snapshot: { index: 5, term: 1, membership }, commit: 60 });
  assert.is(log.firstIndex(), 6);
  assert.equal(log.snapshotMeta(), { index: 5, term: 1, membership });
  log.purgeTo(60);
  await log.append({ entries: [entry(61)], commit: 60 });
  assert.ok(log.firstIndex() > 50, "its segment begins after the snapshot's last entry");
  await log.close();
  const { log: again, recovered } = await openLog("", base(disk));
  assert.equal(recovered.damage, { kind: "none" });
  assert.equal([again.firstIndex(), again.lastIndex()], [log.firstIndex(), 61]);
  assert.equal(again.membershipAt(61), membership);
});

test("a snapshot older than the log's beginning, or at odds with what is committed, is a programmer's error", async () => {
  const { log } = await openLog("", base(new FakeDisk()));
  const membership = { index: 1, bytes: new Uint8Array([5]) };
  await log.append({ entries: entries(1, 9), commit: 4 });
  assert.throws(
    () => log.append({ entries: [], snapshot: { index: 4, term: 2, membership }, commit: 4 }),
    /contradicts/,
  );
  await log.append({ entries: [], snapshot: { index: 5, term: 2, membership }, commit: 5 });
  assert.equal([log.firstIndex(), log.lastIndex(), log.term(5)], [6, 5, 2]);
  assert.throws(() => log.append({ entries: [], snapshot: { index: 4, term: 1, membership }, commit: 5 }), /before/);
});

test("a purge goes on under steady load, and appends go on beside it", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", { ...base(disk), defer: (work) => void setImmediate(work) });
  for (const one of entries(1, 100, 1, 1500)) await log.append({ entries: [one], commit: one.index - 1 });
  const before = disk.list().length;
  // There is always an append waiting.
  let pending = log.append({ entries: [entry(101)], commit: 100 });
  log.purgeTo(99);
  for (let index = 102; index <= 130; index++) {
    const next = log.append({ entries: [entry(index)], commit: 100 });
    await pending;
    pending = next;
  }
  assert.ok(disk.list().length <= before - 8, `${disk.list().length} files of ${before}`);
  await pending;
});

test("nothing above the commit is purged", async () => {
  const { log } = await openLog("", base(new FakeDisk()));
  for (const one of entries(1, 60, 1, 1500)) await log.append({ entries: [one], commit: 20 });
  log.purgeTo(60);
  await settle();
  assert.ok(log.firstIndex() <= 21 && log.firstIndex() > 1, `first index ${log.firstIndex()}`);
});

test("a truncation below the oldest kept segment's first index comes back", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  for (const one of entries(1, 22, 1, 1500)) await log.append({ entries: [one], commit: 8 });
  await log.append({ entries: [entry(9, 2, 1500)], commit: 8 });
  for (const one of entries(10, 40, 2, 1500)) await log.append({ entries: [one], commit: one.index });
  log.purgeTo(8);
  await log.close();
  const first = log.firstIndex();
  const { log: again, recovered } = await openLog("", base(disk));
  assert.equal(recovered.damage, { kind: "none" });
  assert.is(recovered.firstIndex, first);
  assert.is(again.term(first - 1), 1);
  assert.equal(again.entries(9, 40, 1e9), [entry(9, 2, 1500), ...entries(10, 40, 2, 1500)]);
});

test("another segment size goes on with what is there", async () => {
  const disk = new FakeDisk();
  let last = 0;
  for (const segmentSizeBytes of [65_536, 8192, 32_768]) {
    const { log, recovered } = await openLog("", { ...base(disk), segmentSizeBytes });
    assert.equal(recovered.damage, { kind: "none" });
    assert.is(recovered.lastIndex, last);
    for (const one of entries(last + 1, last + 20, 1, 1000)) await log.append({ entries: [one], commit: 0 });
    last += 20;
    disk.crash(createPrng(last));
  }
  const { log } = await openLog("", base(disk));
  assert.equal(all(log), entries(1, 60, 1, 1000));
});

test("a disk that fails at the start is an error of the opening", async () => {
  for (const kind of ["pwrite", "fdatasync"] as const) {
    const disk = new FakeDisk();
    disk.failNext = kind;
    assert.is(await rejection(openLog("", base(disk))), "log-open-failed");
  }
});

test("close lets waiting appends finish and refuses later ones", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", base(disk));
  const pending = Promise.all(entries(1, 5).map((one) => log.append({ entries: [one], commit: 0 })));
  await log.close();
  await pending;
  assert.is(await rejection(log.append({ entries: [entry(6)], commit: 0 })), "log-closed");
  assert.is((await openLog("", base(disk))).recovered.lastIndex, 5);
});

test("the zeros at the end are found wherever the last byte lies, and a piece of any length is looked through", () => {
  const length = 3 * 64 * 1024 + 5;
  for (const at of [0, 1, 4, 5, 64 * 1024 - 1, 64 * 1024, 128 * 1024 + 4, 128 * 1024 + 5, length - 1]) {
    const bytes = new Uint8Array(length);
    bytes[0] = 1;
    bytes[at] = 1;
    assert.is(zerosFrom(bytes), at + 1);
  }
  assert.is(zerosFrom(new Uint8Array(length)), 0);
  assert.is(zerosFrom(new Uint8Array(0)), 0);
});

test.run();
