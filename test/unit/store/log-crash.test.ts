import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng, type Prng } from "../../../src/base/prng.ts";
import { openLog } from "../../../src/store/log/log.ts";
import type { Append, Log, LogEntry, Recovered } from "../../../src/store/log/types.ts";
import { FakeDisk } from "../../support/fake-disk.ts";

const SEGMENT_BYTES = 8192;

interface Content {
  readonly vote: string;
  readonly membership: string;
  /** Of the indexes from `first` on. */
  readonly entries: readonly string[];
  readonly first: number;
}

/** The log's content after each record of a workload: what a recovery may find, but for what was purged. */
class Model {
  #entries: string[] = [];
  #vote = "";
  #membership = "";
  /** states[i]: after i records. */
  readonly states: Content[] = [{ vote: "", membership: "", entries: [], first: 1 }];
  /** The largest index that the log was allowed to forget. */
  purgeable = 0;

  /** Whether the log may hold `found`, with at least the first `acknowledged` records. */
  allows(found: Content, acknowledged: number): boolean {
    if (found.first > this.purgeable + 1) return false;
    return this.states
      .slice(acknowledged)
      .some(
        ({ vote, membership, entries }) =>
          vote === found.vote &&
          membership === found.membership &&
          entries.slice(found.first - 1).join() === found.entries.join() &&
          entries.length >= found.first - 1,
      );
  }

  /** Adds the append's records in the order of the disk; returns how many records there are then. */
  take({ entries, hardState, membership }: Append): number {
    if (hardState !== undefined) {
      this.#vote = `${hardState.term}/${hardState.vote}/${hardState.promiseMs}`;
      this.#push();
    }
    const first = entries[0]?.index;
    if (first !== undefined && first <= this.#entries.length) {
      this.#entries.length = first - 1;
      this.#push();
    }
    if (membership !== undefined) {
      this.#membership = `${membership.index}=${membership.bytes.join()}`;
      this.#push();
    }
    for (const entry of entries) {
      this.#entries.push(entryText(entry));
      this.#push();
    }
    return this.states.length - 1;
  }

