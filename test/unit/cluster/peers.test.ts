// Two and three boxes on loopback with real TLS: who may speak, who is cut, and what a restart does.
import tls from "node:tls";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { askToJoin } from "../../../src/cluster/ask-to-join.ts";
import { frameType } from "../../../src/cluster/frame.ts";
import { type JoinRequest, PROTOCOL_VERSION } from "../../../src/cluster/hello.ts";
import { createIdentity, type Identity } from "../../../src/cluster/identity.ts";
import { Peers, type PeersEvents } from "../../../src/cluster/peers.ts";

const cluster = { lineage: "00112233445566aa", generation: 1 };
let nextPort = 42_636;

interface Box {
  readonly identity: Identity;
  readonly peers: Peers;
  readonly port: number;
  readonly heard: { from: string; type: number; text: string }[];
  readonly log: string[];
}

async function box(
  options: { identity?: Identity; nonce?: string; port?: number; generation?: number; join?: PeersEvents["join"] } = {},
): Promise<Box> {
  const identity = options.identity ?? (await createIdentity(cluster));
  const heard: Box["heard"] = [];
  const log: string[] = [];
  const port = options.port ?? nextPort++;
  const peers = new Peers(
    {
      identity,
      cluster: { ...cluster, generation: options.generation ?? 1 },
      nonce: options.nonce ?? "n1",
      featureLevel: 1,
      listen: { host: "127.0.0.1", port },
      localAddress: undefined,
    },
    {
      frame: (from, type, payload) => heard.push({ from, type, text: payload.toString() }),
      drained: () => undefined,
      unreachable: (id) => log.push(`unreachable ${id}`),
      higherGeneration: (id) => log.push(`higher generation ${id.generation}`),
      join: options.join ?? (() => Promise.reject(new Error("no tokens here"))),
      log: (text) => log.push(text),
    },
  );
  await peers.listen();
  return { identity, peers, port, heard, log };
}

function member(of: Box) {
  return { raftId: of.identity.raftId, address: `127.0.0.1:${of.port}`, certificateHash: of.identity.certificateHash };
}

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = performance.now() + 8000;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await Bun.sleep(5);
  }
}

function say(from: Box, to: Box, text: string): boolean {
  const isSent = from.peers.send(to.identity.raftId, "bulk", frameType.raft, Buffer.from(text));
  from.peers.flush();
  return isSent;
}

test("members hear each other on both channels, in order", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(a), member(b)]);
  b.peers.setMembers([member(a), member(b)]);
  await until("both are connected", () => a.peers.reachable().length === 1 && b.peers.reachable().length === 1);
  for (let i = 0; i < 100; i++) assert.ok(say(a, b, `m${i}`));
  await until("all arrived", () => b.heard.length === 100);
  assert.equal(
    b.heard.map((h) => h.text),
    Array.from({ length: 100 }, (_, i) => `m${i}`),
  );
  assert.is(b.heard[0]?.from, a.identity.raftId);
  a.peers.stop();
  b.peers.stop();
});

test("a box that no membership names is refused and told why", async () => {
  const [a, stranger] = [await box(), await box()];
  stranger.peers.setMembers([member(a)]);
  await until("the refusal is logged", () => stranger.log.some((line) => line.includes("not a member")));
  assert.is(say(stranger, a, "hello"), false);
  a.peers.stop();
  stranger.peers.stop();
});

test("a member's raft id with another key is refused", async () => {
  const [a, b] = [await box(), await box()];
  const impostor = await box({ identity: { ...(await createIdentity(cluster)), raftId: b.identity.raftId } });
  a.peers.setMembers([member(a), member(b)]);
  impostor.peers.setMembers([member(a)]);
  await until("the refusal is logged", () => impostor.log.some((line) => line.includes("certificate differs")));
  for (const each of [a, b, impostor]) each.peers.stop();
});

test("we do not speak to a listener that is not the member", async () => {
  const [a, b, other] = [await box(), await box(), await box()];
  a.peers.setMembers([{ ...member(b), address: `127.0.0.1:${other.port}` }]);
  await until("the difference is logged", () => a.log.some((line) => line.includes("its certificate differs")));
  assert.equal(a.peers.reachable(), []);
  for (const each of [a, b, other]) each.peers.stop();
});

test("a higher generation makes the older one stand down", async () => {
  const old = await box();
  const recovered = await box({ generation: 2 });
  old.peers.setMembers([member(recovered)]);
  recovered.peers.setMembers([member(old)]);
  await until("it was noticed", () => old.log.includes("higher generation 2"));
  assert.equal(recovered.peers.reachable(), []);
  old.peers.stop();
  recovered.peers.stop();
});

