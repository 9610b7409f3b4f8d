import { test } from "uvu";
import * as assert from "uvu/assert";
import { Checkpointer } from "../../../src/store/state/checkpointer.ts";
import type { Database } from "../../../src/store/state/types.ts";

/** A database whose checkpoints end when they are told to. */
class FakeDatabase implements Database {
  readonly waiting: ((row: readonly [number, number, number]) => void)[] = [];
  readonly asked: string[] = [];

  all(sql: string): Promise<number[][]> {
    this.asked.push(sql);
    return new Promise((resolve) => this.waiting.push((row) => resolve([[...row]])));
  }
  async settle(row: readonly [number, number, number]): Promise<void> {
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
    this.waiting.shift()?.(row);
    for (let turn = 0; turn < 10; turn++) await Promise.resolve();
  }
  run = (): Promise<never> => Promise.reject(new Error("not asked for"));
  allRows = (): Promise<never> => Promise.reject(new Error("not asked for"));
  script = (): Promise<never> => Promise.reject(new Error("not asked for"));
  interrupt = (): void => undefined;
  close = (): Promise<void> => Promise.resolve();
}

test("durable is the index noted before the call, and only when all was moved and nothing was busy", async () => {
  const database = new FakeDatabase();
  const checkpointer = new Checkpointer(database);
  for (const [row, index, complete, durable] of [
    [[0, 10, 9], 5, false, 0],
    [[1, 10, 10], 6, false, 0],
    [[0, 10, 10], 7, true, 7],
    [[0, 12, 11], 9, false, 7],
    [[0, 0, 0], 9, true, 9],
  ] as const) {
    const run = checkpointer.run(index);
    await database.settle(row);
    assert.is(await run, complete);
    assert.is(checkpointer.durableIndex, durable);
  }
});

test("one runs at a time, and who comes meanwhile gets one that began later", async () => {
  const database = new FakeDatabase();
  const checkpointer = new Checkpointer(database);
  const first = checkpointer.run(1);
  const second = checkpointer.run(2);
  await database.settle([0, 1, 1]);
  assert.is(await first, true);
  assert.is(checkpointer.durableIndex, 1);
  assert.is(database.asked.length, 2);
  await database.settle([0, 1, 1]);
  assert.is(await second, true);
  assert.is(checkpointer.durableIndex, 2);
});

test("a checkpoint is due after some 4 MiB, not while one runs, and counts anew from its start", async () => {
  const database = new FakeDatabase();
  const checkpointer = new Checkpointer(database);
  let batches = 0;
  while (!checkpointer.wrote(1, 1000)) batches++;
  assert.ok(batches > 150 && batches < 400, `${batches} batches`);
  const run = checkpointer.run(1);
  assert.is(checkpointer.wrote(1, 100_000_000), false, "one runs");
  await database.settle([0, 5, 5]);
  await run;
  assert.is(checkpointer.wrote(1, 0), true, "what was written meanwhile");
});

test("a WAL that load keeps from beginning anew asks for a checkpoint with the writer waiting, once", async () => {
  const database = new FakeDatabase();
  const checkpointer = new Checkpointer(database);
  const small = checkpointer.run(1);
  await database.settle([0, 4095, 4095]);
  await small;
  assert.is(checkpointer.wantsReset, false);
  const large = checkpointer.run(1);
  await database.settle([0, 4096, 4096]);
  await large;
  assert.is(checkpointer.wantsReset, true);
  checkpointer.resetTried();
  assert.is(checkpointer.wantsReset, false);
});

test.run();
