import { test } from "uvu";
import * as assert from "uvu/assert";
import { arpAnnouncement, decodeArp } from "../../../src/linux/arp.ts";
import { openNetlink } from "../../../src/linux/netlink.ts";
import { openPacketSocket } from "../../../src/linux/packet.ts";
import { createTestNet } from "../../support/vip/namespaces.ts";

const net = createTestNet({ a: "10.99.0.1/24", b: "10.99.0.2/24" });
const link = (box: string) => {
  const found = net.inside(box, () => openNetlink().findLink("eth0"));
  if (found === undefined) throw new Error("no eth0");
  return found;
};
const MAC = "02:00:5e:10:00:01";

test("frames for the filtered addresses arrive whole and in order, others do not, and nothing waits", () => {
  const sender = net.inside("a", () => openPacketSocket(link("a").index));
  const receiver = net.inside("b", () => openPacketSocket(link("b").index, ["10.99.0.50", "10.99.0.51"]));
  assert.is(receiver.receive(), undefined);
  for (const ip of ["10.99.0.50", "10.99.0.49", "10.99.0.51", "10.99.0.52"]) {
    assert.is(sender.send(arpAnnouncement(MAC, ip)), "sent");
  }
  const first = receiver.receive();
  const second = receiver.receive();
  assert.equal(first, arpAnnouncement(MAC, "10.99.0.50"));
  assert.is(second === undefined ? "" : decodeArp(second)?.senderIp, "10.99.0.51");
  assert.is(receiver.receive(), undefined);
  sender.close();
  receiver.close();
});

test("a frame that nftables drops at egress is refused, a link that is down is an errno, a closed socket too", () => {
  const socket = net.inside("a", () => openPacketSocket(link("a").index));
  net.run(
    "a",
    "nft -f -",
    `table netdev t { chain c { type filter hook egress device "eth0" priority 0; arp saddr ip 10.99.0.50 drop\n }\n }\n`,
  );
  assert.is(socket.send(arpAnnouncement(MAC, "10.99.0.50")), "refused");
  assert.is(socket.send(arpAnnouncement(MAC, "10.99.0.51")), "sent");
  net.run("a", "ip link set eth0 down");
  assert.equal(socket.send(arpAnnouncement(MAC, "10.99.0.51")), { errno: 100 }); // ENETDOWN
  socket.close();
  socket.close();
  assert.equal(socket.send(arpAnnouncement(MAC, "10.99.0.51")), { errno: 19 }); // ENODEV
});

test("an interface that does not exist is an error that names it", () => {
  assert.throws(() => openPacketSocket(9999), /receive frames on interface 9999: ENODEV/);
});

test.run();
