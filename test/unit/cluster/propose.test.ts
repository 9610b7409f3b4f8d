import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Entry, Outcome } from "../../../src/base/entry.ts";
import { Calls } from "../../../src/cluster/forward.ts";
import type { Proposal } from "../../../src/cluster/ports.ts";
import { Proposals } from "../../../src/cluster/propose.ts";

const entry = (requestId: string): Entry => ({
  version: 1,
  requestId,
  kind: "test",
  at: 0,
  tags: [],
  guards: [],
  statements: [],
});
const done: Outcome = { kind: "done", index: 7, rows: [], changes: [] };

function setUp(known = new Map<string, Outcome>()) {
  const sent: Proposal[][] = [];
  const proposals = new Proposals({ outcomeOf: (id) => known.get(id) }, (batch) => sent.push([...batch]));
  return { proposals, sent };
}

test("what is proposed in one turn travels together", async () => {
  const { proposals, sent } = setUp();
  const first = proposals.propose(entry("a:1"));
  // Two calls of clients that came in one turn end up here one after the other, each in a microtask of its own.
  await Promise.resolve();
  const all = [first, proposals.propose(entry("a:2"))];
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(
    sent.map((batch) => batch.map((p) => p.requestId)),
    [["a:1", "a:2"]],
  );
  proposals.applied("a:1", done);
  proposals.applied("a:2", done);
  assert.equal(await Promise.all(all), [done, done]);
});

test("a request id that is known is answered without a second execution", async () => {
  const { proposals, sent } = setUp(new Map([["a:1", done]]));
  assert.equal(await proposals.propose(entry("a:1")), done);
  assert.equal(sent, []);
});

test("losing leadership is unknown, never failed", async () => {
  const { proposals } = setUp();
  const outcome = proposals.propose(entry("a:1"));
  proposals.leadershipLost();
  assert.is((await outcome).kind, "unknown");
});

test("what the core did not take is an error: it surely did not happen", async () => {
  const { proposals } = setUp();
  const outcome = proposals.propose(entry("a:1"));
  proposals.refused(["a:1"], "busy");
  try {
    await outcome;
    assert.unreachable();
  } catch (error) {
    assert.is((error as { code?: string }).code, "busy");
  }
});

test("a call ends at its deadline, and a late answer is nothing", async () => {
  const ids: number[] = [];
  const calls = new Calls((_to, id) => ids.push(id));
  const call = calls.call("b", Buffer.from("x"), 20);
  try {
    await call;
    assert.unreachable();
  } catch (error) {
    assert.is((error as { code?: string }).code, "call-timeout");
  }
  calls.answered("b", ids[0] ?? 0, true, Buffer.from("late"));
});

test("calls are bounded by number and by bytes, and what is over makes room again", async () => {
  const ids: number[] = [];
  const calls = new Calls((_to, id) => ids.push(id));
  const body = new Uint8Array(4 * 1024 * 1024);
  const busy = async (bytes: Uint8Array): Promise<string> =>
    calls.call("b", bytes, 60_000).then(String, (error: { code: string }) => error.code);
  const open = Array.from({ length: 16 }, () => calls.call("b", body, 60_000));
  assert.is(await busy(body), "call-busy");
  calls.answered("b", ids[0] ?? 0, true, Buffer.from("a"));
  // A second answer to the same call makes no more room.
  calls.answered("b", ids[0] ?? 0, true, Buffer.from("a"));
  open.push(calls.call("b", body, 60_000));
  assert.is(await busy(body), "call-busy");
  calls.abandon();
  const ends = await Promise.allSettled(open);
  assert.is(ends.filter(({ status }) => status === "rejected").length, 16);
  const small = Array.from({ length: 1024 }, () => calls.call("b", new Uint8Array(1), 60_000));
  assert.is(await busy(new Uint8Array(1)), "call-busy");
  calls.abandon();
  await Promise.allSettled(small);
});

test("an answer from another box than the one asked does not count", async () => {
  const ids: number[] = [];
  const calls = new Calls((_to, id) => ids.push(id));
  const call = calls.call("b", Buffer.from("x"), 1000);
  calls.answered("c", ids[0] ?? 0, true, Buffer.from("wrong"));
  calls.answered("b", ids[0] ?? 0, true, Buffer.from("right"));
  assert.is(Buffer.from(await call).toString(), "right");
});

test("calls to a leader that was replaced end at once, as unknown; those to the new one go on", async () => {
  const ids = new Map<string, number>();
  const calls = new Calls((to, id) => ids.set(to, id));
  const old = calls.call("old", Buffer.from("x"), 60_000);
  const fresh = calls.call("new", Buffer.from("x"), 60_000);
  calls.abandon("new");
  try {
    await old;
    assert.unreachable();
  } catch (error) {
    assert.is((error as { code?: string }).code, "call-abandoned");
  }
  calls.answered("new", ids.get("new") ?? 0, true, Buffer.from("done"));
  assert.is(Buffer.from(await fresh).toString(), "done");
});

test.run();
