import { test } from "uvu";
import * as assert from "uvu/assert";
import { FrontEnd } from "../../../src/api/front-end.ts";
import { createMethods } from "../../../src/api/methods.ts";
import type { ApiPorts, RoleView } from "../../../src/api/ports.ts";
import { CodedError } from "../../../src/base/error.ts";
import { ONE_METHODS } from "../../../src/one/methods.ts";
import {
  type Answer,
  encodeCall,
  ONEADMIN,
  type RpcArgument,
  readAnswer,
  SoloFrontEnd,
} from "../../support/solo-front-end.ts";

let box: SoloFrontEnd;
test.before.each(async () => {
  box = await SoloFrontEnd.start();
});
test.after.each(() => box.stop());

const SOLO: RoleView = { kind: "solo", ready: true, leaderKnown: true };
const GONE: RoleView = { kind: "follower", ready: false, leaderKnown: false };

/** A call with a request id of its own, as our commands send it. */
async function callWithId(id: string, method: string, ...args: readonly RpcArgument[]): Promise<Answer> {
  return readAnswer(await box.post(encodeCall(method, [ONEADMIN, ...args]), { "Ringfence-Request": id }));
}
async function names(): Promise<string[]> {
  return (await box.state.read("SELECT name FROM template ORDER BY id")).map(([name]) => String(name));
}
/** Resolves once `condition` holds; the test's own time limit ends it otherwise. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

test("a write is one entry with guards, tags and the leader's time, and answers the new id", async () => {
  const answer = await box.call("one.template.allocate", "NAME=a\nCPU=1");
  assert.is(answer.text, "0");
  const [entry] = box.entries;
  assert.is(entry?.kind, "one.template.allocate");
  assert.is(entry?.statements.length, 2);
  assert.match(entry?.requestId ?? "", /^0\.[0-9a-f]{16}-\d+@\d+:\d+$/);
  await box.value("one.template.update", 0, "CPU=2", 0);
  const update = box.entries[1];
  assert.is(update?.statements.length, 1);
  assert.is(update?.guards.length, 1);
  assert.equal(update?.tags, ["template:0"]);
});

test("one request id is done once, however often it comes, and always answers the same", async () => {
  const first = await callWithId("cli-1:1", "one.template.allocate", "NAME=once");
  const second = await callWithId("cli-1:1", "one.template.allocate", "NAME=once");
  assert.equal([first.ok, first.text, second.ok, second.text], [true, "0", true, "0"]);
  assert.equal(await names(), ["once"]);
  const both = await Promise.all([1, 2, 3].map(() => callWithId("cli-1:2", "one.template.allocate", "NAME=twice")));
  assert.equal(
    both.map(({ text }) => text),
    ["1", "1", "1"],
  );
  assert.equal(await names(), ["once", "twice"]);
});

test("another user's request id is another request", async () => {
  await box.value("one.user.allocate", "ann", "annpw", "core");
  const id = { "Ringfence-Request": "same:1" };
  const mine = readAnswer(await box.post(encodeCall("one.template.allocate", [ONEADMIN, "NAME=mine"]), id));
  const hers = readAnswer(await box.post(encodeCall("one.template.allocate", ["ann:annpw", "NAME=hers"]), id));
  assert.equal([mine.text, hers.text], ["0", "1"]);
});

test("a write whose leader was lost after it was committed is found by its id, and not done again", async () => {
  box.nextOutcomes.push("apply-then-unknown");
  const answer = await box.call("one.template.allocate", "NAME=lost");
  assert.equal([answer.ok, answer.text], [true, "0"]);
  assert.equal(await names(), ["lost"]);
});

test("a write whose leader was lost before it was committed is done by the next attempt", async () => {
  box.nextOutcomes.push({ kind: "unknown", why: "lost" });
  assert.ok((await box.call("one.template.allocate", "NAME=again")).ok);
  assert.equal(await names(), ["again"]);
});

test("a plan that another entry overtook is made again from what is there now", async () => {
  await box.value("one.template.allocate", "NAME=a\nCPU=1");
  box.beforeApply = async () => {
    await box.apply({ sql: "UPDATE template SET version=version+1 WHERE id=0", values: [] });
  };
  assert.ok((await box.call("one.template.update", 0, "CPU=7", 0)).ok);
  assert.match(await box.value("one.template.info", 0), "<CPU><![CDATA[7]]></CPU>");
  const ids = box.entries.slice(1).map(({ requestId }) => requestId);
  assert.is(ids.length, 2);
  assert.is(ids[1], `try1-${ids[0]}`);
});

test("a name that was taken between plan and entry is OpenNebula's refusal, not an error of the database", async () => {
  box.beforeApply = async () => {
    await box.apply({
      sql: "INSERT INTO host(id,name,im_mad,vm_mad,cluster_id) VALUES(7,'h','kvm','kvm',0)",
      values: [],
    });
  };
  const answer = await box.call("one.host.allocate", "h", "kvm", "kvm", -1);
  assert.equal(
    [answer.code, answer.text],
    [16384, "[one.host.allocate] Error allocating a new host. NAME is already taken by HOST 7."],
  );
});

test("a repeated request whose first attempt was rejected finds the attempt that was done", async () => {
  await box.value("one.template.allocate", "NAME=a");
  box.beforeApply = async () => {
    await box.apply({ sql: "UPDATE template SET version=version+1 WHERE id=0", values: [] });
  };
  assert.ok((await callWithId("cli:1", "one.template.update", 0, "CPU=7", 0)).ok);
  const proposed = box.entries.length;
  assert.ok((await callWithId("cli:1", "one.template.update", 0, "CPU=7", 0)).ok);
  assert.is(box.entries.length, proposed, "nothing more was proposed");
});

test("what is overtaken again and again ends with a refusal that says nothing was done", async () => {
  await box.value("one.template.allocate", "NAME=a");
  const rejected = { kind: "rejected", index: 1, by: "guard", why: "template 0 was changed meanwhile" } as const;
  box.nextOutcomes.push(...new Array<typeof rejected>(6).fill(rejected));
  const answer = await box.call("one.template.update", 0, "CPU=9", 0);
  assert.is(answer.code, 2048);
  assert.match(answer.text, /Nothing was done, try again/);
});

test("commands on one object wait for each other and none is rejected; others run side by side", async () => {
  await box.value("one.template.allocate", "NAME=a");
  const proposed = box.entries.length;
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, n) => box.call("one.template.update", 0, `A${n}=1`, 1)),
  );
  assert.ok(answers.every(({ ok }) => ok));
  assert.is(box.entries.length - proposed, 40, "each was planned once");
  const xml = await box.value("one.template.info", 0);
  for (let n = 0; n < 40; n++) assert.match(xml, `<A${n}>`);
});

test("what the log refuses is said: too busy, too large", async () => {
  box.nextOutcomes.push(new CodedError("busy", "full"));
  assert.match((await box.call("one.template.allocate", "NAME=b")).text, /too many writes are under way/);
  box.nextOutcomes.push(new CodedError("entry-too-large", "large"));
  assert.match((await box.call("one.template.allocate", "NAME=b")).text, /too large for one entry/);
  box.nextOutcomes.push({ kind: "expired" });
  assert.match((await box.call("one.template.allocate", "NAME=b")).text, /too old/);
  assert.equal(await names(), []);
});

test("a write is held while there is no leader and done as soon as there is one", async () => {
  box.setRole(GONE);
  let answered = false;
  const answer = box.call("one.template.allocate", "NAME=held").then((got) => {
    answered = true;
    return got;
  });
  assert.ok((await box.call("one.templatepool.info", -2, -1, -1)).ok, "reads go on");
  assert.not.ok(answered);
  box.setRole({ kind: "candidate", ready: false, leaderKnown: false });
  box.setRole({ kind: "leader", ready: false, leaderKnown: true });
  box.setRole(SOLO);
  assert.ok((await answer).ok);
  assert.equal(await names(), ["held"]);
});

test("a stop lets nobody wait: a held write is answered at once", async () => {
  box.setRole(GONE);
  const answer = box.frontEnd.answer(encodeCall("one.template.allocate", [ONEADMIN, "NAME=x"]), undefined);
  await box.call("one.zone.info", 0);
  const begun = performance.now();
  box.frontEnd.stop();
  assert.match(readAnswer(await answer).text, /no leader found/);
  assert.ok(performance.now() - begun < 2000);
});

test("a write is not held for somebody with a wrong password", async () => {
  box.setRole(GONE);
  const answer = await box.callAs("oneadmin:wrong", "one.template.allocate", "NAME=x");
  assert.equal(
    [answer.code, answer.text],
    [256, "[one.template.allocate] User couldn't be authenticated, aborting call."],
  );
});

/** A box whose time runs as fast as it is asked, so that a hold of seconds ends at once. */
function hasty(role: RoleView, more: Partial<ApiPorts> = {}): FrontEnd {
  let now = 0;
  const ports: ApiPorts = { ...box.ports, role: () => role, monotonicMs: () => (now += 2600), ...more };
  return new FrontEnd(ports, createMethods(ONE_METHODS));
}

