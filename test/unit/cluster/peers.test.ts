// Two and three boxes on loopback with real TLS: who may speak, who is cut, and what a restart does.
import net from "node:net";
import tls from "node:tls";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { askToJoin } from "../../../src/cluster/ask-to-join.ts";
import { frameType } from "../../../src/cluster/frame.ts";
import { type JoinRequest, PROTOCOL_VERSION, protocolObstacle } from "../../../src/cluster/hello.ts";
import { type ClusterId, createIdentity, type Identity } from "../../../src/cluster/identity.ts";
import { Peers, type PeersEvents } from "../../../src/cluster/peers.ts";

const cluster = { lineage: "00112233445566aa", generation: 1 };
/** Below the ports that the kernel gives away: another test may have been given any of those. */
let nextPort = 22_636;

interface Box {
  readonly identity: Identity;
  readonly peers: Peers;
  readonly port: number;
  readonly heard: { from: string; type: number; text: string }[];
  readonly log: string[];
}

async function box(
  options: {
    identity?: Identity;
    nonce?: string;
    port?: number;
    generation?: number;
    featureLevel?: number;
    build?: string;
    level?: number;
    join?: PeersEvents["join"];
  } = {},
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
      announcement: { featureLevel: options.featureLevel ?? 1, build: options.build ?? "1.0", timings: "t" },
      level: options.level ?? 1,
      listen: { host: "127.0.0.1", port },
      localAddress: undefined,
    },
    {
      frame: (from, type, payload) => heard.push({ from, type, text: payload.toString() }),
      drained: () => undefined,
      unreachable: (id) => log.push(`unreachable ${id}`),
      standDown: (order) => log.push(JSON.stringify(order)),
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

/** A wire to `port`, slow or not; the connections of now can be made to lead nowhere, as behind a switch that lost its power. */
async function wireTo(port: number, delayMs = 0) {
  const pairs: { readonly from: net.Socket; readonly to: net.Socket; bytes: number; isSilent: boolean }[] = [];
  const server = net.createServer((from) => {
    const pair = { from, to: net.connect(port, "127.0.0.1"), bytes: 0, isSilent: false };
    pairs.push(pair);
    const pass = (to: net.Socket) => (chunk: Buffer) => {
      if (pair.isSilent) return;
      pair.bytes += chunk.length;
      setTimeout(() => to.write(chunk), delayMs);
    };
    from.on("data", pass(pair.to)).on("error", () => undefined);
    pair.to.on("data", pass(from)).on("error", () => undefined);
  });
  await new Promise<void>((resolve) => server.listen(nextPort++, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    bytes: () => pairs.map((pair) => pair.bytes),
    silence: () => {
      for (const pair of pairs) pair.isSilent = true;
    },
    stop: () => {
      for (const { from, to } of pairs) for (const socket of [from, to]) socket.destroy();
      server.close();
    },
  };
}

test("members hear each other on both channels, in order", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(a), member(b)], 1, true);
  b.peers.setMembers([member(a), member(b)], 1, true);
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
  stranger.peers.setMembers([member(a)], 1, true);
  await until("the refusal is logged", () => stranger.log.some((line) => line.includes("not a member")));
  assert.is(say(stranger, a, "hello"), false);
  a.peers.stop();
  stranger.peers.stop();
});

test("a member's raft id with another key is refused", async () => {
  const [a, b] = [await box(), await box()];
  const impostor = await box({ identity: { ...(await createIdentity(cluster)), raftId: b.identity.raftId } });
  a.peers.setMembers([member(a), member(b)], 1, true);
  impostor.peers.setMembers([member(a)], 1, true);
  await until("the refusal is logged", () => impostor.log.some((line) => line.includes("certificate differs")));
  for (const each of [a, b, impostor]) each.peers.stop();
});

test("we do not speak to a listener that is not the member", async () => {
  const [a, b, other] = [await box(), await box(), await box()];
  a.peers.setMembers([{ ...member(b), address: `127.0.0.1:${other.port}` }], 1, true);
  await until("the difference is logged", () => a.log.some((line) => line.includes("its certificate differs")));
  assert.equal(a.peers.reachable(), []);
  for (const each of [a, b, other]) each.peers.stop();
});

