import { test } from "uvu";
import * as assert from "uvu/assert";
import { createHandshakeGate } from "../../../src/hypervisor/handshake-gate.ts";
import { KeyedQueue } from "../../../src/hypervisor/keyed-queue.ts";

/** Tasks that end when the test says so. */
function controlled(queue: KeyedQueue) {
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const put = (name: string, key: string): Promise<string> | undefined =>
    queue.run(key, () => {
      started.push(name);
      return new Promise((resolve) => ends.set(name, () => resolve(name)));
    });
  return { started, put, end: (name: string) => ends.get(name)?.() };
}

test("tasks of one key keep their order, others pass them, and no more than allowed run", async () => {
  const queue = new KeyedQueue(2, 10);
  const { started, put, end } = controlled(queue);
  const first = put("a1", "a");
  void put("a2", "a");
  void put("b1", "b");
  void put("c1", "c");
  assert.equal(started, ["a1", "b1"]);
  end("a1");
  await first;
  await Promise.resolve();
  assert.equal(started, ["a1", "b1", "a2"], "a2 was there before c1");
});

test("a task that fails frees its place and its key", async () => {
  const queue = new KeyedQueue(1, 10);
  const failing = queue.run("a", () => Promise.reject(new Error("no")));
  const next = queue.run("a", async () => "yes");
  await failing?.then(
    () => assert.unreachable(),
    () => undefined,
  );
  assert.is(await next, "yes");
});

test("a full queue refuses at once", () => {
  const queue = new KeyedQueue(1, 1);
  const { put, started } = controlled(queue);
  void put("1", "a");
  void put("2", "a");
  assert.is(put("3", "a"), undefined);
  assert.equal(started, ["1"]);
});

test("no more than 4 are in a handshake at a time, and each one gets its turn", async () => {
  const gate = createHandshakeGate(4);
  let inside = 0;
  let most = 0;
  let done = 0;
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      const leave = await gate.enter();
      inside++;
      most = Math.max(most, inside);
      await Promise.resolve();
      inside--;
      leave();
      done++;
    }),
  );
  assert.is(most, 4);
  assert.is(done, 50);
});

test.run();
