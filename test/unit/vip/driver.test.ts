import { test } from "uvu";
import * as assert from "uvu/assert";
import { arpAnnouncement } from "../../../src/linux/arp.ts";
import { openNetlink } from "../../../src/linux/netlink.ts";
import { openPacketSocket } from "../../../src/linux/packet.ts";
import { readSetting } from "../../../src/linux/sysctl.ts";
import { linuxPorts } from "../../../src/parts/gate.ts";
import type { HolderConfig } from "../../../src/vip/config.ts";
import { createHolder, type Holder } from "../../../src/vip/driver.ts";
import type { HolderPorts } from "../../../src/vip/ports.ts";
import { createTestNet } from "../../support/vip/namespaces.ts";

const VIP = "10.99.0.100";
const net = createTestNet({ a: "10.99.0.1/24", b: "10.99.0.2/24", client: "10.99.0.9/24" });
const config: HolderConfig = {
  vips: [{ interface: "eth0", address: VIP, prefix: 24 }],
  powerInterfaces: ["eth0"],
  conflict: "release",
  announceIntervalMs: 1000,
  apiFreshMs: 1000,
  apiDeadMs: 2000,
};

interface Box {
  readonly holder: Holder;
  readonly alarms: string[];
  readonly transfers: string[];
  /** One heartbeat round that a quorum answers at once. */
  beat(): void;
  /** Beats and ticks every 10 ms until `isReached`, at most 5 s. */
  until(what: string, isReached: () => boolean): Promise<void>;
  addresses(): string;
}

let round = 0;
function createBox(box: string, changes: Partial<HolderConfig> = {}): Box {
  const alarms: string[] = [];
  const transfers: string[] = [];
  const ports: HolderPorts = net.inside(box, () =>
    linuxPorts(
      (code) => alarms.push(code),
      (why) => transfers.push(why),
    ),
  );
  const holder = net.inside(box, () => createHolder({ ...config, ...changes }, ports));
  const beat = (): void => {
    round++;
    holder.beforeRound(round, 590);
    holder.apiAnswered();
    holder.roundConfirmed(round);
    net.inside(box, () => holder.tick());
  };
  return {
    holder,
    alarms,
    transfers,
    beat,
    until: async (what, isReached) => {
      for (const end = performance.now() + 5000; !isReached(); await Bun.sleep(10)) {
        if (performance.now() > end) throw new Error(`not reached in 5 s: ${what}; ${JSON.stringify(holder.status())}`);
        beat();
      }
    },
    addresses: () => net.run(box, "ip -4 addr show eth0"),
  };
}

async function hold(box: Box): Promise<void> {
  box.beat();
  box.holder.leaderReady(box.holder.status().leadership === "leader" ? 1 : round);
  await box.until("holding", () => box.holder.status().holding);
}

/** Whether someone answers the client's ping within 1 s. */
function isAnswered(): boolean {
  net.run("client", "ip neigh flush all");
  try {
    net.run("client", `ping -c 1 -W 0.3 ${VIP}`);
    return true;
  } catch {
    return false;
  }
}

test("a leader takes the address only after its no-op and the probe, answers, and stops answering on release", async () => {
  const a = createBox("a");
  assert.is(
    net.inside("a", () => readSetting("eth0", "arp_ignore")),
    1,
  );
  for (let count = 0; count < 5; count++) a.beat();
  assert.not.match(a.addresses(), VIP);
  await hold(a);
  assert.match(a.addresses(), `inet ${VIP}/32 scope global dynamic noprefixroute eth0`);
  assert.ok(isAnswered());
  assert.ok((a.holder.status().leaseRemainingMs ?? 0) > 0);
  a.holder.release();
  assert.not.match(a.addresses(), VIP);
  assert.not.ok(isAnswered());
  for (let count = 0; count < 5; count++) a.beat();
  a.holder.leaderReady(999);
  a.beat();
  assert.not.ok(a.holder.status().holding, "never again in this term");
  assert.equal(a.alarms, []);
  a.holder.leadershipLost();
  await hold(a);
  assert.ok(isAnswered(), "but in a later one");
  a.holder.stop();
  assert.not.match(a.addresses(), VIP);
});

test("a follower hears the holder's announcement through the closed gate, takes over without a probe, and answers nothing before", async () => {
  const a = createBox("a");
  const b = createBox("b");
  const tickB = (): void => net.inside("b", () => b.holder.tick());
  tickB();
  assert.is(b.holder.status().claim, "unproven");
  await hold(a);
  for (const end = performance.now() + 5000; b.holder.status().claim !== "free"; await Bun.sleep(10)) {
    if (performance.now() > end) throw new Error("b heard no announcement in 5 s");
    a.beat();
    tickB();
  }
  // The address without a lease: b's kernel hears the announcements, and would answer them and all questions.
  net.run("b", `ip addr add ${VIP}/32 dev eth0`);
  a.holder.release();
  assert.not.ok(isAnswered());
  net.inside("client", () => {
    const link = openNetlink().findLink("eth0");
    const socket = openPacketSocket(link?.index ?? 0);
    socket.send(arpAnnouncement(link?.mac ?? "", VIP));
    socket.close();
  });
  assert.not.ok(isAnswered());
  net.run("b", `ip addr del ${VIP}/32 dev eth0`);
  b.beat();
  b.holder.leaderReady(round);
  b.beat();
  assert.ok(b.holder.status().holding, "at once");
  assert.ok(isAnswered());
  a.holder.stop();
  b.holder.stop();
});

