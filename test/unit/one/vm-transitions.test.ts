import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Change } from "../../../src/base/entry.ts";
import type { Transition } from "../../../src/one/change.ts";
import { allHosts, type HostRow } from "../../../src/one/host/row.ts";
import { hostDisabled, hostFenceNote, hostLost, hostMonitored } from "../../../src/one/host/transitions.ts";
import type { Query } from "../../../src/one/query.ts";
import { isLegal, VM_TRANSITIONS, type VmStep, vmPhaseName } from "../../../src/one/vm/phases.ts";
import { type VmRow, vmById } from "../../../src/one/vm/row.ts";
import * as steps from "../../../src/one/vm/transitions.ts";
import { SoloFrontEnd } from "../../support/solo-front-end.ts";

const NOW = 1_800_000_000;
const FACTS = { totalCpu: 400, totalMem: 4 * 1024 * 1024, facts: "<ARCH><![CDATA[x86_64]]></ARCH>" };

let box: SoloFrontEnd;
let entry = 0;

test.before(async () => {
  box = await SoloFrontEnd.start();
  for (const name of ["a", "b", "c"]) await box.value("one.host.allocate", name, "kvm", "kvm", -1);
  for (const host of await hosts()) await done(hostMonitored(host, FACTS));
});
test.after(() => box.stop());

async function rows<R>({ sql, values }: Query<R>): Promise<readonly R[]> {
  return (await box.state.readRows(sql, values)) as readonly unknown[] as readonly R[];
}
const hosts = (): Promise<readonly HostRow[]> => rows(allHosts());
async function host(id: number): Promise<HostRow> {
  const row = (await hosts()).find((one) => one.id === id);
  if (row === undefined) throw new Error(`no host ${id}`);
  return row;
}
async function vm(id: number): Promise<VmRow> {
  const [row] = await rows(vmById(id));
  if (row === undefined) throw new Error(`no vm ${id}`);
  return row;
}
async function newVm(template = "CPU=1\nMEMORY=1024"): Promise<number> {
  return Number(await box.value("one.vm.allocate", template, false));
}
function commit(change: Change) {
  entry++;
  return box.commit({ version: 1, requestId: `steps:${entry}`, kind: "test", at: 0, ...change });
}
function change(transition: Transition): Change {
  if (!transition.ok) throw new Error(transition.why);
  return transition.change;
}
async function done(transition: Transition): Promise<void> {
  const outcome = await commit(change(transition));
  if (outcome.kind !== "done") throw new Error(JSON.stringify(outcome));
}
async function rejected(transition: Transition): Promise<string> {
  const outcome = await commit(change(transition));
  if (outcome.kind !== "rejected") throw new Error(`not rejected: ${JSON.stringify(outcome)}`);
  return outcome.why;
}
/** CPU, memory and VMs that are counted on each host, as the rows say and as the VMs add up to. */
async function capacity(): Promise<void> {
  for (const row of await hosts()) {
    const [sum] = await box.state.read(
      "SELECT coalesce(sum(cpu),0),coalesce(sum(memory),0),count(*) FROM vm WHERE host_id=?",
      [row.id],
    );
    assert.equal([row.cpu_usage, row.mem_usage, row.running_vms], sum, `host ${row.id}`);
  }
}

test("a VM lives: placed, running, powered off, started again, ended; capacity adds up at every step", async () => {
  const id = await newVm();
  const walk: (() => Promise<Transition>)[] = [
    async () => steps.placed(await vm(id), await host(0), NOW, { enforce: true }),
    async () => steps.running(await vm(id), `one-${id}`, NOW + 1),
    async () => steps.poweringOff(await vm(id), false),
    async () => steps.poweredOff(await vm(id), NOW + 2),
    async () => steps.restarted(await vm(id)),
    async () => steps.running(await vm(id), `one-${id}`, NOW + 3),
    async () => steps.terminating(await vm(id), true),
    async () => steps.terminated(await vm(id), NOW + 4),
  ];
  const phases: string[] = [];
  for (const step of walk) {
    await done(await step());
    await capacity();
    phases.push(vmPhaseName(await vm(id)));
  }
  assert.is(phases.join(" "), "BOOT RUNNING SHUTDOWN_POWEROFF POWEROFF BOOT RUNNING SHUTDOWN DONE");
  assert.is((await vm(id)).host_id, null);
  assert.is((await vm(id)).etime, NOW + 4);
});

