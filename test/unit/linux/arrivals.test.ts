import { test } from "uvu";
import * as assert from "uvu/assert";
import { openArrivals } from "../../../src/linux/arrivals.ts";
import { openNetlink } from "../../../src/linux/netlink.ts";
import { openPacketSocket } from "../../../src/linux/packet.ts";
import { createTestNet } from "../../support/vip/namespaces.ts";

const net = createTestNet({ a: "10.99.0.1/24", b: "10.99.0.2/24" });

/** Until it holds, at most 5 s. */
async function until(isTrue: () => boolean): Promise<void> {
  for (const end = performance.now() + 5000; !isTrue(); await Bun.sleep(5))
    if (performance.now() > end) throw new Error("not within 5 s");
}

test("news of a link and a frame are arrivals until they are read; a closed socket is none", async () => {
  const arrivals = openArrivals();
  const askFor = (): void => {
    net.run("b", "ip neigh flush all");
    net.run("b", "ping -c 1 -W 2 10.99.0.1");
  };
  const netlink = net.inside("a", openNetlink);
  const index = netlink.findLink("eth0")?.index ?? 0;
  const socket = net.inside("a", () => openPacketSocket(index));
  arrivals.add(netlink.descriptor);
  arrivals.add(socket.descriptor);
  netlink.pollLinkChanges();
  while (socket.receive() !== undefined);
  assert.not(arrivals.any());

  net.run("a", "ip link set eth0 alias cable");
  await until(() => arrivals.any());
  assert.ok(arrivals.any(), "a level, not an edge");
  assert.ok(netlink.pollLinkChanges().length > 0);
  assert.not(arrivals.any());

  askFor();
  await until(() => arrivals.any());
  while (socket.receive() !== undefined);
  assert.not(arrivals.any());

  askFor();
  await until(() => arrivals.any());
  socket.close();
  assert.not(arrivals.any());
  assert.throws(() => arrivals.add(socket.descriptor), /Cannot watch descriptor/);
  netlink.close();
});

test.run();
