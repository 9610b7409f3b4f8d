// Calls to a cluster that is failing over: a write is repeated under one request id, and bounded.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { encodeFault, encodeRefusal } from "../../../src/api/xmlrpc/encode.ts";
import { FAULT, Fault } from "../../../src/api/xmlrpc/fault.ts";
import { createRpc, type Rpc } from "../../../src/cli/client/rpc.ts";
import { CommandFailure } from "../../../src/cli/failure.ts";
import { CODE, refusal } from "../../../src/one/refusal.ts";
import { type FakeFrontEnd, fakeFrontEnd, type Reply, type SeenCall } from "./fake-front-end.ts";

/** Runs `body` with a client of a front-end that replies so. */
async function withFrontEnd(
  reply: (call: SeenCall, index: number) => Reply,
  body: (rpc: Rpc, frontEnd: FakeFrontEnd) => Promise<void>,
  times: { retryForMs?: number; attemptMs?: number } = {},
): Promise<void> {
  const frontEnd = fakeFrontEnd(reply);
  try {
    await body(createRpc({ endpoint: () => frontEnd.endpoint, session: () => "oneadmin:pw", ...times }), frontEnd);
  } finally {
    await frontEnd.stop();
  }
}

async function failure(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    assert.instance(error, CommandFailure);
    return (error as CommandFailure).message;
  }
  throw new Error("the call was answered");
}

/** A port of loopback on which nobody listens: taken and given back. */
function closedEndpoint(): string {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  const endpoint = `http://127.0.0.1:${server.port}/RPC2`;
  server.stop(true);
  return endpoint;
}

test("arguments arrive as they were given, after the session", async () => {
  await withFrontEnd(
    () => ({ value: 7 }),
    async (rpc, { calls }) => {
      assert.is(await rpc.write("one.x.y", 'a<b>&"c"', -1, true, [1, 2]), 7);
      assert.is(calls[0]?.method, "one.x.y");
      assert.equal(calls[0]?.params, ["oneadmin:pw", 'a<b>&"c"', -1, true, [1, 2]]);
    },
  );
});

test("a write whose connection breaks is repeated with the same request id; the next write has another", async () => {
  await withFrontEnd(
    (_call, index) => (index < 2 ? "cut" : { value: 5 }),
    async (rpc, { calls }) => {
      assert.is(await rpc.write("one.host.allocate", "h"), 5);
      assert.is(await rpc.write("one.host.delete", 5), 5);
      assert.is(calls.length, 4);
      const ids = calls.map((call) => call.requestId);
      assert.match(ids[0] ?? "", /^[0-9a-f]{16}:1$/);
      assert.is(ids[1], ids[0]);
      assert.is(ids[2], ids[0]);
      assert.is(ids[3], ids[0]?.replace(/1$/, "2"));
    },
  );
});

test("a box that stays silent, as one without power does, is given up and the write repeated", async () => {
  await withFrontEnd(
    (_call, index) => (index === 0 ? "silent" : { value: 1 }),
    async (rpc, { calls }) => {
      assert.is(await rpc.write("one.host.delete", 1), 1);
      assert.is(calls[1]?.requestId, calls[0]?.requestId);
    },
    { attemptMs: 200 },
  );
});

test("a write that nobody answers fails after its time, and says that it may have been done", async () => {
  await withFrontEnd(
    () => "cut",
    async (rpc, { calls }) => {
      const began = performance.now();
      assert.match(
        await failure(rpc.write("one.host.delete", 1)),
        /Failed to call 127\.0\.0\.1:\d+ .*may have been done all the same$/,
      );
      assert.ok(performance.now() - began < 2_000);
      assert.ok(calls.length > 1);
    },
    { retryForMs: 500 },
  );
});

test("what the leader's parts do is not repeated once it was sent", async () => {
  await withFrontEnd(
    () => "cut",
    async (rpc, { calls }) => {
      assert.match(await failure(rpc.once("ringfence.leader.move", -1)), /may have been done/);
      assert.is(calls.length, 1);
      assert.is(calls[0]?.requestId, null);
    },
  );
});

test("a refused connection is told in OpenNebula's words", async () => {
  const endpoint = closedEndpoint();
  const rpc = createRpc({ endpoint: () => endpoint, session: () => "a:b", retryForMs: 0 });
  const place = endpoint.replace("http://", "").replace("/RPC2", "");
  assert.is(
    await failure(rpc.read("one.hostpool.info")),
    `Failed to open TCP connection to ${place} (Connection refused - connect(2) for ${place})`,
  );
});

test("a cluster that is not there yet is tried again until it is", async () => {
  const endpoint = closedEndpoint();
  const rpc = createRpc({ endpoint: () => endpoint, session: () => "a:b" });
  const call = rpc.write("one.host.delete", 1);
  // A second client that gives up at once: when it was refused, the first one was, too.
  const impatient = createRpc({ endpoint: () => endpoint, session: () => "a:b", retryForMs: 0 });
  assert.match(await failure(impatient.read("one.hostpool.info")), /Connection refused/);
  const port = Number(new URL(endpoint).port);
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    fetch: () => new Response(encodeRefusal("one.host.delete", refusal(CODE.noExists, "Error getting host [1].", 1))),
  });
  assert.is(await failure(call), "[one.host.delete] Error getting host [1].");
  await server.stop(true);
});

test("a refusal and a fault are answers: they are told once, and not repeated", async () => {
  await withFrontEnd(
    (call) => ({
      body:
        call.method === "one.no"
          ? encodeFault(new Fault(FAULT.noMethod, "Method 'one.no' not defined"))
          : encodeRefusal(call.method, refusal(CODE.action, "a & b <c>")),
    }),
    async (rpc, { calls }) => {
      assert.is(await failure(rpc.write("one.vm.action")), "[one.vm.action] a & b <c>");
      assert.is(await failure(rpc.write("one.no")), "Method 'one.no' not defined");
      assert.is(calls.length, 2);
    },
  );
});

test("an answer that is no XML-RPC, and an endpoint that is none, are said to be so", async () => {
  await withFrontEnd(
    () => ({ body: "<html>" }),
    async (rpc) => assert.match(await failure(rpc.read("one.x")), /answered with no XML-RPC/),
  );
  const rpc = createRpc({ endpoint: () => "box0:2633", session: () => "a:b" });
  assert.match(await failure(rpc.read("one.x")), /"box0:2633" is not an endpoint/);
});

test("a probe of a box that is silent, gone or refuses gives nothing, within its time", async () => {
  await withFrontEnd(
    () => "silent",
    async (rpc, { endpoint }) => {
      const began = performance.now();
      assert.is(await rpc.probe(endpoint, 200, "one.zone.raftstatus"), undefined);
      assert.ok(performance.now() - began < 1_000);
      assert.is(await rpc.probe(closedEndpoint(), 200, "one.zone.raftstatus"), undefined);
    },
  );
});

test.run();