test("without a new confirmed round the kernel ends it: no ping, no ARP and no announcement passes", async () => {
  const a = createBox("a");
  await hold(a);
  const socket = net.inside("a", () => openPacketSocket(openNetlink().findLink("eth0")?.index ?? 0));
  const mac = net.inside("a", () => openNetlink().findLink("eth0")?.mac ?? "");
  a.beat();
  assert.is(socket.send(arpAnnouncement(mac, VIP)), "sent");
  assert.is(socket.send(arpAnnouncement(mac, "10.99.0.1")), "sent");
  while (a.holder.status().leaseRemainingMs > 0) await Bun.sleep(10);
  await Bun.sleep(8); // two jiffies of the kernel's timers
  assert.is(socket.send(arpAnnouncement(mac, VIP)), "refused");
  assert.is(socket.send(arpAnnouncement(mac, "10.99.0.1")), "sent", "other addresses are free");
  assert.match(a.addresses(), VIP, "the address is still there");
  assert.not.ok(isAnswered());
  a.holder.stop();
  socket.close();
});

test("a client follows the announcement: its ARP cache names the new box without a question of its own", async () => {
  const a = createBox("a");
  const b = createBox("b");
  const cached = (): string => net.run("client", `ip neigh show ${VIP}`);
  const macOf = (box: string): string => net.inside(box, () => openNetlink().findLink("eth0")?.mac ?? "");
  await hold(a);
  assert.ok(isAnswered());
  assert.match(cached(), macOf("a"));
  a.holder.release();
  // As on a box, where it ticks all the time: what waits in its socket is of the time when the other one held.
  net.inside("b", () => b.holder.tick());
  await hold(b);
  await b.until("the client follows", () => cached().includes(macOf("b")));
  a.holder.stop();
  b.holder.stop();
});

test("power datagrams leave only under a live token, other source ports always, other interfaces never", async () => {
  const a = createBox("a", { vips: [] });
  assert.equal(a.holder.status().addresses, []);
  // Not 623: FENCE may name any port.
  const received: number[] = [];
  const bmc = await net.inside("client", () =>
    Bun.udpSocket({ port: 6230, socket: { data: (_socket, _data, port) => void received.push(port) } }),
  );
  const power = await net.inside("a", () => Bun.udpSocket({ port: 60600 }));
  const query = await net.inside("a", () => Bun.udpSocket({ port: 50600 }));
  /** Sends from both ports; the query's arrival shows that the power datagram would have arrived too. */
  const isPowerThrough = async (): Promise<boolean> => {
    received.length = 0;
    try {
      power.send("off", 6230, "10.99.0.9");
    } catch (error) {
      assert.match(String(error), /ENOBUFS|EPERM/); // what the sender reads of the gate, and of the guard of other interfaces
    }
    query.send("status", 6230, "10.99.0.9");
    for (const end = performance.now() + 2000; !received.includes(50600); await Bun.sleep(1)) {
      if (performance.now() > end) throw new Error("the status query did not arrive");
    }
    return received.includes(60600);
  };
  assert.not.ok(await isPowerThrough(), "no token yet");
  a.beat();
  a.holder.leaderReady(1);
  a.beat();
  assert.ok(a.holder.status().token !== undefined);
  assert.ok(await isPowerThrough(), "under a live token");
  while (a.holder.status().leaseRemainingMs > 0) await Bun.sleep(10);
  await Bun.sleep(8); // two jiffies of the kernel's timers
  assert.not.ok(await isPowerThrough(), "the token has died");
  a.beat();
  a.holder.release();
  assert.not.ok(await isPowerThrough(), "released");
  a.holder.stop();
  const elsewhere = createBox("a", { vips: [], powerInterfaces: ["lo"] });
  elsewhere.beat();
  elsewhere.holder.leaderReady(1);
  elsewhere.beat();
  assert.ok(elsewhere.holder.status().token !== undefined);
  assert.not.ok(await isPowerThrough(), "a live token opens the configured interfaces only");
  elsewhere.holder.stop();
  for (const socket of [bmc, power, query]) socket.close();
});