test("a restarted box is heard at once, and the connections to its former life are dropped", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(b)]);
  b.peers.setMembers([member(a)]);
  await until("both are connected", () => a.peers.reachable().length === 1 && b.peers.reachable().length === 1);
  b.peers.stop();
  const again = await box({ identity: b.identity, nonce: "n2", port: b.port });
  again.peers.setMembers([member(a)]);
  await until(
    "both are connected again",
    () => a.peers.reachable().length === 1 && again.peers.reachable().length === 1,
  );
  say(a, again, "welcome back");
  await until("it hears us", () => again.heard.some((h) => h.text === "welcome back"));
  a.peers.stop();
  again.peers.stop();
});

test("a copy of a living box is refused, whoever it speaks to, and the living one goes on undisturbed", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(b)]);
  b.peers.setMembers([member(a)]);
  await until("both are connected", () => a.peers.reachable().length === 1 && b.peers.reachable().length === 1);
  const copy = await box({ identity: b.identity, nonce: "n2" });
  copy.peers.setMembers([member(a)]);
  await until("the copy is told", () => copy.log.some((line) => line.includes("moved or cloned")));
  assert.is(say(copy, a, "i am b"), false);
  for (let n = 0; n < 20; n++) assert.ok(say(b, a, `still here ${n}`));
  await until("b is heard", () => a.heard.length === 20);
  b.peers.stop();
  await until("the copy is taken for b's next life once b is gone", () => copy.peers.reachable().length === 1);
  a.peers.stop();
  copy.peers.stop();
});

test("a box that was removed is not listened to any more", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(b)]);
  b.peers.setMembers([member(a)]);
  await until("b can speak", () => b.peers.reachable().length === 1);
  say(b, a, "before");
  await until("it is heard", () => a.heard.length === 1);
  a.peers.setMembers([]);
  await until("b is cut and refused", () => b.log.some((line) => line.includes("not a member")));
  assert.is(say(b, a, "after"), false);
  assert.is(a.heard.length, 1);
  a.peers.stop();
  b.peers.stop();
});

test("a box that was removed is still told what it asked for, for a moment", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(b)]);
  b.peers.setMembers([member(a)]);
  await until("both are connected", () => a.peers.reachable().length === 1 && b.peers.reachable().length === 1);
  a.peers.setMembers([]);
  assert.equal(a.peers.reachable(), [], "it counts as a member no more");
  assert.ok(say(a, b, "you were removed"));
  await until("it hears that", () => b.heard.some((h) => h.text === "you were removed"));
  await until("the last connection ends", () => !say(a, b, "still there?"));
  a.peers.stop();
  b.peers.stop();
});

test("a stranger's higher generation is not believed", async () => {
  const [a, stranger] = [await box(), await box({ generation: 9 })];
  stranger.peers.setMembers([member(a)]);
  await until("it is refused", () => stranger.log.some((line) => line.includes("not a member")));
  assert.ok(!a.log.some((line) => line.includes("higher generation")));
  a.peers.stop();
  stranger.peers.stop();
});

test("connections that do not say who they are are bounded, and members still get in", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(b)]);
  b.peers.setMembers([member(a)]);
  await until("b is in", () => b.peers.reachable().length === 1);
  const mute = Array.from({ length: 60 }, () =>
    tls.connect({ host: "127.0.0.1", port: a.port, rejectUnauthorized: false }),
  );
  let closed = 0;
  for (const socket of mute) socket.on("error", () => undefined).on("close", () => closed++);
  await until("what is over the bound is closed", () => closed >= 28);
  say(b, a, "unharmed");
  await until("b is heard", () => a.heard.length === 1);
  await until("the others are closed in time", () => closed === 60);
  b.peers.stop();
  const again = await box({ identity: b.identity, nonce: "n2" });
  again.peers.setMembers([member(a)]);
  await until("there is room again", () => again.peers.reachable().length === 1);
  a.peers.stop();
  again.peers.stop();
});

test("a joiner is let in with what the leader says, and refused with its reason", async () => {
  const host = await box({
    join: (request: JoinRequest) =>
      request.secret === "good"
        ? Promise.resolve({ welcome: request.serverId })
        : Promise.reject(new Error("the token is unknown")),
  });
  const identity = await createIdentity(null);
  const ask = (secret: string): Promise<unknown> =>
    askToJoin(
      { address: `127.0.0.1:${host.port}`, certificateHash: host.identity.certificateHash },
      {
        protocol: PROTOCOL_VERSION,
        featureLevel: 1,
        raftId: identity.raftId,
        nonce: "j",
        channel: "join",
        cluster,
        join: {
          secret,
          serverId: 1,
          raftId: identity.raftId,
          certificateHash: identity.certificateHash,
          address: "127.0.0.1:1",
        },
      },
      { identity, localAddress: undefined, deadlineMs: 2000 },
    );
  assert.equal(await ask("good"), { welcome: 1 });
  try {
    await ask("bad");
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), "the token is unknown");
  }
  host.peers.stop();
});

test.run();
