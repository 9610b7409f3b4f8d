// A disk that fails, rots and lies: whatever it does, the log acknowledges nothing that it does not keep, and serves
// nothing that was not written. LOG_FAULT_SEEDS=1000 is the long form.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng, type Prng } from "../../../src/base/prng.ts";
import { inspectLog } from "../../../src/store/log/inspect.ts";
import { openLog } from "../../../src/store/log/log.ts";
import { recordSizeBytes } from "../../../src/store/log/record.ts";
import { SEGMENT_DATA_OFFSET, segmentName, segmentOfName } from "../../../src/store/log/segment.ts";
import { FakeDisk } from "../../support/fake-disk.ts";
import { contentOf, LogModel, logOptions, logWorkload, recoverAndCheck, runLog } from "../../support/log-workload.ts";

const SEEDS = Number(process.env["LOG_FAULT_SEEDS"] ?? 12);
const SECTOR_BYTES = 512;
const CLOSING_GROUP_BYTES = recordSizeBytes(16);

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => "resolved",
    (error: { code?: string }) => error.code ?? String(error),
  );
}

/** How many steps the workload of `seed` takes on a good disk. */
async function stepsOf(seed: number, appends: ReturnType<typeof logWorkload>): Promise<number> {
  const disk = new FakeDisk();
  await runLog(disk, appends, new LogModel(), createPrng(seed));
  return disk.steps;
}

test("whichever call fails, nothing is acknowledged afterwards that is not kept, with and without a power cut", async () => {
  let failures = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const prng = createPrng(seed + 5000);
    const appends = logWorkload(createPrng(seed), 40);
    const steps = await stepsOf(seed, appends);
    for (let step = prng.range(0, 6); step < steps; step += prng.range(1, 7)) {
      const disk = new FakeDisk();
      disk.failAt = step;
      const model = new LogModel();
      const acknowledged = await runLog(disk, appends, model, createPrng(seed));
      failures++;
      // The pages of a failed sync are clean for the kernel, and not on the disk: the next process reads them all the same.
      if (prng.chance(0.5)) disk.crash(prng);
      else disk.restartProcess();
      await recoverAndCheck(disk, model, acknowledged, prng, `seed ${seed} step ${step}`);
    }
  }
  assert.ok(failures > SEEDS * 10, `${failures} failures`);
});

test("a log that was purged and has lost the beginning of its oldest segment is damaged: its vote was there", async () => {
  const disk = new FakeDisk();
  const { log } = await openLog("", logOptions(disk, createPrng(1)));
  const hardState = { term: 4, vote: "a", promiseMs: 9, commit: 1 };
  const entry = (index: number) => ({ index, term: 4, kind: "normal", data: new Uint8Array(2000) }) as const;
  await log.append({ entries: [entry(1)], hardState, commit: 1 });
  for (let index = 2; index <= 30; index++) await log.append({ entries: [entry(index)], commit: index - 1 });
  log.purgeTo(28);
  await log.append({ entries: [entry(31)], commit: 30 });
  await log.close();
  for (const name of disk.list().filter((each) => segmentOfName(each) !== undefined)) {
    disk.rot(name, (bytes) => bytes.fill(0, SEGMENT_DATA_OFFSET));
  }
  const { recovered } = await openLog("", logOptions(disk, createPrng(2)));
  assert.is(recovered.damage.kind, "corrupt");
});

test("a failed sync poisons: the disk is not touched again and every later append is refused", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const prng = createPrng(seed);
    const disk = new FakeDisk();
    const poisons: Error[] = [];
    const { log } = await openLog("", { ...logOptions(disk, prng), onPoison: (error) => poisons.push(error) });
    const appends = logWorkload(createPrng(seed), 20);
    const at = prng.range(0, appends.length - 1);
    let isPoisoned = false;
    for (const [n, append] of appends.entries()) {
      if (n === at) disk.failNext = prng.pick(["pwrite", "fdatasync"]);
      const steps = disk.steps;
      const code = await codeOf(log.append(append));
      if (isPoisoned) assert.equal([code, disk.steps], ["log-poisoned", steps], `seed ${seed}`);
      isPoisoned ||= code === "log-poisoned";
    }
    if (isPoisoned) assert.is(poisons.length, 1);
  }
});