  #push(): void {
    this.states.push({ vote: this.#vote, membership: this.#membership, entries: [...this.#entries], first: 1 });
  }
}

function entryText({ index, term, kind, data }: LogEntry): string {
  return `${index} ${term} ${kind} ${data.length} ${data[0] ?? ""}`;
}

function contentOf(log: Log, { hardState, membership }: Recovered): Content {
  const vote = hardState === undefined ? "" : `${hardState.term}/${hardState.vote}/${hardState.promiseMs}`;
  const members = membership === undefined ? "" : `${membership.index}=${membership.bytes.join()}`;
  const first = log.firstIndex();
  const entries = log.entries(first, log.lastIndex(), Number.POSITIVE_INFINITY);
  return { vote, membership: members, entries: entries.map(entryText), first };
}

/** Appends of every kind: votes, batches, truncations, memberships, payloads up to a third of a segment. */
function workload(prng: Prng, count: number): Append[] {
  const appends: Append[] = [];
  let last = 0;
  let term = 1;
  let commit = 0;
  for (let n = 0; n < count; n++) {
    let first = last + 1;
    if (last > commit && prng.chance(0.15)) {
      term++;
      first = prng.range(commit + 1, last);
    }
    const entries: LogEntry[] = [];
    for (let i = prng.range(0, 4); i > 0; i--) {
      const size = prng.chance(0.1) ? prng.range(1500, 2600) : prng.range(0, 120);
      const data = new Uint8Array(size).fill(prng.range(1, 255));
      entries.push({ index: first + entries.length, term, kind: prng.chance(0.1) ? "membership" : "normal", data });
    }
    if (entries.length > 0) last = first + entries.length - 1;
    const voted = prng.chance(0.2);
    const changed = commit > 0 && prng.chance(0.1);
    commit = prng.range(commit, last);
    appends.push({
      entries,
      commit,
      hardState: voted ? { term, vote: `box${n}`, promiseMs: n, commit } : undefined,
      membership: changed ? { index: commit, bytes: new Uint8Array([n]) } : undefined,
    });
  }
  return appends;
}

const options = (disk: FakeDisk, prng: Prng) => ({
  disk,
  segmentSizeBytes: SEGMENT_BYTES,
  cacheBytes: 1000,
  salt: () => prng.uint32(),
  after: () => () => undefined,
});

/** Runs the workload until its end or the power's; returns how many records were acknowledged. */
async function run(disk: FakeDisk, appends: readonly Append[], model: Model, prng: Prng): Promise<number> {
  let acknowledged = 0;
  try {
    const { log } = await openLog("", options(disk, prng));
    const pending: Promise<void>[] = [];
    for (const append of appends) {
      const records = model.take(append);
      const done = log.append(append).then(() => {
        acknowledged = Math.max(acknowledged, records);
      });
      pending.push(done.catch(() => undefined));
      if (prng.chance(0.05)) {
        model.purgeable = Math.max(model.purgeable, append.commit);
        log.purgeTo(append.commit);
      }
      if (prng.chance(0.5)) await done;
    }
    await Promise.all(pending);
  } catch {
    // The power went; what was acknowledged until then counts.
  }
  return acknowledged;
}

async function recoverAndCheck(
  disk: FakeDisk,
  model: Model,
  acknowledged: number,
  prng: Prng,
  where: string,
): Promise<void> {
  const { log, recovered } = await openLog("", options(disk, prng));
  assert.equal(recovered.damage, { kind: "none" }, where);
  const content = contentOf(log, recovered);
  assert.ok(
    model.allows(content, acknowledged),
    `${where}: recovered neither what was acknowledged nor a longer prefix`,
  );
  assert.ok(recovered.commit <= recovered.lastIndex, where);
  // What was cut never comes back, also when nothing was written in between.
  disk.crash(prng);
  const second = await openLog("", options(disk, prng));
  assert.equal(contentOf(second.log, second.recovered), content, where);
  // It goes on, and what it takes now is there next time, whatever old bytes lie behind the cut.
  const next = log.lastIndex() + 1;
  const data = new Uint8Array([9]);
  await second.log.append({ entries: [{ index: next, term: 99, kind: "normal", data }], commit: recovered.commit });
  disk.crash(prng);
  const again = await openLog("", options(disk, prng));
  assert.is(again.recovered.lastIndex, next, where);
  assert.is(again.log.term(next), 99, where);
}

test("whatever step the power goes at, what was acknowledged is there and nothing else", async () => {
  for (let seed = 1; seed <= 16; seed++) {
    const appends = workload(createPrng(seed), 60);
    const whole = new FakeDisk();
    await run(whole, appends, new Model(), createPrng(seed));
    assert.ok(whole.steps > 80, `the workload has ${whole.steps} steps`);
    for (let step = 0; step < whole.steps; step++) {
      const disk = new FakeDisk();
      disk.powerLostAt = step;
      const model = new Model();
      const acknowledged = await run(disk, appends, model, createPrng(seed));
      const prng = createPrng(seed * 1000 + step);
      disk.crash(prng);
      await recoverAndCheck(disk, model, acknowledged, prng, `seed ${seed} step ${step}`);
    }
  }
});

test("a second power cut during the recovery loses nothing more", async () => {
  const appends = workload(createPrng(7), 30);
  const whole = new FakeDisk();
  await run(whole, appends, new Model(), createPrng(7));
  for (let step = 5; step < whole.steps; step += 3) {
    for (let second = 0; second < 6; second++) {
      const disk = new FakeDisk();
      disk.powerLostAt = step;
      const model = new Model();
      const acknowledged = await run(disk, appends, model, createPrng(7));
      const prng = createPrng(step * 100 + second);
      disk.crash(prng);
      disk.powerLostAt = disk.steps + second;
      await openLog("", options(disk, prng)).catch(() => undefined);
      disk.crash(prng);
      await recoverAndCheck(disk, model, acknowledged, prng, `step ${step}, then ${second}`);
    }
  }
});

test("what a killed process left unsynced is made durable before anything is built on it", async () => {
  const appends = workload(createPrng(5), 30);
  const whole = new FakeDisk();
  await run(whole, appends, new Model(), createPrng(5));
  for (let step = 5; step < whole.steps; step += 2) {
    for (let second = 0; second < 6; second++) {
      const disk = new FakeDisk();
      disk.powerLostAt = step;
      const model = new Model();
      const acknowledged = await run(disk, appends, model, createPrng(5));
      const prng = createPrng(step * 100 + second);
      disk.restartProcess();
      disk.powerLostAt = disk.steps + second;
      await openLog("", options(disk, prng)).catch(() => undefined);
      disk.crash(prng);
      await recoverAndCheck(disk, model, acknowledged, prng, `step ${step}, then ${second}`);
    }
  }
});

test("a process that is killed without a power cut loses nothing that was written", async () => {
  const appends = workload(createPrng(11), 60);
  const disk = new FakeDisk();
  const model = new Model();
  await run(disk, appends, model, createPrng(11));
  const { log, recovered } = await openLog("", options(disk, createPrng(12)));
  assert.ok(model.allows(contentOf(log, recovered), model.states.length - 1));
  assert.ok(log.firstIndex() > 1, "the workload purges");
});

test.run();