for (const damage of [
  "delete table netdev lease",
  "flush chain netdev lease in0",
  "delete chain netdev lease out0",
  "flush ruleset",
]) {
  test(`after "nft ${damage}" the address is gone at the next tick, then the gate is rebuilt and taken again`, async () => {
    const a = createBox("a");
    await hold(a);
    net.run("a", `nft ${damage}`);
    net.inside("a", () => a.holder.tick());
    assert.not.match(a.addresses(), VIP);
    assert.equal(a.alarms, ["vip-table"]);
    assert.not.ok(a.holder.status().holding);
    assert.ok(a.holder.status().isTableSound, "rebuilt in the same turn");
    await a.until("holding again", () => a.holder.status().holding);
    assert.ok(isAnswered());
    a.holder.stop();
  });
}

test("a link that was re-created loses the address, gets new hooks, and is taken again", async () => {
  const a = createBox("a");
  await hold(a);
  const recreate = (): void => {
    net.run("switch", `ip link add port-a type veth peer name eth0 netns ${net.name("a")}`);
    net.run("switch", "ip link set port-a master br0 up");
    net.run("a", "ip addr add 10.99.0.1/24 dev eth0");
    net.run("a", "ip link set eth0 up");
  };
  net.run("a", "ip link del eth0");
  a.beat();
  assert.not.ok(a.holder.status().isTableSound);
  assert.equal(a.alarms, ["vip-table"]);
  recreate();
  await a.until("holding again", () => a.holder.status().holding);
  assert.ok(isAnswered());
  // Gone and back between two ticks.
  net.run("a", "ip link del eth0");
  recreate();
  a.beat();
  assert.is(a.holder.status().incidents.tableLosses, 2);
  await a.until("holding again", () => a.holder.status().holding);
  assert.ok(isAnswered());
  a.holder.stop();
});

test("an interface that is missing at the start is waited for, with one alarm", async () => {
  const a = createBox("a", { vips: [{ interface: "late0", address: VIP, prefix: 24 }] });
  for (let count = 0; count < 5; count++) a.beat();
  assert.equal(a.alarms, ["vip-table"]);
  assert.not.ok(a.holder.status().isTableSound);
  net.run("a", "ip link add late0 type veth peer name late1");
  await a.until("a sound table", () => a.holder.status().isTableSound);
  assert.equal(a.alarms, ["vip-table"]);
  a.holder.stop();
  net.run("a", "ip link del late0");
});

test("a missing way to the BMCs costs an alarm, not the address, and is gated as soon as it appears", async () => {
  const a = createBox("a", { powerInterfaces: ["bmc0"] });
  await hold(a);
  assert.equal(a.alarms, ["vip-power-interface"]);
  net.run("a", "ip link add bmc0 type veth peer name bmc1");
  await a.until("its hook", () => net.run("a", "nft list table netdev lease").includes('egress device "bmc0"'));
  await a.until("holding again", () => a.holder.status().holding);
  a.holder.stop();
  net.run("a", "ip link del bmc0");
});

test("a foreign device that claims the address is let have it within one turn, and power goes on", async () => {
  const a = createBox("a");
  await hold(a);
  await a.until("settled", () => a.holder.status().lastAnnounceAt !== undefined);
  await Bun.sleep(60);
  a.beat();
  const foreign = net.inside("client", () => {
    const link = openNetlink().findLink("eth0");
    const socket = openPacketSocket(link?.index ?? 0);
    assert.is(socket.send(arpAnnouncement(link?.mac ?? "", VIP)), "sent");
    return socket;
  });
  net.inside("a", () => a.holder.tick());
  assert.not.match(a.addresses(), VIP);
  assert.equal(a.alarms, ["vip-conflict"]);
  a.beat();
  assert.is(a.holder.status().claim, "withheld");
  assert.ok(a.holder.status().token !== undefined, "the power gate keeps its token");
  foreign.close();
  a.holder.stop();
});

test("a foreign device that answers the probe keeps us from claiming", async () => {
  net.run("client", `ip addr add ${VIP}/32 dev eth0`);
  const a = createBox("a");
  a.beat();
  a.holder.leaderReady(1);
  await a.until("the answer", () => a.holder.status().claim === "withheld");
  assert.not.match(a.addresses(), VIP);
  net.run("client", `ip addr del ${VIP}/32 dev eth0`);
  a.holder.stop();
});

test("an address that a killed process left is removed when the gate is loaded", () => {
  net.run("a", `ip addr add ${VIP}/32 dev eth0`);
  const a = createBox("a");
  assert.not.match(a.addresses(), VIP);
  a.holder.stop();
});

test("the daemon's own restart never opens the gate: tokens of the former table are gone", async () => {
  const a = createBox("a");
  await hold(a);
  const next = createBox("a");
  net.run("a", `ip addr add ${VIP}/32 dev eth0`);
  assert.not.ok(isAnswered());
  next.holder.stop();
});

// Sockets of a test that failed must not keep the file running.
test.after(() => void setTimeout(() => process.exit(), 100));
test.run();