test("after the hold the text is OpenNebula's for that role", async () => {
  const texts: readonly (readonly [RoleView, string])[] = [
    [GONE, "no leader found"],
    [{ kind: "candidate", ready: false, leaderKnown: false }, "oned cluster in election mode"],
    [{ kind: "leader", ready: false, leaderKnown: true }, "oned cluster is replicating log"],
  ];
  for (const [role, text] of texts) {
    const frontEnd = hasty(role);
    const pending = frontEnd.answer(encodeCall("one.template.allocate", [ONEADMIN, "NAME=x"]), undefined);
    const woken = setInterval(() => box.setRole(role), 1);
    const answer = readAnswer(await pending);
    clearInterval(woken);
    frontEnd.stop();
    assert.equal([answer.code, answer.text], [8192, `[one.template.allocate] Cannot process request, ${text}`]);
  }
});

/** Another box that follows `box`, with a way of its own to the leader. */
function follower(forward: (call: Uint8Array) => Promise<Uint8Array>, more: Partial<ApiPorts> = {}): FrontEnd {
  const ports: ApiPorts = {
    ...box.ports,
    role: () => ({ kind: "follower", ready: false, leaderKnown: true }),
    propose: () => Promise.reject(new Error("a follower proposes nothing")),
    forward,
    ...more,
  };
  return new FrontEnd(ports, createMethods(ONE_METHODS));
}
const ask = async (frontEnd: FrontEnd, method: string, ...args: readonly RpcArgument[]): Promise<Answer> =>
  readAnswer(await frontEnd.answer(encodeCall(method, [ONEADMIN, ...args]), undefined));

