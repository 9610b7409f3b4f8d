import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Transition } from "../../../src/one/change.ts";
import { allHosts, freeCapacity, type HostRow } from "../../../src/one/host/row.ts";
import { hostFenceNote, hostLost, hostMonitored } from "../../../src/one/host/transitions.ts";
import { SoloFrontEnd } from "../../support/solo-front-end.ts";

let box: SoloFrontEnd;
let entry = 0;
test.before.each(async () => {
  box = await SoloFrontEnd.start();
  await box.value("one.host.allocate", "h0", "kvm", "kvm", -1);
});
test.after.each(() => box.stop());

async function host(): Promise<HostRow> {
  const [row] = (await box.state.readRows(allHosts().sql)) as readonly unknown[] as readonly HostRow[];
  if (row === undefined) throw new Error("no host");
  return row;
}
async function commit(transition: Transition): Promise<void> {
  if (!transition.ok) throw new Error(transition.why);
  entry++;
  const outcome = await box.commit({ version: 1, requestId: `h:${entry}`, kind: "test", at: 0, ...transition.change });
  if (outcome.kind !== "done") throw new Error(JSON.stringify(outcome));
}
const heard = async (cpu = 800, mem = 16_000_000): Promise<void> =>
  commit(hostMonitored(await host(), { totalCpu: cpu, totalMem: mem, facts: "<ARCH><![CDATA[x86_64]]></ARCH>" }));

test("a host lives: INIT, heard, lost with its reason, heard again, disabled, offline, enabled, renamed, deleted", async () => {
  const state = async (): Promise<string> => /<STATE>(\d+)</.exec(await box.value("one.host.info", 0))?.[1] ?? "";
  assert.is(await state(), "0");
  await heard();
  assert.is(await state(), "2");
  await commit(hostLost(await host(), "no answer"));
  assert.is(await state(), "3");
  assert.match(await box.value("one.host.info", 0), "<ERROR><![CDATA[no answer]]></ERROR>");
  await heard();
  assert.not.match(await box.value("one.host.info", 0), "<ERROR>");
  for (const [status, expected] of [
    [1, "4"],
    [2, "8"],
    [0, "0"],
  ] as const) {
    assert.is(await box.value("one.host.status", 0, status), "0");
    assert.is(await state(), expected);
  }
  assert.is((await box.call("one.host.status", 0, 7)).text, "[one.host.status] Wrong status code [7]");
  await box.value("one.host.rename", 0, "<h&1>");
  assert.match(await box.value("one.hostpool.info"), "<NAME>&lt;h&amp;1&gt;</NAME>");
  await box.value("one.host.delete", 0);
  assert.is((await box.call("one.host.info", 0)).code, 1024);
  assert.is(await box.value("one.host.allocate", "h1", "kvm", "kvm", -1), "1", "an id is never given twice");
});

test("a lost host keeps the state that a person gave it, and its facts", async () => {
  await heard();
  await box.value("one.host.status", 0, 1);
  await commit(hostLost(await host(), "no answer"));
  assert.is((await host()).state, 4);
  assert.match(await box.value("one.host.info", 0), "<ARCH>");
});

test("allocate refuses what it cannot serve", async () => {
  const text = async (...args: readonly [string, string, string, number]): Promise<string> =>
    (await box.call("one.host.allocate", ...args)).text;
  assert.match(await text("x", "xen", "kvm", -1), 'IM_MAD "xen" is not one of kvm, qemu');
  assert.match(await text("", "kvm", "kvm", -1), "NAME cannot be empty");
  assert.match(await text("x".repeat(129), "kvm", "kvm", -1), "max length is 128");
  assert.match(await text("x", "kvm", "kvm", 55), "Error getting cluster [55].");
});

