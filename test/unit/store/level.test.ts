// The feature level in the log: what raises it, what refuses it, and where a build that does not know it stops.
import * as fs from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Entry, encodeEntry } from "../../../src/base/entry.ts";
import { openState } from "../../../src/store/state/state.ts";
import type { CommittedEntry, State } from "../../../src/store/state/types.ts";

const root = `/tmp/ringfence-test-level-${process.pid}`;
test.after(() => fs.rmSync(root, { recursive: true, force: true }));

const entry = (index: number, change: Partial<Entry>): CommittedEntry => ({
  ...{ index, term: 1, kind: "normal" },
  data: encodeEntry({
    ...{ version: 1, requestId: `box1:${index}`, kind: "test", at: 0, guards: [], statements: [], tags: [] },
    ...change,
  }),
});
const write = (index: number, text: string): CommittedEntry =>
  entry(index, { statements: [{ sql: "INSERT INTO note VALUES (?)", values: [text] }] });
const raise = (index: number, level: number, sql = "ALTER TABLE note ADD COLUMN author TEXT"): CommittedEntry =>
  entry(index, { kind: "feature.level", level, statements: [{ sql, values: [] }] });

async function opened(name: string, featureLevel: number): Promise<State> {
  const state = await openState(`${root}/${name}`, { featureLevel });
  if (state.appliedIndex === 0)
    await state.apply([entry(1, { statements: [{ sql: "CREATE TABLE note (text TEXT)", values: [] }] })]);
  return state;
}

/** What a call was refused with. */
async function refusal(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await work;
  } catch (error) {
    const { code, message, cause } = error as { code: string; message: string; cause?: Error };
    return { code, message: `${message} ${cause?.message ?? ""}` };
  }
  return { code: "none", message: "" };
}

test("the entry of the next level brings its migration, and the level outlives a restart", async () => {
  const state = await opened("raise", 3);
  assert.is(state.level, 1);
  const [, raised] = await state.apply([write(2, "a"), raise(3, 2), write(4, "b")].slice(0, 2));
  assert.is(raised?.outcome.kind, "done");
  assert.is(state.level, 2);
  await state.close();
  const again = await opened("raise", 3);
  assert.is(again.level, 2);
  assert.equal(await again.read("SELECT text, author FROM note"), [["a", null]]);
  await again.close();
});

test("a level that is not the next one, or whose migration fails, changes nothing on any box alike", async () => {
  const state = await opened("order", 3);
  for (const [at, entryOf] of [raise(2, 1), raise(3, 3), raise(4, 2, "ALTER TABLE missing ADD COLUMN x")].entries()) {
    const [applied] = await state.apply([entryOf]);
    assert.is(applied?.outcome.kind, "rejected", `entry ${at + 2}`);
    assert.is(state.level, 1);
  }
  await state.close();
});

test("a build that does not know the level stops before the entry, says so, and stops there again", async () => {
  for (const round of [1, 2]) {
    const state = await opened("old", 1);
    const batch = round === 1 ? [write(2, "a"), raise(3, 2), write(4, "b")] : [raise(3, 2), write(4, "b")];
    const { code, message } = await refusal(state.apply(batch));
    assert.is(code, "feature-level");
    assert.match(message, /needs feature level 2, and this build knows 1: install/);
    await state.close();
    const again = await opened("old", 1);
    assert.is(again.appliedIndex, 2);
    assert.is(again.level, 1);
    assert.equal(await again.read("SELECT text FROM note"), [["a"]]);
    await again.close();
  }
  // The newer build goes on from there.
  const newer = await opened("old", 2);
  await newer.apply([raise(3, 2)]);
  assert.is(newer.level, 2);
  await newer.close();
});

test("a state that a newer build has used is not opened, and not touched", async () => {
  const state = await opened("used", 2);
  await state.apply([raise(2, 2)]);
  await state.close();
  const { code, message } = await refusal(opened("used", 1));
  assert.is(code, "feature-level");
  assert.match(message, /The state in ".*\/used" needs feature level 2, and this build knows 1/);
  const again = await opened("used", 2);
  assert.is(again.appliedIndex, 2);
  await again.close();
});

test("a repeated request to raise the level is answered with its first outcome", async () => {
  const state = await opened("repeat", 2);
  const first = await state.apply([raise(2, 2)]);
  const repeated = { ...raise(2, 2), index: 3 };
  const [again] = await state.apply([repeated]);
  assert.equal(again?.outcome, first[0]?.outcome);
  assert.is(state.level, 2);
  await state.close();
});

test.run();