test("a follower gives writes to the leader, with their faults and refusals, and answers reads itself", async () => {
  let forwarded = 0;
  const other = follower((call) => {
    forwarded++;
    return box.frontEnd.forwarded(call);
  });
  assert.is((await ask(other, "one.template.allocate", "NAME=via")).text, "0");
  assert.match((await ask(other, "one.template.allocate", "NAME=via")).text, /already taken by TEMPLATE 0/);
  assert.is(forwarded, 2);
  assert.match((await ask(other, "one.template.info", 0)).text, "<NAME>via</NAME>");
  assert.is((await ask(other, "one.template.info", true)).code, -501);
  assert.is(forwarded, 2);
  other.stop();
});

test("a forwarded write whose answer was lost is asked for again with its id, and was done once", async () => {
  const ids: string[] = [];
  let lost = 0;
  const other = follower(async (call) => {
    ids.push(new TextDecoder().decode(call).split("\n")[0] ?? "");
    const answer = await box.frontEnd.forwarded(call);
    if (lost++ === 0) throw new CodedError("call-timeout", "no answer");
    return answer;
  });
  assert.is((await ask(other, "one.template.allocate", "NAME=one")).text, "0");
  assert.equal(ids, [ids[0], ids[0]]);
  assert.equal(await names(), ["one"]);
  other.stop();
});

test("a leader that is none any more, or cannot be reached, is asked again: nothing happened there", async () => {
  const replies: (() => Promise<Uint8Array>)[] = [
    () => Promise.reject(new CodedError("call-unreachable", "down")),
    () => Promise.resolve(new TextEncoder().encode("N")),
    () => Promise.resolve(new TextEncoder().encode("U")),
  ];
  const other = follower((call) => replies.shift()?.() ?? box.frontEnd.forwarded(call));
  assert.ok((await ask(other, "one.template.allocate", "NAME=patient")).ok);
  assert.is(replies.length, 0);
  assert.equal(await names(), ["patient"]);
  other.stop();
});

