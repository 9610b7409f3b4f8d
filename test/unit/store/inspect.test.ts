// `ringfence log verify` says what a recovery would do, and does nothing itself.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import { inspectLog } from "../../../src/store/log/inspect.ts";
import { openLog } from "../../../src/store/log/log.ts";
import { segmentName } from "../../../src/store/log/segment.ts";
import type { Disk, Log, LogEntry, LogOptions } from "../../../src/store/log/types.ts";
import { FakeDisk } from "../../support/fake-disk.ts";

const SEGMENT_BYTES = 8192;
const prng = createPrng(1);
const options = (disk: FakeDisk): LogOptions => ({
  disk,
  segmentSizeBytes: SEGMENT_BYTES,
  salt: () => prng.uint32(),
  after: () => () => undefined,
});

function entries(first: number, last: number, term: number): LogEntry[] {
  return Array.from({ length: last - first + 1 }, (_, at) => ({
    index: first + at,
    term,
    kind: "normal" as const,
    data: new Uint8Array(400).fill(first + at),
  }));
}

/** Entries 1 … 60 of terms 1 to 3 over several segments, 41 … 45 written twice; closed, so that all is durable. */
async function writtenLog(disk: FakeDisk): Promise<Log> {
  const { log } = await openLog("", options(disk));
  for (let first = 1; first <= 41; first += 5)
    await log.append({
      entries: entries(first, first + 4, first < 21 ? 1 : 2),
      hardState: first === 21 ? { term: 2, vote: "b", promiseMs: 500, commit: 20 } : undefined,
      commit: first - 1,
    });
  await log.append({ entries: entries(41, 60, 3), commit: 40 });
  await log.append({ entries: [], membership: { index: 9, bytes: new Uint8Array([1]) }, commit: 60 });
  await log.close();
  return log;
}

/** A disk that may be read only. */
function readOnly(disk: FakeDisk): Pick<Disk, "open" | "list"> {
  return {
    list: () => disk.list(),
    open: (name, mode) => {
      assert.is(mode, "read");
      return disk.open(name, mode);
    },
  };
}

test("a whole log is told with its segments, spans and durability, and nothing is written", async () => {
  const disk = new FakeDisk();
  await writtenLog(disk);
  const steps = disk.steps;
  const { report } = inspectLog(readOnly(disk));
  assert.is(disk.steps, steps);
  assert.equal(report.verdict, { kind: "good" });
  assert.is(report.lastIndex, 60);
  assert.is(report.lastTerm, 3);
  assert.is(report.commit, 60);
  assert.equal(report.hardState, { term: 2, vote: "b", promiseMs: 500, commit: 20 });
  assert.is(report.membership?.index, 9);
  const { segments } = report;
  assert.ok(segments.length >= 3, `${segments.length} segments`);
  assert.equal(segments[0]?.indexes, { first: 1, last: segments[0]?.indexes?.last });
  assert.equal(segments.at(-1)?.terms, { first: 3, last: 3 });
  assert.is(new Set(segments.map((one) => one.salt)).size, segments.length);
  // The closing group names everything before it durable.
  assert.is(report.durableTo.segment, report.end.segment);
  assert.ok(report.durableTo.offset < report.end.offset);
});

test("the entries are those of the log: what was truncated is not among them", async () => {
  const disk = new FakeDisk();
  await writtenLog(disk);
  const found = [...inspectLog(readOnly(disk)).entries(38)];
  assert.equal(
    found.map((entry) => [entry.index, entry.term]),
    Array.from({ length: 23 }, (_, at) => [38 + at, 38 + at < 41 ? 2 : 3]),
  );
  assert.equal(found[0]?.data, new Uint8Array(400).fill(38));
});

