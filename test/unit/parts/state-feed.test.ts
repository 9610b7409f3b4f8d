import { test } from "uvu";
import * as assert from "uvu/assert";
import { StateFeed } from "../../../src/parts/state-feed.ts";
import type { LogEntry } from "../../../src/raft/types.ts";
import type { Applied, CommittedEntry, State } from "../../../src/store/state/types.ts";

const entry = (index: number): LogEntry => ({ term: 1, index, kind: "normal", data: new Uint8Array(0) });

function fakeState(appliedIndex: number, entryMs = 0) {
  const batches: number[][] = [];
  const state = {
    appliedIndex,
    async apply(entries: readonly CommittedEntry[]): Promise<Applied[]> {
      batches.push(entries.map((one) => one.index));
      await Bun.sleep(1 + entryMs * entries.length);
      state.appliedIndex = entries.at(-1)?.index ?? state.appliedIndex;
      return entries.map((one) => ({
        index: one.index,
        requestId: "",
        outcome: { kind: "done", index: one.index, rows: [], changes: [] },
      }));
    },
  };
  return { state: state as unknown as State, batches };
}

test("entries are applied in order, one batch at a time, what arrives meanwhile together", async () => {
  const { state, batches } = fakeState(0);
  const applied: number[] = [];
  const feed = new StateFeed(
    state,
    (results) => applied.push(...results.map((one) => one.index)),
    (error) => assert.unreachable(String(error)),
  );
  for (let index = 1; index <= 5; index++) feed.push([entry(index)]);
  while (applied.length < 5) await Bun.sleep(1);
  assert.equal(applied, [1, 2, 3, 4, 5]);
  assert.equal(batches[0], [1]);
  assert.equal(batches[1], [2, 3, 4, 5]);
});

test("batches are as large as the state is fast, so that the watchdog is answered in time", async () => {
  const sizesOf = async (entryMs: number, count: number): Promise<number[]> => {
    const { state, batches } = fakeState(0, entryMs);
    const feed = new StateFeed(
      state,
      () => undefined,
      (error) => assert.unreachable(String(error)),
    );
    feed.push(Array.from({ length: count }, (_, index) => entry(index + 1)));
    while (state.appliedIndex < count) await Bun.sleep(1);
    return batches.map((batch) => batch.length);
  };
  assert.equal(await sizesOf(0, 1008), [16, 32, 64, 128, 256, 256, 256]);
  assert.equal(await sizesOf(70, 32), [16, 8, 8]);
});

test("what the state has applied already is not applied again", async () => {
  const { state, batches } = fakeState(3);
  let isDone = false;
  new StateFeed(
    state,
    () => {
      isDone = true;
    },
    () => undefined,
  ).push([entry(2), entry(3), entry(4)]);
  while (!isDone) await Bun.sleep(1);
  assert.equal(batches, [[4]]);
});

test("a state that fails is reported, and nothing is applied after it", async () => {
  let applies = 0;
  const state = {
    appliedIndex: 0,
    apply: () => Promise.reject(new Error(`disk full ${++applies}`)),
  } as unknown as State;
  const errors: string[] = [];
  const feed = new StateFeed(
    state,
    () => assert.unreachable(),
    (error) => errors.push(String(error)),
  );
  feed.push([entry(1)]);
  await Bun.sleep(5);
  feed.push([entry(2)]);
  await Bun.sleep(5);
  assert.equal(errors, ["Error: disk full 1"]);
  assert.is(applies, 1);
});

test.run();