test("a write whose fate nobody can tell is reported as unknown, not as failed", async () => {
  const other = hasty(
    { kind: "follower", ready: false, leaderKnown: true },
    { forward: () => Promise.reject(new CodedError("call-timeout", "no answer")) },
  );
  const answer = await ask(other, "one.template.allocate", "NAME=x");
  assert.is(answer.code, 8192);
  assert.match(answer.text, /it may have been done, look before you repeat it/);
  other.stop();
});

test("a box that does not lead says so to one that takes it for the leader", async () => {
  box.setRole(GONE);
  const call = new TextEncoder().encode(`a:1\n${encodeCall("one.template.allocate", [ONEADMIN, "NAME=x"])}`);
  assert.is(new TextDecoder().decode(await box.frontEnd.forwarded(call)), "N");
  assert.equal(await names(), []);
});

test("a client that wrote through a follower finds it there: the answer waits until it is applied", async () => {
  let applied = 0;
  let now = 0;
  let leaderAnswered = false;
  const listeners = new Set<() => void>();
  const other = follower(
    async (call) => {
      const answer = await box.frontEnd.forwarded(call);
      leaderAnswered = true;
      return answer;
    },
    {
      appliedIndex: () => applied,
      monotonicMs: () => now,
      onApplied: (listener) => {
        const wake = (): void => listener([]);
        listeners.add(wake);
        return () => listeners.delete(wake);
      },
    },
  );
  let answered = false;
  const send = (name: string): Promise<void> => {
    [leaderAnswered, answered] = [false, false];
    return ask(other, "one.template.allocate", `NAME=${name}`).then(() => {
      answered = true;
    });
  };
  const settle = async (): Promise<void> => {
    await until(() => leaderAnswered);
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  const first = send("mine");
  await settle();
  assert.not.ok(answered, "not before it is applied here");
  applied = box.state.appliedIndex;
  for (const wake of listeners) wake();
  await first;

  const second = send("late");
  await settle();
  now += 201;
  for (const wake of listeners) wake();
  await second;
  assert.ok(answered, "but not for ever");
  other.stop();
});

test("a database that fails is an internal error for the caller, with the chain in the log", async () => {
  const other = hasty(SOLO, {
    query: () => Promise.reject(new CodedError("read-failed", "Cannot read the state", new Error("disk I/O error"))),
  });
  const answer = await ask(other, "one.zone.info", 0);
  assert.equal([answer.code, answer.text], [8192, "[one.zone.info] Cannot read the state"]);
  assert.match(box.logged.join("\n"), "one.zone.info: Cannot read the state: disk I/O error");
  other.stop();
});

test("a burst of a thousand calls is answered: reads wait for each other instead of being refused", async () => {
  await box.value("one.template.allocate", "NAME=a");
  const body = encodeCall("one.template.info", [ONEADMIN, 0]);
  const answers = await Promise.all(Array.from({ length: 1000 }, () => box.frontEnd.answer(body, undefined)));
  assert.is(answers.filter((answer) => readAnswer(answer).ok).length, 1000);
});

test("a query that fails gives its place to the next", async () => {
  let failures = 0;
  const other = hasty(SOLO, {
    query: () => {
      failures++;
      return Promise.reject(new CodedError("read-failed", "Cannot read"));
    },
  });
  await Promise.all(Array.from({ length: 200 }, () => ask(other, "one.zone.info", 0)));
  assert.is(failures, 200);
  other.stop();
});

test("a pool's answer is made once for a state, and anew after every entry", async () => {
  let queries = 0;
  const other = hasty(SOLO, {
    query: (sql, values) => {
      queries++;
      return box.ports.query(sql, values);
    },
  });
  const pool = async (): Promise<string> => (await ask(other, "one.templatepool.info", -2, -1, -1)).text;
  assert.is(await pool(), "<VMTEMPLATE_POOL></VMTEMPLATE_POOL>");
  const before = queries;
  await pool();
  assert.is(queries, before);
  await box.value("one.template.allocate", "NAME=new");
  assert.match(await pool(), "<NAME>new</NAME>");
  other.stop();
});

test.run();
