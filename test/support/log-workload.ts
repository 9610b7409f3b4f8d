/** What a log may be asked to do, at random, and what it may then hold after whatever happened to its disk. */
import * as assert from "uvu/assert";
import type { Prng } from "../../src/base/prng.ts";
import { openLog } from "../../src/store/log/log.ts";
import type { Append, Log, LogEntry, LogOptions, MembershipRecord, Recovered } from "../../src/store/log/types.ts";
import type { FakeDisk } from "./fake-disk.ts";

export const SEGMENT_BYTES = 8192;

export interface Content {
  readonly vote: string;
  readonly membership: string;
  /** Of the indexes from `first` on. */
  readonly entries: readonly string[];
  readonly first: number;
}

/** The log's content after each record of a workload: what a recovery may find, but for what was purged. */
export class LogModel {
  #entries: string[] = [];
  #terms: number[] = [];
  #vote = "";
  #membership = "";
  #membershipIndex = 0;
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
  take({ entries, hardState, membership, snapshot }: Append): number {
    if (hardState !== undefined) {
      this.#vote = `${hardState.term}/${hardState.vote}/${hardState.promiseMs}`;
      this.#push();
    }
    if (snapshot !== undefined) {
      const { index, term } = snapshot;
      if (this.#terms[index - 1] !== term) {
        this.#entries = Array.from({ length: index }, () => "in the snapshot");
        this.#terms = Array.from({ length: index }, () => term);
      }
      this.purgeable = Math.max(this.purgeable, index);
      this.#take(snapshot.membership);
      this.#push();
    }
    const first = entries[0]?.index;
    if (first !== undefined && first <= this.#entries.length) {
      this.#entries.length = first - 1;
      this.#terms.length = first - 1;
      this.#push();
    }
    if (membership !== undefined) {
      this.#take(membership);
      this.#push();
    }
    for (const entry of entries) {
      this.#entries.push(entryText(entry));
      this.#terms.push(entry.term);
      this.#push();
    }
    return this.states.length - 1;
  }

  /** The newest counts: a snapshot may bring an older one. */
  #take({ index, bytes }: MembershipRecord): void {
    if (index < this.#membershipIndex) return;
    this.#membershipIndex = index;
    this.#membership = `${index}=${bytes.join()}`;
  }

  #push(): void {
    this.states.push({ vote: this.#vote, membership: this.#membership, entries: [...this.#entries], first: 1 });
  }
}

function entryText({ index, term, kind, data }: LogEntry): string {
  return `${index} ${term} ${kind} ${data.length} ${data[0] ?? ""}`;
}

export function contentOf(log: Log, { hardState, membership }: Recovered): Content {
  const vote = hardState === undefined ? "" : `${hardState.term}/${hardState.vote}/${hardState.promiseMs}`;
  const members = membership === undefined ? "" : `${membership.index}=${membership.bytes.join()}`;
  const first = log.firstIndex();
  const entries = log.entries(first, log.lastIndex(), Number.POSITIVE_INFINITY);
  return { vote, membership: members, entries: entries.map(entryText), first };
}

/** Appends of every kind: votes, batches, truncations, memberships, snapshots, payloads up to a third of a segment. */
export function logWorkload(prng: Prng, count: number): Append[] {
  const appends: Append[] = [];
  let last = 0;
  let term = 1;
  let commit = 0;
  let terms: number[] = [];
  for (let n = 0; n < count; n++) {
    if (prng.chance(0.08)) {
      // One that the log holds, and what follows it stays; or one that conflicts with what it holds, or lies beyond it.
      const isHeld = last > commit && prng.chance(0.5);
      const index = isHeld ? prng.range(commit + 1, last) : prng.range(commit + 1, last + 10);
      const snapshotTerm = isHeld ? (terms[index - 1] ?? 0) : ++term;
      if (!isHeld) {
        last = index;
        terms = Array.from({ length: index }, () => snapshotTerm);
      }
      commit = index;
      const membership = { index: prng.range(Math.max(1, commit - 5), commit), bytes: new Uint8Array([n, 7]) };
      appends.push({ entries: [], commit, snapshot: { index, term: snapshotTerm, membership } });
      continue;
    }
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
    if (entries.length > 0) terms.length = first - 1;
    for (const entry of entries) terms.push(entry.term);
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

export const logOptions = (disk: FakeDisk, prng: Prng): LogOptions => ({
  disk,
  segmentSizeBytes: SEGMENT_BYTES,
  cacheBytes: 1000,
  salt: () => prng.uint32(),
  after: () => () => undefined,
});

/** Runs the workload until its end or the power's; returns how many records were acknowledged. */
export async function runLog(disk: FakeDisk, appends: readonly Append[], model: LogModel, prng: Prng): Promise<number> {
  let acknowledged = 0;
  try {
    const { log } = await openLog("", logOptions(disk, prng));
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

export async function recoverAndCheck(
  disk: FakeDisk,
  model: LogModel,
  acknowledged: number,
  prng: Prng,
  where: string,
): Promise<void> {
  const { log, recovered } = await openLog("", logOptions(disk, prng));
  assert.equal(recovered.damage, { kind: "none" }, where);
  const content = contentOf(log, recovered);
  assert.ok(
    model.allows(content, acknowledged),
    `${where}: recovered neither what was acknowledged nor a longer prefix`,
  );
  assert.ok(recovered.commit <= recovered.lastIndex, where);
  // What was cut never comes back, also when nothing was written in between.
  disk.crash(prng);
  const second = await openLog("", logOptions(disk, prng));
  assert.equal(contentOf(second.log, second.recovered), content, where);
  // It goes on, and what it takes now is there next time, whatever old bytes lie behind the cut.
  const next = log.lastIndex() + 1;
  const data = new Uint8Array([9]);
  await second.log.append({ entries: [{ index: next, term: 99, kind: "normal", data }], commit: recovered.commit });
  disk.crash(prng);
  const again = await openLog("", logOptions(disk, prng));
  assert.is(again.recovered.lastIndex, next, where);
  assert.is(again.log.term(next), 99, where);
}