test("a box that a newer membership does not name is told so by each member; one that a member does not know yet is not", async () => {
  const [a, b] = [await box(), await box()];
  const told = (): string[] => b.log.filter((line) => line.includes("kind"));
  a.peers.setMembers([member(a)], 5, true);
  b.peers.setMembers([member(a), member(b)], 5, true);
  await until("it is refused", () => b.log.some((line) => line.includes("not a member")));
  assert.equal(told(), [], "a is not newer: it may be behind");
  a.peers.setMembers([member(a)], 6, true);
  await until("it is told", () => told().length > 0);
  assert.is(told()[0], '{"kind":"removed","index":6}');
  a.peers.stop();
  b.peers.stop();
});

test("a survivor that was made a cluster of its own ends the others, although it names none of them", async () => {
  const old = await box();
  const recovered = await box({ generation: 2 });
  old.peers.setMembers([member(old), member(recovered)], 9, true);
  recovered.peers.setMembers([member(recovered)], 3, true);
  await until("it was told", () => old.log.some((line) => line.includes('"generation":2')));
  old.peers.stop();
  recovered.peers.stop();
});

test("a higher generation makes the older one stand down", async () => {
  const old = await box();
  const recovered = await box({ generation: 2 });
  old.peers.setMembers([member(recovered)], 1, true);
  recovered.peers.setMembers([member(old)], 1, true);
  await until("it was noticed", () =>
    old.log.includes('{"kind":"generation","cluster":{"lineage":"00112233445566aa","generation":2}}'),
  );
  assert.equal(recovered.peers.reachable(), []);
  old.peers.stop();
  recovered.peers.stop();
});

test("a restarted box is heard at once, and the connections to its former life are dropped", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(b)], 1, true);
  b.peers.setMembers([member(a)], 1, true);
  await until("both are connected", () => a.peers.reachable().length === 1 && b.peers.reachable().length === 1);
  b.peers.stop();
  const again = await box({ identity: b.identity, nonce: "n2", port: b.port });
  again.peers.setMembers([member(a)], 1, true);
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
  a.peers.setMembers([member(b)], 1, true);
  b.peers.setMembers([member(a)], 1, true);
  await until("both are connected", () => a.peers.reachable().length === 1 && b.peers.reachable().length === 1);
  const copy = await box({ identity: b.identity, nonce: "n2" });
  copy.peers.setMembers([member(a)], 1, true);
  await until("the copy is told", () => copy.log.some((line) => line.includes("moved or cloned")));
  assert.is(say(copy, a, "i am b"), false);
  for (let n = 0; n < 20; n++) assert.ok(say(b, a, `still here ${n}`));
  await until("b is heard", () => a.heard.length === 20);
  b.peers.stop();
  await until("the copy is taken for b's next life once b is gone", () => copy.peers.reachable().length === 1);
  a.peers.stop();
  copy.peers.stop();
});

test("an idle connection for entries carries nothing; one that leads nowhere is dialled anew once it is used", async () => {
  const [a, b] = [await box(), await box()];
  const wire = await wireTo(b.port);
  a.peers.setMembers([member(a), { ...member(b), address: `127.0.0.1:${wire.port}` }], 1, true);
  b.peers.setMembers([member(a), member(b)], 1, true);
  await until("a can speak", () => a.peers.reachable().length === 1);
  await Bun.sleep(300);
  const before = wire.bytes();
  await Bun.sleep(1300);
  const idle = wire.bytes().map((count, i) => count - (before[i] ?? 0));
  assert.ok((idle[0] ?? 0) > 0, "control tells that the box lives");
  assert.is(idle[1], 0);

  wire.silence();
  const startedAt = performance.now();
  await until("what is said arrives again", () => {
    say(a, b, "again");
    return b.heard.length > 0;
  });
  assert.ok(performance.now() - startedAt > 1000, "it was not heard on the connection that leads nowhere");
  for (const each of [a, b]) each.peers.stop();
  wire.stop();
});

test("a box that takes seconds for its handshakes is waited for", async () => {
  const [a, b] = [await box(), await box()];
  const wire = await wireTo(b.port, 400);
  b.peers.setMembers([member(a), member(b)], 1, true);
  a.peers.setMembers([member(a), { ...member(b), address: `127.0.0.1:${wire.port}` }], 1, true);
  await until("a can speak", () => a.peers.reachable().length === 1);
  assert.is(wire.bytes().length, 2, "each connection was begun once");
  for (const each of [a, b]) each.peers.stop();
  wire.stop();
});

test("a box that was removed is not listened to any more", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(b)], 1, true);
  b.peers.setMembers([member(a)], 1, true);
  await until("b can speak", () => b.peers.reachable().length === 1);
  say(b, a, "before");
  await until("it is heard", () => a.heard.length === 1);
  a.peers.setMembers([], 1, true);
  await until("b is cut and refused", () => b.log.some((line) => line.includes("not a member")));
  assert.is(say(b, a, "after"), false);
  assert.is(a.heard.length, 1);
  a.peers.stop();
  b.peers.stop();
});