test("a FENCE password leaves by no call and is in no entry in clear", async () => {
  const secret = "s3cr3t-of-the-bmc";
  await box.value("one.host.update", 0, `FENCE=[METHOD=ipmi,ADDRESS=10.0.0.9,USER=root,PASSWORD="${secret}"]`, 0);
  const dump = JSON.stringify([
    await box.value("one.host.info", 0),
    await box.value("one.host.info", 0, true),
    await box.value("one.hostpool.info"),
    box.entries,
    await box.state.read("SELECT * FROM host"),
  ]);
  assert.not.match(dump, secret);
  assert.match(dump, "***");
  const kept = JSON.parse((await host()).fence) as readonly Record<string, string>[];
  assert.match(kept[0]?.["PASSWORD"] ?? "", /^sealed:/);
});

test("what onehost update shows in the editor can be saved as it is: password, facts and reserved stay", async () => {
  await heard();
  await box.value("one.host.update", 0, 'FENCE=[METHOD=ipmi,ADDRESS=10.0.0.9,PASSWORD="pw"]\nRACK=7', 0);
  const before = await host();
  const info = await box.value("one.host.info", 0);
  const shown = /<TEMPLATE>.*<\/TEMPLATE>/.exec(info)?.[0] ?? "";
  assert.is(await box.value("one.host.update", 0, shown, 0), "0");
  const after = await host();
  assert.equal(JSON.parse(after.fence), JSON.parse(before.fence));
  assert.is(after.template, before.template);
  assert.is(await box.value("one.host.info", 0), info);
  const moved = await box.call("one.host.update", 0, 'FENCE=[METHOD=ipmi,ADDRESS=10.9.9.9,PASSWORD="***"]', 0);
  assert.equal([moved.code, moved.objectId], [2048, 0]);
  assert.match(moved.text, /FENCE at 10\.9\.9\.9/);
  await box.value("one.host.update", 0, "RACK=8", 1);
  assert.is((await host()).fence, after.fence, "an append leaves FENCE alone");
});

test("reserved capacity is plain or a share, which is reckoned when the host tells what it has", async () => {
  await box.value("one.host.update", 0, 'RESERVED_CPU="10%"\nRESERVED_MEM=1000', 0);
  await heard(800, 16_000);
  assert.equal(freeCapacity(await host()), { cpu: 720, mem: 15_000 });
  assert.match(await box.value("one.host.info", 0), "<MAX_MEM>15000</MAX_MEM><MAX_CPU>720</MAX_CPU>");
  assert.match((await box.call("one.host.update", 0, "RESERVED_CPU=some", 0)).text, "a number or N%");
});

test("why a host is held is shown where people look", async () => {
  await commit({ ok: true, change: hostFenceNote(0, "HELD: BMC <silent>") });
  assert.match(await box.value("one.host.info", 0), "<FENCE_STATE><![CDATA[HELD: BMC <silent>]]></FENCE_STATE>");
  assert.is(
    (await box.call("one.host.delete", 0)).text,
    "[one.host.delete] Can not remove a host that is being fenced: HELD: BMC <silent>",
  );
  await heard();
  await box.value("one.vm.allocate", "CPU=1\nMEMORY=64", false);
  assert.match((await box.call("one.vm.deploy", 0, 0, true)).text, "host h0 is being fenced: HELD: BMC <silent>");
  assert.match(await box.value("one.hostpool.info"), "<STATE>3</STATE>", "lists show err, not on");
  await commit({ ok: true, change: hostFenceNote(0, "") });
  assert.not.match(await box.value("one.host.info", 0), "FENCE_STATE");
  assert.match(await box.value("one.hostpool.info"), "<STATE>2</STATE>");
});

test("a host with VMs is not deleted, not even when one came between plan and entry", async () => {
  await heard();
  await box.value("one.vm.allocate", "CPU=1\nMEMORY=64", false);
  const plan = box.call("one.host.delete", 0);
  box.beforeApply = async () => {
    await box.apply({ sql: "UPDATE host SET running_vms=1 WHERE id=0", values: [] });
  };
  const answer = await plan;
  assert.equal([answer.code, answer.text], [2048, "[one.host.delete] Can not remove a host with running VMs"]);
});

test.run();