test("wherever one bit is flipped, the verdict is the recovery's", async () => {
  const whole = new FakeDisk();
  await writtenLog(whole);
  const { segments } = inspectLog(whole).report;
  const seen = new Set<string>();
  for (let round = 0; round < 120; round++) {
    const disk = new FakeDisk();
    await writtenLog(disk);
    const victim = segments[prng.range(0, segments.length - 1)];
    if (victim === undefined) continue;
    const at = prng.range(0, victim.usedBytes - 1);
    disk.rot(segmentName(victim.segment), (bytes) => {
      bytes[at] = (bytes[at] ?? 0) ^ (1 << prng.range(0, 7));
    });
    const { report } = inspectLog(readOnly(disk));
    seen.add(report.verdict.kind);
    const { recovered } = await openLog("", options(disk));
    const where = `segment ${victim.segment} byte ${at}`;
    assert.is(recovered.damage.kind === "corrupt", report.verdict.kind === "refused", where);
    assert.is(recovered.lastIndex, report.lastIndex, where);
    if (report.verdict.kind === "refused" && recovered.damage.kind === "corrupt") {
      const { segment, offset } = recovered.damage;
      assert.equal(report.verdict.at, { segment, offset }, where);
    }
  }
  assert.ok(seen.has("refused") && seen.has("good"), [...seen].join());
});

test("a flipped bit in the middle names the first bad record and the whole ones behind it", async () => {
  const disk = new FakeDisk();
  await writtenLog(disk);
  disk.rot(segmentName(1), (bytes) => {
    bytes[3000] = (bytes[3000] ?? 0) ^ 1;
  });
  const { verdict } = inspectLog(readOnly(disk)).report;
  assert.is(verdict.kind, "refused");
  if (verdict.kind !== "refused") return;
  assert.is(verdict.at.segment, 1);
  assert.ok(verdict.at.offset <= 3000 && verdict.at.offset > 2500, `offset ${verdict.at.offset}`);
  assert.match(
    verdict.reason,
    /a bad record; a whole one follows at offset \d+; bad record.*although the log was durable/,
  );
});

test("a torn tail would be cut: where, how much, and nothing before it is lost", async () => {
  const disk = new FakeDisk();
  await writtenLog(disk);
  const before = inspectLog(disk).report;
  disk.rot(segmentName(before.end.segment), (bytes) => bytes.fill(0x5a, before.end.offset, before.end.offset + 100));
  const { report } = inspectLog(readOnly(disk));
  assert.equal(report.verdict, {
    kind: "cut",
    at: before.end,
    reason: "no whole record: torn, or of an earlier use of the file",
    bytes: 100,
  });
  assert.is(report.lastIndex, 60);
  const { recovered } = await openLog("", options(disk));
  assert.is(recovered.tornBytes, 100);
  assert.equal(inspectLog(disk).report.verdict, { kind: "good" });
});

test("old records of a recycled segment count for nothing", async () => {
  const disk = new FakeDisk();
  await writtenLog(disk);
  const { log } = await openLog("", options(disk));
  await log.append({ entries: entries(61, 61, 3), commit: 61 });
  log.purgeTo(55);
  let next = 62;
  // The first purged file becomes the spare: two rotations put it to use again.
  for (let round = 0; round < 6; round++, next += 5) {
    await log.append({ entries: entries(next, next + 4, 3), commit: next + 4 });
    log.purgeTo(next);
  }
  await log.close();
  const { report } = inspectLog(readOnly(disk));
  assert.is.not(report.verdict.kind, "refused");
  assert.is(report.lastIndex, next - 1);
  assert.ok(report.firstIndex > 55, `first ${report.firstIndex}`);
  assert.equal(
    [...inspectLog(disk).entries(1)].map((entry) => entry.index),
    Array.from({ length: report.lastIndex - report.firstIndex + 1 }, (_, at) => report.firstIndex + at),
  );
});

test("a running box that recycles and writes under the reader's eyes is not taken for a damaged one", async () => {
  const disk = new FakeDisk();
  await writtenLog(disk);
  const lastSegment = inspectLog(disk).report.end.segment;
  let torn = 2;
  const racing: Pick<Disk, "open" | "list"> = {
    list: () => (torn === 2 ? ["log-000000000099", ...disk.list()] : disk.list()),
    open: (name, mode) => {
      if (name === "log-000000000099") {
        torn--;
        throw new Error("ENOENT: it was recycled");
      }
      const file = disk.open(name, mode);
      if (name !== segmentName(lastSegment - 1) || torn === 0) return file;
      return {
        ...file,
        pread: (offset, length) => {
          torn--;
          const bytes = file.pread(offset, length);
          return bytes.fill(0, 5000, 5600);
        },
      };
    },
  };
  assert.equal(inspectLog(racing).report.verdict, { kind: "good" });
  assert.is(torn, 0);
});

test.run();