/** Something that a disk does to bytes at rest. Returns what, where it ends, or undefined when the bytes stayed the same. */
function rot(
  disk: FakeDisk,
  prng: Prng,
): { readonly what: string; readonly name: string; readonly end: number } | undefined {
  const names = disk.list().filter((name) => segmentOfName(name) !== undefined);
  const name = prng.pick(names);
  const kind = prng.pick(["bit", "zeros", "garbage", "misdirected"]);
  const source = disk.open(prng.pick(names), "read");
  let change: ReturnType<typeof rot>;
  disk.rot(name, (bytes) => {
    const before = bytes.slice();
    const sector = prng.range(0, Math.floor(bytes.length / SECTOR_BYTES) - 1) * SECTOR_BYTES;
    const place = bytes.subarray(sector, sector + SECTOR_BYTES);
    if (kind === "bit") {
      const at = prng.range(0, bytes.length - 1);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << prng.range(0, 7));
    } else if (kind === "zeros") place.fill(0);
    else if (kind === "garbage") for (let at = 0; at < place.length; at++) place[at] = prng.range(0, 255);
    else
      place.set(source.pread(prng.range(0, Math.floor(bytes.length / SECTOR_BYTES) - 1) * SECTOR_BYTES, SECTOR_BYTES));
    const end = bytes.findLastIndex((byte, at) => byte !== before[at]) + 1;
    if (end > 0) change = { what: `${kind} in ${name} up to ${end}`, name, end };
  });
  return change;
}

test("rot in a closed log is damage or harms nothing: no acknowledged record is lost in silence, none is made up", async () => {
  const seen = { damaged: 0, harmless: 0 };
  for (let seed = 1; seed <= SEEDS * 8; seed++) {
    const prng = createPrng(seed);
    const disk = new FakeDisk();
    const model = new LogModel();
    const appends = logWorkload(createPrng(seed), 30);
    const { log } = await openLog("", logOptions(disk, prng));
    let acknowledged = 0;
    for (const append of appends) {
      acknowledged = model.take(append);
      await log.append(append);
      if (prng.chance(0.05)) {
        model.purgeable = Math.max(model.purgeable, append.commit);
        log.purgeTo(append.commit);
      }
    }
    await log.close();
    const { end } = inspectLog(disk).report;
    const rotten = rot(disk, prng);
    if (rotten === undefined) continue;
    // The one undecidable case (DESIGN.md): a sector that takes the closing group and what it speaks for with it.
    if (rotten.name === segmentName(end.segment) && rotten.end > end.offset - CLOSING_GROUP_BYTES) continue;
    const where = `seed ${seed}: ${rotten.what}`;
    const { log: found, recovered } = await openLog("", logOptions(disk, prng));
    const content = contentOf(found, recovered);
    if (recovered.damage.kind === "none") {
      seen.harmless++;
      assert.ok(model.allows(content, acknowledged), `${where}: an acknowledged record is gone, or another one there`);
      await found.close();
      continue;
    }
    seen.damaged++;
    const steps = disk.steps;
    assert.is(await codeOf(found.append({ entries: [], commit: 0 })), "log-damaged", where);
    found.purgeTo(1000);
    await found.close();
    assert.is(disk.steps, steps, `${where}: a damaged log was written`);
    // What is left of it is a prefix of what was written: useful to a person, not to a voter.
    model.purgeable = Number.POSITIVE_INFINITY;
    if (content.entries.length > 0) assert.ok(model.allows(content, 0), `${where}: entries that nobody wrote`);
  }
  assert.ok(seen.damaged > SEEDS && seen.harmless > SEEDS, JSON.stringify(seen));
});

test("rot after the last sync is a torn tail: cut, and what was acknowledged is there", async () => {
  for (let seed = 1; seed <= SEEDS * 2; seed++) {
    const prng = createPrng(seed);
    const appends = logWorkload(createPrng(seed), 30);
    const steps = await stepsOf(seed, appends);
    const disk = new FakeDisk();
    disk.powerLostAt = prng.range(10, steps - 1);
    const model = new LogModel();
    const acknowledged = await runLog(disk, appends, model, createPrng(seed));
    disk.crash(prng);
    const { log } = await openLog("", logOptions(disk, prng));
    await log.close();
    const last =
      disk
        .list()
        .filter((name) => segmentOfName(name) !== undefined)
        .sort()
        .at(-1) ?? "";
    disk.rot(last, (bytes) => {
      const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
      for (let at = Math.ceil((end + 64) / 8) * 8; at < bytes.length; at++) bytes[at] = prng.range(0, 255);
    });
    await recoverAndCheck(disk, model, acknowledged, prng, `seed ${seed}`);
  }
});

test("a disk that cannot be read is an error of the opening, never a shorter log", async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const prng = createPrng(seed);
    const disk = new FakeDisk();
    const model = new LogModel();
    const acknowledged = await runLog(disk, logWorkload(createPrng(seed), 30), model, createPrng(seed));
    disk.restartProcess();
    const { steps } = disk;
    disk.failNext = "pread";
    assert.is(await codeOf(openLog("", logOptions(disk, prng))), "log-open-failed");
    assert.is(disk.steps, steps, "nothing was cut for a read that failed");
    await recoverAndCheck(disk, model, acknowledged, prng, `seed ${seed}`);
  }
});

test.run();
