/** The rack's witnesses: each must see the fault that it is there for, or a demo's "1 holder" means nothing. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { monotonicMs, waitFor } from "../support/rack/command.ts";
import { domainXml } from "../support/rack/guest/domain-example.ts";
import { doubleRun, lastRecord, ringRecords } from "../support/rack/guest/record.ts";
import type { Guest } from "../support/rack/guest/template.ts";
import { VIP } from "../support/rack/plan.ts";
import type { Rack, RackHost, RackNode } from "../support/rack/rack.ts";
import { answerTimes, judgeHolders, longestGap } from "../support/rack/watch/judge.ts";
import { freshRack } from "./fresh-rack.ts";

const name = "twat";
let rack: Rack;

test.before(async () => {
  rack = await freshRack({ name, boxes: 3, hosts: 2, bare: true });
});
test.after(async () => {
  await rack?.down();
});

/** Stands in for the product: the address alone, without its locks. */
const setVip = async (box: RackNode, verb: "add" | "del") => {
  const { code, stderr } = await box.exec(["ip", "address", verb, `${VIP}/32`, "dev", "eth0"]);
  assert.is(code, 0, stderr);
};
const announce = (box: RackNode) => box.exec(["arping", "-U", "-c1", "-Ieth0", `-s${VIP}`, VIP]);

test("the prober sees as a gap the time in which the address was away", async () => {
  const box = rack.box(0);
  await setVip(box, "add");
  const prober = await rack.watchAddresses();
  const answered = () => answerTimes(prober.events(), "vip").length;
  await waitFor("answers", 5000, () => answered() > 20);
  const goneAt = monotonicMs();
  await setVip(box, "del");
  await Bun.sleep(400);
  await setVip(box, "add");
  const backAt = monotonicMs();
  const count = answered();
  await waitFor("answers again", 5000, () => answered() > count + 20);
  const events = await prober.stop();
  const gap = longestGap(answerTimes(events, "vip"), goneAt - 50, monotonicMs());
  assert.ok(gap.ms > 380 && gap.ms < backAt - goneAt + 100, `${gap.ms} ms, away at most ${backAt - goneAt} ms`);
  assert.ok((gap.untilMs ?? 0) > goneAt + 380 && (gap.fromMs ?? 0) < backAt, "one clock for all");
  const steady = longestGap(answerTimes(events, "vip"), goneAt - 60, goneAt - 10);
  assert.ok(steady.ms < 40, `${steady.ms} ms while nothing happened`);
  await setVip(box, "del");
});

test("the holder watcher sees one holder after another as one, and two at once as two", async () => {
  const watcher = await rack.watchHolders();
  const [a, b] = [rack.box(0), rack.box(1)];
  const macOf = (box: RackNode) => box.plan.wires[0]?.mac ?? "";
  const hasAnswered = (box: RackNode) =>
    watcher.events().some((event) => event.kind === "holder" && event.mac === macOf(box));
  await setVip(a, "add");
  await waitFor("box0 to hold", 5000, () => hasAnswered(a));
  await setVip(a, "del");
  await setVip(b, "add");
  await waitFor("box1 to hold", 5000, () => hasAnswered(b));
  const inTurn = judgeHolders(await watcher.settled());
  assert.equal([inTurn.max, inTurn.overlaps], [1, []]);
  assert.equal(
    inTurn.holdings.map((holding) => holding.mac),
    [macOf(a), macOf(b)],
  );
  const overlapFrom = monotonicMs();
  await setVip(a, "add");
  await setVip(a, "del");
  const overlapUntil = monotonicMs();
  const verdict = judgeHolders(await watcher.stop());
  assert.is(verdict.max, 2);
  for (const overlap of verdict.overlaps) {
    assert.equal(overlap.macs, [macOf(a), macOf(b)]);
    assert.ok(overlap.atMs >= overlapFrom && overlap.atMs <= overlapUntil);
  }
  await setVip(b, "del");
});

test("a partition does not hide a second holder, a power cut makes one vanish", async () => {
  const [a, b] = [rack.box(0), rack.box(1)];
  await rack.partition([a], [b]);
  await setVip(a, "add");
  await setVip(b, "add");
  await announce(a);
  const watcher = await rack.watchHolders();
  await waitFor("two holders", 5000, () => judgeHolders(watcher.events()).max === 2);
  const { cutAtMs } = await a.powerCut();
  await Bun.sleep(300);
  const events = await watcher.stop();
  const mac = a.plan.wires[0]?.mac;
  const late = events.filter((event) => event.kind === "holder" && event.mac === mac && event.atMs > cutAtMs + 1);
  assert.equal(late, [], "a box without power answers nobody");
  await a.powerOn();
  await setVip(b, "del");
  await rack.heal();
});

async function startGuest(host: RackHost, guest: Guest, shareable: boolean): Promise<string> {
  const xml = domainXml({ ...guest, shareable, serialFile: `/var/log/libvirt/qemu/${guest.name}-serial.log` });
  const { code, stderr } = await host.exec(["sh", "-c", "cat >/tmp/guest.xml && virsh create /tmp/guest.xml"], {
    stdin: xml,
  });
  return code === 0 ? "started" : stderr;
}
const stopGuest = (host: RackHost, guest: Guest) => host.exec(["virsh", "destroy", guest.name]);

test("a guest that moves is one run; the same guest on two hosts at once is a double run", async () => {
  const guest = await rack.guest(0);
  const [here, there] = [rack.host(0), rack.host(1)];
  const watcher = await rack.watchDisks([guest]);
  const numberAfter = async (number: number) => {
    const record = await waitFor("records", 10_000, () => {
      const last = lastRecord(guest.diskPath);
      return last !== undefined && last.number >= number ? last : undefined;
    });
    return record.number;
  };
  assert.is(await startGuest(here, guest, true), "started");
  let number = await numberAfter(3);
  await here.powerCut();
  await here.powerOn();
  assert.is(await startGuest(there, guest, true), "started");
  number = await numberAfter(number + 5);
  assert.is(new Set(ringRecords(guest.diskPath).map((record) => record.bootId)).size, 2);
  assert.equal(doubleRun(ringRecords(guest.diskPath)), []);
  assert.is(await startGuest(here, guest, true), "started");
  await numberAfter(number + 12);
  const guilty = doubleRun(ringRecords(guest.diskPath));
  assert.is(guilty.length, 2, JSON.stringify(ringRecords(guest.diskPath)));
  const seen = (await watcher.stop()).flatMap((event) => (event.kind === "record" ? [event] : []));
  assert.equal([...doubleRun(seen)].sort(), [...guilty].sort(), "the watcher saw the same two");
  await stopGuest(here, guest);
  await stopGuest(there, guest);
});

test("without <shareable/> QEMU's own lock refuses the second start, which would hide the double run", async () => {
  const guest = await rack.guest(1);
  assert.is(await startGuest(rack.host(0), guest, false), "started");
  assert.match(await startGuest(rack.host(1), guest, false), /lock/);
  await stopGuest(rack.host(0), guest);
});

test.run();
