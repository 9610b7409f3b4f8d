import { generateKeyPairSync } from "node:crypto";
import { type AddressInfo, connect, createServer } from "node:net";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { bedMissing, startBed, until } from "../../support/hypervisor-bed/bed.ts";
import { connectTo, stopAll } from "../../support/hypervisor-bed/connect.ts";

const missing = bedMissing();
if (missing !== undefined) console.log(`skipped: ${missing}`);
const bed = missing === undefined ? await startBed({ libvirt: false }) : undefined;
const withBed = (name: string, run: (host: NonNullable<typeof bed>) => Promise<void>): void => {
  if (bed !== undefined) test(name, () => run(bed).finally(stopAll));
};

/** A way to the host on which each of its answers takes `delayMs`, and none comes after the first `answers`. */
async function slowWay(
  host: NonNullable<typeof bed>,
  delayMs: number,
  answers = Number.POSITIVE_INFINITY,
): Promise<{ readonly port: number; close(): void }> {
  const server = createServer((near) => {
    let left = answers;
    const far = connect(host.port, host.address);
    far.on("data", (bytes) => {
      if (left-- > 0) setTimeout(() => near.write(bytes), delayMs);
    });
    near.on("data", (bytes) => far.write(bytes));
    for (const [one, other] of [[near, far] as const, [far, near] as const]) {
      one.on("error", () => undefined);
      one.on("close", () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, host.localAddress, resolve));
  return { port: (server.address() as AddressInfo).port, close: () => server.close() };
}

withBed("a connection is ready within a second and its beacon comes each half second", async (host) => {
  const began = performance.now();
  const { connection, signals, reaches } = connectTo(host);
  await reaches("ready", 1000);
  console.log(`ready after ${Math.round(performance.now() - began)} ms`);
  const ticks = (): number[] =>
    signals.flatMap((signal) => (signal.kind === "line" && signal.line.kind === "tick" ? [signal.line.uptimeMs] : []));
  await until(() => ticks().length >= 4, 3000, "four ticks");
  const [first = 0, , , fourth = 0] = ticks();
  assert.ok(fourth - first >= 1400 && fourth - first < 2400, `${fourth - first} ms for three intervals`);
  assert.match(connection.bootId ?? "", /^[0-9a-f-]{36}-\d+$/);
  const uptime = Number((await host.run("cat", "/proc/uptime")).stdout.split(" ")[0]) * 1000;
  assert.ok(Math.abs(uptime - (connection.hostUptimeMs() ?? 0)) < 300);
  await connection.stop();
});

withBed("commands give their code, output and complaint, side by side within a key's order", async (host) => {
  const { connection, reaches } = connectTo(host);
  await reaches("ready");
  const options = { deadlineMs: 3000, key: "a" };
  assert.equal(await connection.run(() => ({ send: "echo out; echo err >&2; exit 3\n" }), options), {
    kind: "done",
    code: 3,
    stdout: "out\n",
    stderr: "err\n",
  });
  const order = await Promise.all([
    connection.run(() => ({ send: "sleep 0.1; cat /proc/uptime\n" }), options),
    connection.run(() => ({ send: "cat /proc/uptime\n" }), options),
  ]);
  const [slow, after] = order.map((result) => (result.kind === "done" ? Number(result.stdout.split(" ")[0]) : 0));
  assert.ok((slow ?? 0) <= (after ?? 0));
  await connection.stop();
});

withBed(
  "a command that is refused at the last moment never reaches the host, one past its deadline is unknown",
  async (host) => {
    const { connection, reaches } = connectTo(host);
    await reaches("ready");
    const refused = await connection.run(() => ({ refuse: "no lease" }), { deadlineMs: 1000, key: "a" });
    assert.equal(refused, { kind: "not-sent", why: "no lease" });
    const late = await connection.run(() => ({ send: "sleep 5\n" }), { deadlineMs: 100, key: "a" });
    assert.equal(late, { kind: "unknown", why: "no answer in 100 ms" });
    const cut = connection.run(() => ({ send: "echo >/run/began; sleep 20\n" }), { deadlineMs: 20_000, key: "b" });
    await until(async () => (await host.run("test", "-e", "/run/began")).code === 0, 3000, "the command began");
    const stopping = connection.run(() => ({ send: "sleep 5\n" }), { deadlineMs: 5000, key: "a" });
    const stoppedAt = performance.now();
    await connection.stop();
    assert.is((await stopping).kind, "not-sent", "it had not begun when the connection stopped");
    assert.is((await cut).kind, "unknown", "it had begun");
    assert.ok(performance.now() - stoppedAt < 1000);
    const after = await connection.run(() => ({ send: "true\n" }), { deadlineMs: 1000, key: "a" });
    assert.is(after.kind, "not-sent");
  },
);

withBed("a host key other than the pinned one is refused, with the host and both fingerprints", async (host) => {
  const pinned = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
  const { connection, reaches } = connectTo(host, { keys: { pin: async () => pinned } });
  await reaches("host-key-mismatch");
  const { reason } = connection.state;
  for (const part of ["node-1", host.address, pinned, host.fingerprint, "ringfence host trust node-1"]) {
    assert.match(reason, part);
  }
  await connection.stop();
});

withBed("the first connection offers the host's key to be pinned", async (host) => {
  const offers: string[] = [];
  const keys = {
    pin: async (_hostId: number, offered: string) => {
      offers.push(offered);
      return offered;
    },
  };
  const { connection, reaches } = connectTo(host, { keys });
  await reaches("ready");
  assert.equal(offers, [host.fingerprint]);
  await connection.stop();
});

withBed("no connection is made while the pinned key cannot be known", async (host) => {
  const { connection, reaches } = connectTo(host, { keys: { pin: () => Promise.reject(new Error("no leader")) } });
  await reaches("silent");
  assert.match(connection.state.reason, "Cannot check the host key");
  assert.match(connection.state.reason, "no leader");
  await connection.stop();
});

withBed("a closed port and a key that is not accepted are refusals, each with what to do", async (host) => {
  const closed = connectTo(host, { port: 23 });
  await closed.reaches("refused");
  assert.match(
    closed.connection.state.reason,
    `Cannot connect to host "node-1" at ${host.address}:23: connection refused`,
  );
  const stranger = generateKeyPairSync("rsa", {
    modulusLength: 2048,
    privateKeyEncoding: { type: "pkcs1", format: "pem" },
    publicKeyEncoding: { type: "spki", format: "pem" },
  });
  const locked = connectTo(host, { privateKey: stranger.privateKey });
  await locked.reaches("refused");
  assert.match(locked.connection.state.reason, "ringfence ssh-key");
  const nameless = connectTo(host, { address: "no-such-host.invalid" });
  await nameless.reaches("silent", 15_000);
  assert.match(nameless.connection.state.reason, /name cannot be resolved .*SSH_ADDRESS/);
  await Promise.all([closed, locked, nameless].map(({ connection }) => connection.stop()));
});

withBed(
  "a frozen host is silent within 3 s though it accepts connections, and is back soon after the thaw",
  async (host) => {
    const { connection, reaches } = connectTo(host);
    await reaches("ready");
    await host.freeze();
    const frozenAt = performance.now();
    await reaches("silent", 3000);
    console.log(`frozen: silent after ${Math.round(performance.now() - frozenAt)} ms`);
    const socket = await Bun.connect({ hostname: host.address, port: host.port, socket: { data: () => undefined } });
    socket.end();
    await until(() => connection.state.reason.includes("no greeting"), 12_000, "the reconnection got no greeting");
    await host.thaw();
    await reaches("ready", 8000);
    await connection.stop();
  },
);

withBed(
  "a handshake takes as long as it goes on: slow answers, and a pin that takes the cluster its time",
  async (host) => {
    const way = await slowWay(host, 900);
    const began = performance.now();
    const pin = async (_host: number, offered: string): Promise<string> => {
      await Bun.sleep(6000);
      return offered;
    };
    const { connection, signals, reaches } = connectTo(host, {
      address: host.localAddress,
      port: way.port,
      keys: { pin },
    });
    await reaches("ready", 30_000);
    const tookMs = performance.now() - began;
    assert.ok(tookMs > 9_000, `ready after ${Math.round(tookMs)} ms only: nothing was slow`);
    const states = signals.flatMap((signal) => (signal.kind === "state" ? [signal.state.kind] : []));
    assert.equal(states, ["ready"], "at the first try");
    await connection.stop();
    way.close();
  },
);

withBed("a host that falls silent within the handshake is given up after five seconds", async (host) => {
  const way = await slowWay(host, 0, 2);
  const began = performance.now();
  const { connection, reaches } = connectTo(host, { address: host.localAddress, port: way.port });
  await reaches("silent", 9000);
  assert.match(connection.state.reason, "no word in the handshake for 5000 ms");
  assert.ok(performance.now() - began > 4900);
  await connection.stop();
  way.close();
});

withBed("a host that lost power without a word is met again after it returned, with another boot id", async (host) => {
  const { connection, reaches } = connectTo(host);
  await reaches("ready");
  const before = connection.bootId;
  await host.powerOff();
  await reaches("silent", 3000);
  await host.powerOn();
  await reaches("ready", 10_000);
  assert.is.not(connection.bootId, before);
  await connection.stop();
});

withBed("a box's new loop ends its forgotten predecessor, and another box's loop goes on", async (host) => {
  const first = connectTo(host);
  const other = connectTo(host, { boxId: "box-2" });
  await Promise.all([first.reaches("ready"), other.reaches("ready")]);
  const second = connectTo(host);
  await second.reaches("ready");
  const complaint = (): boolean =>
    first.signals.some((signal) => signal.kind === "line" && signal.line.kind === "complaint");
  await until(complaint, 3000, "the first loop said why it ends");
  assert.is(second.connection.state.kind, "ready");
  assert.is(other.connection.state.kind, "ready");
  await Promise.all([first, second, other].map(({ connection }) => connection.stop()));
});

withBed("nothing of a connection is left on the host after it was stopped", async (host) => {
  const { connection, reaches } = connectTo(host);
  connection.follow(true);
  await reaches("ready");
  await until(() => host.processes("sh").length >= 4, 3000, "the loops run");
  await connection.stop();
  // The host's first process is a shell, too.
  await until(() => host.processes("sh").length + host.processes("cat").length <= 1, 8000, "the loops ended");
});

test("this file ran as far as the machine allows", () => assert.ok(bed !== undefined || missing !== undefined));
test.after(async () => {
  await stopAll();
  await bed?.stop();
});
test.run();