test("a box that was removed is still told what it asked for, for a moment", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(b)], 1, true);
  b.peers.setMembers([member(a)], 1, true);
  await until("both are connected", () => a.peers.reachable().length === 1 && b.peers.reachable().length === 1);
  a.peers.setMembers([], 1, true);
  assert.equal(a.peers.reachable(), [], "it counts as a member no more");
  assert.ok(say(a, b, "you were removed"));
  await until("it hears that", () => b.heard.some((h) => h.text === "you were removed"));
  await until("the last connection ends", () => !say(a, b, "still there?"));
  a.peers.stop();
  b.peers.stop();
});

test("a stranger's higher generation is not believed", async () => {
  const [a, stranger] = [await box(), await box({ generation: 9 })];
  stranger.peers.setMembers([member(a)], 1, true);
  await until("it is refused", () => stranger.log.some((line) => line.includes("not a member")));
  assert.ok(!a.log.some((line) => line.includes("higher generation")));
  a.peers.stop();
  stranger.peers.stop();
});

test("connections that do not say who they are are bounded, and members still get in", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(b)], 1, true);
  b.peers.setMembers([member(a)], 1, true);
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
  again.peers.setMembers([member(a)], 1, true);
  await until("there is room again", () => again.peers.reachable().length === 1);
  a.peers.stop();
  again.peers.stop();
});

test("boxes of different levels speak while the level in force is known to both, and know of each other", async () => {
  const [old, newer] = [await box(), await box({ featureLevel: 2, build: "2.0" })];
  old.peers.setMembers([member(old), member(newer)], 0, true);
  newer.peers.setMembers([member(old), member(newer)], 0, true);
  const isTogether = (): boolean => old.peers.announced().size === 2 && newer.peers.announced().size === 2;
  await until("each has heard the other", isTogether);
  assert.equal(old.peers.announced().get(newer.identity.raftId), { featureLevel: 2, build: "2.0", timings: "t" });
  assert.is(newer.peers.announced().get(old.identity.raftId)?.featureLevel, 1);
  // The level rises: the old one is cut, refused and told why; to the newer one it still may listen.
  newer.peers.setLevel(2);
  await until("the refusal is logged", () => old.log.some((line) => line.includes("feature level 2 is in force here")));
  assert.match(old.log.join(), /your build 1\.0 knows 1: install a build that knows level 2/);
  assert.equal([...newer.peers.announced().keys()], [newer.identity.raftId]);
  await until("nothing more can be said", () => !say(old, newer, "x"));
  for (const each of [old, newer]) each.peers.stop();
});

test("a box that is heard no more is not taken for one that still announces", async () => {
  const [a, b] = [await box(), await box()];
  a.peers.setMembers([member(a), member(b)], 0, true);
  b.peers.setMembers([member(a), member(b)], 0, true);
  await until("a hears b", () => a.peers.announced().size === 2);
  b.peers.stop();
  await until("a knows that b is gone", () => a.peers.announced().size === 1);
  a.peers.stop();
});

test("versions of the protocol that have none in common are refused with both named", () => {
  const hello = { featureLevel: 1, raftId: "a", nonce: "n", channel: "bulk" as const, cluster };
  assert.is(protocolObstacle({ ...hello, protocol: PROTOCOL_VERSION }), undefined);
  // A newer build that still speaks ours, and one that does not any more.
  const newest = PROTOCOL_VERSION + 3;
  assert.is(protocolObstacle({ ...hello, protocol: newest, protocolOldest: PROTOCOL_VERSION }), undefined);
  assert.match(
    protocolObstacle({ ...hello, protocol: newest, protocolOldest: newest - 1 }) ?? "",
    /protocol 3 … 4 is not spoken here, 1 is/,
  );
  assert.match(protocolObstacle({ ...hello, protocol: newest }) ?? "", /protocol 4 is not spoken here/);
  assert.match(protocolObstacle({ ...hello, protocol: 0 }) ?? "", /protocol 0 is not spoken here/);
});

