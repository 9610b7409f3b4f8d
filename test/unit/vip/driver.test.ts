import { test } from "uvu";
import * as assert from "uvu/assert";
import { arpAnnouncement } from "../../../src/linux/arp.ts";
import { openNetlink } from "../../../src/linux/netlink.ts";
import { openPacketSocket } from "../../../src/linux/packet.ts";
import { readSetting } from "../../../src/linux/sysctl.ts";
import type { HolderConfig } from "../../../src/vip/config.ts";
import { createHolder, type Holder } from "../../../src/vip/driver.ts";
import type { HolderPorts } from "../../../src/vip/ports.ts";
import { createLinuxPorts } from "../../support/vip/linux-ports.ts";
import { createTestNet } from "../../support/vip/namespaces.ts";

const VIP = "10.99.0.100";
const net = createTestNet({ a: "10.99.0.1/24", b: "10.99.0.2/24", client: "10.99.0.9/24" });
const config: HolderConfig = {
  vips: [{ interface: "eth0", address: VIP, prefix: 24 }],
  powerInterfaces: ["eth0"],
  leaseMs: 590,
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
    createLinuxPorts(
      (code) => alarms.push(code),
      (why) => transfers.push(why),
    ),
  );
  const holder = net.inside(box, () => createHolder({ ...config, ...changes }, ports));
  const beat = (): void => {
    round++;
    holder.beforeRound(round);
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

test.run();
