import { test } from "uvu";
import * as assert from "uvu/assert";
import { openNftables } from "../../../src/linux/nftables.ts";
import { createLeaseTable, gatedInterfaces, leaseTableText } from "../../../src/vip/lease-table.ts";
import { createTokenSource } from "../../../src/vip/token.ts";
import { createTestNet } from "../../support/vip/namespaces.ts";

const VIP = "10.99.0.100";
const config = { vips: [{ interface: "eth0", address: VIP, prefix: 24 }], powerInterfaces: ["lo"] };
const net = createTestNet({ a: "10.99.0.1/24", client: "10.99.0.9/24" });
net.run("a", `ip addr add ${VIP}/32 dev eth0`);
const nft = net.inside("a", openNftables);
const table = createLeaseTable(config, nft);

/** Whether the wire gets an answer to an ARP question for the address. */
function isAnswered(): boolean {
  try {
    net.run("client", `arping -q -c 1 -w 0.2 -I eth0 ${VIP}`);
    return true;
  } catch {
    return false;
  }
}

test("the gate is closed when it is loaded, opens for a live and active token, and closes by its time alone", async () => {
  assert.ok(isAnswered(), "the client can see the address at all");
  assert.is(table.load(["eth0", "lo"]), undefined);
  assert.not.ok(isAnswered());
  assert.is(table.activate(4, true), undefined);
  assert.not.ok(isAnswered(), "active, never alive");
  assert.is(table.addLive(5, 400), undefined);
  assert.not.ok(isAnswered(), "alive, not active");
  // Long beside what one question takes on a busy machine.
  assert.is(table.addLive(6, 2000), undefined);
  assert.is(table.activate(6, true), undefined);
  assert.ok(isAnswered());
  await Bun.sleep(2020);
  assert.not.ok(isAnswered());
});

test("an activation after a pause names a dead token and opens nothing", async () => {
  assert.is(table.addLive(7, 100), undefined);
  await Bun.sleep(120);
  assert.is(table.activate(7, true), undefined);
  assert.not.ok(isAnswered());
});

test("power alone does not open the address, and a flush closes everything at once", () => {
  table.addLive(8, 10_000);
  table.activate(8, false);
  assert.not.ok(isAnswered());
  table.activate(8, true);
  assert.ok(isAnswered());
  assert.is(table.flushVip(), undefined);
  assert.not.ok(isAnswered());
  table.activate(8, true);
  assert.is(table.flush(), undefined);
  assert.is(table.activate(8, true), undefined);
  assert.not.ok(isAnswered(), "a flushed token is never alive again");
});

test("hundreds of activations under steady pings lose none: the exchange is one step for every packet", async () => {
  table.addLive(9, 60_000);
  table.activate(9, true);
  const ping = Bun.spawn(["ip", "netns", "exec", net.name("client"), "ping", "-q", "-i", "0.002", "-w", "30", VIP]);
  let count = 0;
  while (count < 600) {
    for (let burst = 0; burst < 50; burst++, count++) {
      table.addLive(10 + count, 60_000);
      assert.is(table.activate(10 + count, true), undefined);
    }
    await Bun.sleep(0);
  }
  // It tells its count and ends.
  ping.kill("SIGINT");
  const told = await new Response(ping.stdout).text();
  assert.match(told, / 0% packet loss/);
  assert.ok(Number(/(\d+) received/.exec(told)?.[1]) > 20, told);
});

test("verify sees any change of the tables, and a reload mends it", () => {
  assert.is(table.load(["eth0", "lo"]), undefined);
  assert.ok(table.verify());
  for (const damage of [
    "flush chain netdev lease gate_vip",
    "insert rule netdev lease in0 accept",
    "delete table inet lease_power",
    "delete table netdev lease",
  ]) {
    net.run("a", `nft ${damage}`);
    assert.not.ok(table.verify(), damage);
    assert.is(table.load(["eth0", "lo"]), undefined);
    assert.ok(table.verify());
  }
  table.addLive(11, 1000);
  assert.ok(table.verify(), "tokens are not part of it");
});

test("several addresses on several interfaces get their chains; an interface with both uses gets one pair", () => {
  const many = {
    vips: [
      { interface: "eth0", address: "10.99.0.100", prefix: 24 },
      { interface: "eth0", address: "10.99.0.101", prefix: 24 },
      { interface: "lo", address: "10.98.0.100", prefix: 24 },
    ],
    powerInterfaces: ["lo"],
  };
  assert.equal(gatedInterfaces(many), ["eth0", "lo"]);
  assert.is(createLeaseTable(many, nft).load(["eth0", "lo"]), undefined);
  const listed = net.run("a", "nft list table netdev lease");
  assert.is(listed.split("jump gate_vip").length - 1, 12);
  assert.is(listed.split("jump gate_power").length - 1, 1);
});

test("no address and no power interface is valid: then no power datagram leaves at all", () => {
  assert.is(createLeaseTable({ vips: [], powerInterfaces: [] }, nft).load(["eth0", "lo"]), undefined);
  assert.match(net.run("a", "nft list table inet lease_power"), /udp sport 60600-60699 drop/);
});

test("a power interface that is absent gets no hook, and the guard lets nothing out through it", () => {
  assert.is(createLeaseTable({ vips: [], powerInterfaces: ["lo", "bmc0"] }, nft).load(["lo"]), undefined);
  assert.not.match(net.run("a", "nft list ruleset"), "bmc0");
  assert.match(net.run("a", "nft list table inet lease_power"), /oifname != "lo" drop/);
});

test("text that is no interface name or IPv4 address never reaches nft", () => {
  for (const name of ['eth0"; flush ruleset; "', "", "a-name-that-is-too-long", "eth0 "]) {
    assert.throws(() => leaseTableText({ vips: [], powerInterfaces: [name] }), /not an interface name/);
  }
  const vip = { interface: "eth0", address: "10.99.0.100 accept", prefix: 24 };
  assert.throws(() => leaseTableText({ vips: [vip], powerInterfaces: [] }), /not an IPv4 address/);
  for (const token of [0, -1, 1.5, 2 ** 32, Number.NaN])
    assert.throws(() => table.addLive(token, 100), /Cannot use token/);
});

test("tokens are the boot clock's low 32 bits, strictly rising, never 0", () => {
  let now = 2 ** 32 - 2.5;
  const next = createTokenSource(() => now);
  assert.is(next(), 2 ** 32 - 3);
  assert.is(next(), 2 ** 32 - 2);
  assert.is(next(), 2 ** 32 - 1);
  assert.is(next(), 1, "0 is left out");
  now += 100;
  assert.is(next(), 97);
});

test.run();