test("a joiner whose build is too old is refused before its token is looked at", async () => {
  const host = await box({ level: 2, featureLevel: 2, join: () => Promise.reject(new Error("asked")) });
  const identity = await createIdentity(null);
  const { raftId, certificateHash } = identity;
  const join = { secret: "s", serverId: 1, raftId, certificateHash, address: "127.0.0.1:1" };
  const hello = {
    protocol: PROTOCOL_VERSION,
    featureLevel: 1,
    raftId,
    nonce: "j",
    channel: "join" as const,
    cluster,
    join,
  };
  const target = { address: `127.0.0.1:${host.port}`, certificateHash: host.identity.certificateHash };
  try {
    await askToJoin(target, hello, { identity, localAddress: undefined, deadlineMs: 2000 });
    assert.unreachable();
  } catch (error) {
    assert.match(String(error), "feature level 2 is in force here, and your build knows 1");
  }
  host.peers.stop();
});

test("a joiner is let in with what the leader says, and refused with its reason", async () => {
  const host = await box({
    join: (request: JoinRequest) =>
      request.secret === "good"
        ? Promise.resolve({ welcome: request.serverId })
        : Promise.reject(new Error("the token is unknown")),
  });
  const identity = await createIdentity(null);
  const ask = (secret: string, of: ClusterId = cluster): Promise<unknown> =>
    askToJoin(
      { address: `127.0.0.1:${host.port}`, certificateHash: host.identity.certificateHash },
      {
        protocol: PROTOCOL_VERSION,
        featureLevel: 1,
        raftId: identity.raftId,
        nonce: "j",
        channel: "join",
        cluster: of,
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
  await assertRejects(ask("bad"), /the token is unknown/);
  await assertRejects(ask("good", { ...cluster, lineage: "ffffffffffffffff" }), /the token is of another cluster/);
  host.peers.stop();
});

test("only who shows a member's certificate can ask for its place, and says so by no word of its own", async () => {
  const asked: JoinRequest[] = [];
  const host = await box({
    join: async (request: JoinRequest) => {
      asked.push(request);
      return {};
    },
  });
  const [former, other] = [await box(), await createIdentity(cluster)];
  host.peers.setMembers([member(host), member(former)], 4, true);
  const next = await createIdentity(null);
  const ask = (shows: Identity, raftId: string): Promise<unknown> => {
    const join = {
      ...{ secret: "", serverId: -1, raftId: next.raftId, certificateHash: next.certificateHash },
      ...{ address: "127.0.0.1:1", replaces: former.identity.raftId },
    };
    return askToJoin(
      { address: `127.0.0.1:${host.port}`, certificateHash: host.identity.certificateHash },
      { protocol: PROTOCOL_VERSION, featureLevel: 1, raftId, nonce: "j", channel: "join", cluster, join },
      { identity: shows, localAddress: undefined, deadlineMs: 2000 },
    );
  };
  await assertRejects(ask(other, former.identity.raftId), /nor a member's place/);
  await assertRejects(ask(other, other.raftId), /nor a member's place/);
  assert.equal(asked, []);
  await ask(former.identity, former.identity.raftId);
  assert.is(asked[0]?.replaces, former.identity.raftId);
  // With its own new certificate it asks for itself, whatever it claims beside it.
  await ask(next, next.raftId);
  assert.is(asked[1]?.replaces, undefined);
  host.peers.stop();
  former.peers.stop();
});

async function assertRejects(work: Promise<unknown>, about: RegExp): Promise<void> {
  const said = await work.then(
    () => "nothing",
    (error: unknown) => String(error),
  );
  assert.match(said, about);
}

test("a snapshot goes on a connection of its own, which is there only for it", async () => {
  const [a, b] = [await box(), await box()];
  for (const [one, other] of [
    [a, b],
    [b, a],
  ] as const)
    one.peers.setMembers([member(one), member(other)], 1, true);
  await until("they reach each other", () => a.peers.reachable().length === 1 && b.peers.reachable().length === 1);
  const chunk = (): boolean => {
    const isSent = a.peers.send(b.identity.raftId, "snapshot", frameType.snapshot, Buffer.from("chunk"));
    a.peers.flush();
    return isSent;
  };
  assert.is(chunk(), false, "it is dialled at the first use");
  await until("the connection is there", chunk);
  await until("the chunk arrives", () =>
    b.heard.some((one) => one.type === frameType.snapshot && one.text === "chunk"),
  );
  a.peers.closeSnapshot(b.identity.raftId);
  assert.is(chunk(), false, "and closed after it");
  assert.is(a.peers.send("0000000000000000", "snapshot", frameType.snapshot, Buffer.from("x")), false, "no member");
  a.peers.closeSnapshot(b.identity.raftId);
  await Bun.sleep(50);
  assert.equal(
    a.log.filter((text) => text.startsWith("unreachable")),
    [],
    "its end says nothing about the box",
  );
  a.peers.stop();
  b.peers.stop();
});

test.run();
