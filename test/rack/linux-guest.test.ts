/** time-limit: 120 s. The linux tier: a real kernel that answers ping and is seen on its disk. */
import { test } from "uvu";
import * as assert from "uvu/assert";
import { monotonicMs, waitFor } from "../support/rack/command.ts";
import { domainXml } from "../support/rack/guest/domain-example.ts";
import { lastRecord } from "../support/rack/guest/record.ts";
import { guestTemplate } from "../support/rack/guest/template.ts";
import type { Rack } from "../support/rack/rack.ts";
import { answerTimes } from "../support/rack/watch/judge.ts";
import { freshRack } from "./fresh-rack.ts";

let rack: Rack;

test.before(async () => {
  rack = await freshRack({ name: "tlin", boxes: 0, hosts: 2, tier: "linux" });
});
test.after(async () => {
  await rack?.down();
});

test("a guest answers ping and writes records; started again on another host it is found there at once", async () => {
  const guest = await rack.guest(0);
  const prober = await rack.watchAddresses({ guest: guest.address }, 20);
  const disk = await rack.watchDisks([guest]);
  const xml = domainXml({ ...guest, serialFile: "/var/log/libvirt/qemu/guest0-serial.log" });
  const bootIds = new Set<string>();
  for (const host of rack.hosts) {
    const startedAt = monotonicMs();
    const { code, stderr } = await host.exec(["sh", "-c", "cat >/tmp/guest.xml && virsh create /tmp/guest.xml"], {
      stdin: xml,
    });
    assert.is(code, 0, stderr);
    const answeredAt = await waitFor("the guest to answer", 45_000, () =>
      answerTimes(prober.events(), "guest").find((at) => at > startedAt),
    );
    const recordedAt = await waitFor(
      "the guest's record",
      20_000,
      () => disk.events().find((event) => event.kind === "record" && event.atMs > startedAt)?.atMs,
    );
    console.log(
      `${host.name}: answers ${Math.round(answeredAt - startedAt)} ms, writes ${Math.round(recordedAt - startedAt)} ms after its start`,
    );
    const qemu = host.processes().find((process) => process.name === guest.name);
    assert.ok(Math.abs((qemu?.startedAtMs ?? 0) - startedAt) < 3000, "QEMU's start is on the same clock");
    bootIds.add(lastRecord(guest.diskPath)?.bootId ?? "");
    // Only the network's cable: the guest goes on writing, which is what fencing is for.
    await host.cut("mgmt");
    const { number = 0 } = lastRecord(guest.diskPath) ?? {};
    await waitFor("more records", 10_000, () => (lastRecord(guest.diskPath)?.number ?? 0) > number + 3);
    await host.powerCut();
  }
  assert.is(bootIds.size, 2);
  await prober.stop();
  await disk.stop();
});

test("the template names disk, kernel and address as hosts see them", async () => {
  const text = guestTemplate(await rack.guest(0), 'SCHED_RANK = "x"\n');
  assert.match(text, /KERNEL = "\/var\/lib\/one\/datastores\/2\/vmlinux"/);
  assert.match(text, /SOURCE = "\/var\/lib\/one\/datastores\/1\/guest0.raw".*SHAREABLE = "YES"/);
  assert.match(text, /MAC = "02:52:46:00:80:00", IP = "10.77.0.128"/);
});

test.run();
