import { test } from "uvu";
import * as assert from "uvu/assert";
import { createMethods } from "../../../src/api/methods.ts";
import { ObjectQueue } from "../../../src/api/object-queue.ts";
import { attemptId, RequestIds, readRequestId } from "../../../src/api/request-id.ts";
import { ONE_METHODS } from "../../../src/one/methods.ts";
import { SESSION_WINDOW, Sessions } from "../../../src/store/state/sessions.ts";

const shardOf = (id: string): string => id.slice(0, id.indexOf(":"));
const sequenceOf = (id: string): number => Number(id.slice(id.indexOf(":") + 1));

test("ids are unlike, tell when their client was born, and are taken by the session table in every attempt", () => {
  const ids = new RequestIds(() => 77);
  const sessions = new Sessions([], 0);
  const seen = new Set<string>();
  for (let n = 0; n < 1000; n++) {
    const taken = ids.take();
    if (taken === undefined) throw new Error("none left");
    taken.release();
    assert.match(taken.id, /^[0-9a-f]{16}-\d{1,2}@77:\d+$/);
    seen.add(taken.id);
    for (let attempt = 0; attempt <= 5; attempt++) {
      const id = attemptId(`4294967295.${taken.id}`, attempt);
      assert.is(sessions.look(id).kind, "new", id);
    }
  }
  assert.is(seen.size, 1000);
});

test("a request that takes long never falls out of the table's window: its shard waits for it", () => {
  const ids = new RequestIds(() => 0);
  const slow = ids.take();
  if (slow === undefined) throw new Error("none left");
  let highest = 0;
  for (let n = 0; n < 10_000; n++) {
    const taken = ids.take();
    if (taken === undefined) throw new Error("none left");
    if (shardOf(taken.id) === shardOf(slow.id)) highest = Math.max(highest, sequenceOf(taken.id));
    taken.release();
  }
  assert.ok(highest - sequenceOf(slow.id) < SESSION_WINDOW, `${highest}`);
  slow.release();
  const after = ids.take()?.id ?? "";
  assert.is(shardOf(after), shardOf(slow.id));
  assert.ok(sequenceOf(after) > highest);
});

test("a name that lay idle is renewed before the session table can have forgotten it, but never under an open request", () => {
  let applied = 10;
  const ids = new RequestIds(() => applied);
  const open = ids.take();
  applied += 512;
  const beside = ids.take();
  assert.is(shardOf(beside?.id ?? ""), shardOf(open?.id ?? ""), "an open request keeps its client's name");
  open?.release();
  beside?.release();
  applied += 512;
  assert.ok(ids.take()?.id.includes("-0@1034:"));
});

test("a name that stood in refused calls only is renewed: the table has never seen it", () => {
  let applied = 10;
  const ids = new RequestIds(() => applied);
  for (; applied < 600; applied++) ids.take()?.release();
  const names = new Set([ids.take()?.id.split(":")[0]]);
  assert.ok(
    [...names].every((name) => name?.endsWith("-0@522")),
    [...names].join(),
  );
});

test("a box that writes all the time is a few clients to the session table, whatever the others write", () => {
  let applied = 0;
  const ids = new RequestIds(() => applied);
  const sessions = new Sessions([], 0);
  sessions.record({ client: "cli", sequence: 1, at: 1, outcome: '{"kind":"expired"}' });
  const clients = new Set<string>();
  for (let n = 0; n < 200; n++) {
    const burst = Array.from({ length: 1 + (n % 100) }, () => ids.take());
    for (const taken of burst) {
      if (taken === undefined) throw new Error("none left");
      applied += 3;
      const [client = "", sequence] = taken.id.split(":");
      assert.is(sessions.look(taken.id).kind, "new", taken.id);
      sessions.record({ client, sequence: Number(sequence), at: applied, outcome: "{}" });
      clients.add(client);
      taken.release(applied);
    }
  }
  assert.ok(clients.size <= 64, `${clients.size} clients`);
  assert.is(sessions.look("cli:1").kind, "known", "nobody else was crowded out");
});

test("when every shard waits there are no ids: that is an answer", () => {
  const ids = new RequestIds(() => 0);
  let count = 0;
  while (ids.take() !== undefined) count++;
  assert.is(count, 32 * 60);
});

test("a client's own id is taken when the session table would take it", () => {
  for (const good of ["cli-1:1", "a@5:0", `${"x".repeat(64)}:999999999999999`]) assert.is(readRequestId(good), good);
  for (const bad of [
    null,
    "",
    "a",
    "a:",
    ":1",
    "a b:1",
    "a:1x",
    "a:b:1",
    `${"x".repeat(65)}:1`,
    "a:1234567890123456",
  ]) {
    assert.is(readRequestId(bad), undefined, String(bad));
  }
});

test("work of one key runs in order, one at a time; a failure does not stop the next; the queue is bounded", async () => {
  const queue = new ObjectQueue();
  const order: string[] = [];
  let running = 0;
  const work = (name: string) => async (): Promise<void> => {
    assert.is(++running, 1);
    await Promise.resolve();
    order.push(name);
    running--;
    if (name === "b") throw new Error("b failed");
  };
  const all = ["a", "b", "c"].map((name) => queue.run("k", work(name)) ?? Promise.reject(new Error("full")));
  const settled = await Promise.allSettled(all);
  assert.equal(order, ["a", "b", "c"]);
  assert.equal(
    settled.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  let finish = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const waiting: Promise<void>[] = [];
  for (let next = queue.run("k", () => gate); next !== undefined; next = queue.run("k", () => gate)) waiting.push(next);
  assert.is(waiting.length, 512);
  assert.ok(
    queue.run("other", async () => undefined),
    "another key has a queue of its own",
  );
  finish();
  await Promise.all(waiting);
  assert.ok(queue.run("k", async () => undefined));
});

test("the table of methods takes other folders' methods, and no name twice", () => {
  const [first] = ONE_METHODS;
  if (first === undefined) throw new Error("no methods");
  const methods = createMethods([...ONE_METHODS, { ...first, name: "ringfence.more" }]);
  assert.is(methods.size, ONE_METHODS.length + 1);
  assert.throws(() => createMethods([...ONE_METHODS, first]), /twice/);
});

test("parameters with a default come last, so that they can be left out", () => {
  for (const { name, parameters } of ONE_METHODS) {
    const firstOptional = parameters.findIndex((parameter) => parameter.default !== undefined);
    if (firstOptional === -1) continue;
    assert.ok(
      parameters.slice(firstOptional).every((parameter) => parameter.default !== undefined),
      name,
    );
  }
});

test.run();
