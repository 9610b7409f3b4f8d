import { test } from "uvu";
import * as assert from "uvu/assert";
import { type LinkChange, openNetlink } from "../../../src/linux/netlink.ts";
import { createTestNet } from "../../support/vip/namespaces.ts";

const net = createTestNet({ a: "10.99.0.1/24" });
const netlink = net.inside("a", openNetlink);

test("a link is found by its name with index, MAC and carrier, an unknown one is undefined", () => {
  const shown = JSON.parse(net.run("a", "ip -j link show eth0"))[0];
  const link = netlink.findLink("eth0");
  assert.is(link?.index, shown.ifindex);
  assert.is(link?.mac, shown.address);
  assert.ok(link?.isUp);
  assert.ok(link?.hasCarrier);
  assert.is(netlink.findLink("eth7"), undefined);
});

test("an address is added as /32 with a lifetime and without a route, renewed, listed and deleted", () => {
  const index = netlink.findLink("eth0")?.index ?? 0;
  netlink.setAddress(index, "10.99.0.100", 32, 3);
  const shown = net.run("a", "ip addr show eth0");
  assert.match(shown, /inet 10\.99\.0\.100\/32 scope global dynamic noprefixroute eth0/);
  netlink.setAddress(index, "10.99.0.100", 32, 60);
  const listed = netlink.listAddresses().filter((row) => row.address === "10.99.0.100");
  assert.is(listed.length, 1);
  assert.ok((listed[0]?.validSeconds ?? 0) >= 59);
  assert.is(listed[0]?.prefix, 32);
  assert.not.match(net.run("a", "ip route"), /10\.99\.0\.100/);
  netlink.deleteAddress(index, "10.99.0.100", 32);
  netlink.deleteAddress(index, "10.99.0.100", 32);
  assert.not.ok(netlink.listAddresses().some((row) => row.address === "10.99.0.100"));
});

test("the kernel's refusal is an error with the address and the errno's name", () => {
  assert.throws(() => netlink.setAddress(9999, "10.99.0.100", 32, 3), /add address "10\.99\.0\.100" .* ENODEV/);
});

test("carrier loss, return and removal of a link arrive as changes", async () => {
  const arrives = async (what: string, isIt: (change: LinkChange) => boolean): Promise<void> => {
    // The kernel reports a carrier at most once a second.
    for (const end = performance.now() + 5000; !netlink.pollLinkChanges().some(isIt); await Bun.sleep(5)) {
      if (performance.now() > end) throw new Error(`not reported in 5 s: ${what}`);
    }
  };
  const isEth0 = (change: LinkChange): boolean => change.kind !== "overrun" && change.link.name === "eth0";
  net.run("switch", "ip link set port-a down");
  await arrives("carrier loss", (c) => isEth0(c) && c.kind === "changed" && !c.link.hasCarrier);
  net.run("switch", "ip link set port-a up");
  await arrives("carrier", (c) => isEth0(c) && c.kind === "changed" && c.link.hasCarrier);
  net.run("a", "ip link del eth0");
  await arrives("removal", (c) => isEth0(c) && c.kind === "removed");
  assert.equal(netlink.pollLinkChanges(), []);
});

test.run();