test("of a deploy and a resubmit of one VM that were planned on the same state one is rejected", async () => {
  const id = await newVm();
  await done(steps.placed(await vm(id), await host(0), NOW, { enforce: true }));
  await done(steps.bootFailed(await vm(id), "no such disk"));
  const seen = await vm(id);
  const toB = steps.resubmitted(seen, await host(1), NOW);
  const toC = steps.resubmitted(seen, await host(2), NOW);
  await done(toB);
  assert.match(await rejected(toC), /vm \d+ was changed meanwhile/);
  assert.is((await vm(id)).host_id, 1);
  await capacity();
  await done(steps.terminated(await vm(id), NOW));
});

test("the room of a host is guarded when the entry is applied, not when it was planned", async () => {
  const first = await newVm("CPU=3\nMEMORY=64");
  const second = await newVm("CPU=3\nMEMORY=64");
  const empty = await host(0);
  const one = steps.placed(await vm(first), empty, NOW, { enforce: true });
  const two = steps.placed(await vm(second), empty, NOW, { enforce: true });
  await done(one);
  assert.match(await rejected(two), /no room/);
  await done(steps.placed(await vm(second), empty, NOW, { enforce: false }));
  await capacity();
  for (const id of [first, second]) await done(steps.terminated(await vm(id), NOW));
  assert.is((await host(0)).cpu_usage, 0);
});

test("a host that left service between plan and entry takes no VM", async () => {
  const id = await newVm();
  const plan = steps.placed(await vm(id), await host(2), NOW, { enforce: true });
  await done(hostDisabled(await host(2)));
  assert.match(await rejected(plan), /not in service/);
  assert.is((await vm(id)).state, 1);
  await done(steps.terminated(await vm(id), NOW));
});

test("nothing is started on a host with an open fencing record: not placed, not resubmitted, not started again", async () => {
  const [fresh, crashed, off] = [await newVm(), await newVm(), await newVm()];
  for (const id of [crashed, off]) {
    await done(steps.placed(await vm(id), await host(0), NOW, { enforce: true }));
    await done(steps.running(await vm(id), `one-${id}`, NOW));
  }
  await done(steps.failed(await vm(crashed), "crash", NOW));
  await done(steps.poweringOff(await vm(off), true));
  await done(steps.poweredOff(await vm(off), NOW));
  const plans = [
    steps.placed(await vm(fresh), await host(0), NOW, { enforce: false }),
    steps.resubmitted(await vm(crashed), await host(0), NOW),
    steps.restarted(await vm(off)),
  ];
  await done({ ok: true, change: hostFenceNote(0, "INTENT: silent") });
  for (const plan of plans) assert.match(await rejected(plan), /being fenced/);
  await done({ ok: true, change: hostFenceNote(0, "") });
  for (const plan of plans) await done(plan);
  for (const id of [fresh, crashed, off]) await done(steps.terminated(await vm(id), NOW));
});

test("HOST to ERROR and its running and booting VMs to UNKNOWN is one entry; others stay", async () => {
  const [runs, boots, stops, elsewhere] = [await newVm(), await newVm(), await newVm(), await newVm()];
  for (const id of [runs, boots, stops]) await done(steps.placed(await vm(id), await host(0), NOW, { enforce: true }));
  await done(steps.placed(await vm(elsewhere), await host(1), NOW, { enforce: true }));
  for (const id of [runs, stops]) await done(steps.running(await vm(id), `one-${id}`, NOW));
  await done(steps.poweringOff(await vm(stops), false));
  await done(hostLost(await host(0), "no answer for 2 s"));
  assert.is((await host(0)).state, 3);
  assert.is((await host(0)).error, "no answer for 2 s");
  const phases = await Promise.all([runs, boots, stops, elsewhere].map(async (id) => vmPhaseName(await vm(id))));
  assert.equal(phases, ["UNKNOWN", "UNKNOWN", "SHUTDOWN_POWEROFF", "BOOT"]);

  await done(steps.resubmitted(await vm(runs), await host(1), NOW + 9));
  await capacity();
  const records = await box.state.read("SELECT seq,hid,etime FROM history WHERE vm_id=? ORDER BY seq", [runs]);
  assert.equal(records, [
    [0, 0, NOW + 9],
    [1, 1, 0],
  ]);
  await done(steps.adopted(await vm(boots), 0, `one-${boots}`, NOW + 9));
  assert.is(vmPhaseName(await vm(boots)), "RUNNING");
  assert.not.ok(steps.adopted(await vm(runs), 0, `one-${runs}`, NOW).ok, "it belongs to host 1 now");
  await done(hostMonitored(await host(0), FACTS));
  for (const id of [runs, boots, stops, elsewhere]) await done(steps.terminated(await vm(id), NOW));
});

test("a crashed guest keeps its place and is resubmitted on the same host without counting twice", async () => {
  const id = await newVm();
  await done(steps.placed(await vm(id), await host(0), NOW, { enforce: true }));
  await done(steps.running(await vm(id), `one-${id}`, NOW));
  await done(steps.failed(await vm(id), "guest crashed", NOW));
  assert.is((await vm(id)).reason, "guest crashed");
  await capacity();
  await done(steps.resubmitted(await vm(id), await host(0), NOW));
  await capacity();
  assert.is((await vm(id)).seq, 1);
  await done(steps.terminated(await vm(id), NOW));
});

test("the table is the judge: every step from every phase is taken exactly when it is in the table", async () => {
  const id = await newVm();
  await done(steps.placed(await vm(id), await host(0), NOW, { enforce: true }));
  const row = await vm(id);
  const target = await host(1);
  const take: Readonly<Record<VmStep, (vm: VmRow) => Transition>> = {
    placed: (one) => steps.placed(one, target, NOW, { enforce: true }),
    running: (one) => steps.running(one, "one-1", NOW),
    bootFailed: (one) => steps.bootFailed(one, ""),
    unknown: (one) => steps.unknown(one, ""),
    failed: (one) => steps.failed(one, "", NOW),
    resubmitted: (one) => steps.resubmitted(one, target, NOW),
    restarted: (one) => steps.restarted(one),
    recreating: (one) => steps.recreating(one, true),
    requeued: (one) => steps.requeued(one, true, NOW),
    poweringOff: (one) => steps.poweringOff(one, true),
    poweredOff: (one) => steps.poweredOff(one, NOW),
    terminating: (one) => steps.terminating(one, true),
    terminated: (one) => steps.terminated(one, NOW),
    stopFailed: (one) => steps.stopFailed(one, ""),
    held: steps.held,
    released: steps.released,
  };
  let legal = 0;
  for (const step of Object.keys(VM_TRANSITIONS) as VmStep[]) {
    for (let state = 0; state <= 11; state++) {
      for (let lcm = 0; lcm <= 60; lcm++) {
        const one = { ...row, state, lcm_state: lcm };
        const moved = take[step](one);
        assert.is(moved.ok, isLegal(one, step), `${step} from ${state}/${lcm}`);
        if (!moved.ok) continue;
        legal++;
        assert.ok(
          moved.change.guards.some(({ sql }) => sql === "SELECT version FROM vm WHERE id=?"),
          `${step} has no guard`,
        );
        assert.ok(moved.change.tags.includes(`vm:${id}`));
      }
    }
  }
  assert.is(
    legal,
    Object.values(VM_TRANSITIONS).reduce((sum, { from }) => sum + from.length, 0),
  );
  await done(steps.terminated(await vm(id), NOW));
});

test("nothing leads out of DONE, and only starts lead to BOOT", () => {
  for (const [step, { from, to }] of Object.entries(VM_TRANSITIONS)) {
    assert.not.ok(
      from.some((phase) => phase.state === 6),
      step,
    );
    if (to.state === 3 && to.lcm === 2) assert.ok(["placed", "resubmitted", "restarted"].includes(step), step);
  }
});

test.run();
