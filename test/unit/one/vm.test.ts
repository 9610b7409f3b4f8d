import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Transition } from "../../../src/one/change.ts";
import { allHosts, type HostRow } from "../../../src/one/host/row.ts";
import { hostLost, hostMonitored } from "../../../src/one/host/transitions.ts";
import { vmPhaseName } from "../../../src/one/vm/phases.ts";
import { type VmRow, vmById } from "../../../src/one/vm/row.ts";
import * as steps from "../../../src/one/vm/transitions.ts";
import { type RpcArgument, SoloFrontEnd } from "../../support/solo-front-end.ts";

let box: SoloFrontEnd;
let entry = 0;
test.before.each(async () => {
  box = await SoloFrontEnd.start();
  for (const name of ["h0", "h1"]) await box.value("one.host.allocate", name, "kvm", "kvm", -1);
  for (const host of await hosts())
    await commit(hostMonitored(host, { totalCpu: 400, totalMem: 4_000_000, facts: "" }));
});
test.after.each(() => box.stop());

async function hosts(): Promise<readonly HostRow[]> {
  return (await box.state.readRows(allHosts().sql)) as readonly unknown[] as readonly HostRow[];
}
async function vm(id = 0): Promise<VmRow> {
  const { sql, values } = vmById(id);
  const [row] = (await box.state.readRows(sql, values)) as readonly unknown[] as readonly VmRow[];
  if (row === undefined) throw new Error(`no vm ${id}`);
  return row;
}
const phase = async (id = 0): Promise<string> => vmPhaseName(await vm(id));
async function commit(transition: Transition): Promise<void> {
  if (!transition.ok) throw new Error(transition.why);
  entry++;
  const outcome = await box.commit({ version: 1, requestId: `v:${entry}`, kind: "test", at: 0, ...transition.change });
  if (outcome.kind !== "done") throw new Error(JSON.stringify(outcome));
}
const act = (action: string, id = 0) => box.call("one.vm.action", action, id);
/** VM 0 runs on host 0. */
async function start(): Promise<void> {
  await box.value("one.vm.allocate", "CPU=1\nMEMORY=64", false);
  await box.value("one.vm.deploy", 0, 0, true);
  await commit(steps.running(await vm(), "one-0", 5));
}

test("a VM is made from a template: name, extra attributes, hold, machine and user parts apart", async () => {
  await box.value("one.template.allocate", "NAME=small\nCPU=0.5\nMEMORY=512\nHA_PRIORITY=3\nNIC=[BRIDGE=br0]");
  assert.is(await box.value("one.template.instantiate", 0), "0");
  assert.is(await box.value("one.template.instantiate", 0, "web", true, "MEMORY=256\nROLE=db"), "1");
  const [first, second] = [await box.value("one.vm.info", 0), await box.value("one.vm.info", 1)];
  assert.match(first, "<NAME>small</NAME>".replace("small", "one-0"));
  assert.match(first, "<USER_TEMPLATE><HA_PRIORITY><![CDATA[3]]></HA_PRIORITY></USER_TEMPLATE>");
  assert.match(first, /<MAC><!\[CDATA\[02:00:[0-9a-f:]{11}\]\]><\/MAC>/);
  assert.match(
    first,
    "<TEMPLATE_ID><![CDATA[0]]></TEMPLATE_ID><TM_MAD_SYSTEM><![CDATA[shared]]></TM_MAD_SYSTEM><VMID><![CDATA[0]]></VMID>",
  );
  assert.match(second, "<NAME>web</NAME>");
  assert.match(second, "<MEMORY><![CDATA[256]]></MEMORY>");
  assert.match(second, "<ROLE><![CDATA[db]]></ROLE>");
  assert.equal([await phase(0), await phase(1)], ["PENDING", "HOLD"]);
  assert.equal([(await vm(0)).cpu, (await vm(0)).memory], [50, 512 * 1024]);
  const uuids = new Set([first, second].map((xml) => /<UUID><!\[CDATA\[([0-9a-f-]{36})/.exec(xml)?.[1]));
  assert.is(uuids.size, 2);
});

test("a VM that cannot be built is refused with OpenNebula's texts", async () => {
  const why = async (template: string): Promise<string> => {
    const answer = await box.call("one.vm.allocate", template, false);
    assert.is(answer.code, 16384, template);
    return answer.text;
  };
  assert.is(
    await why("MEMORY=64"),
    "[one.vm.allocate] Error allocating a new virtual machine. CPU attribute must be a positive float or integer value.",
  );
  assert.match(await why("CPU=-1\nMEMORY=64"), "CPU attribute");
  assert.match(await why("CPU=1\nMEMORY=0.5"), "MEMORY attribute must be a positive integer value.");
  assert.match(await why("CPU=1\nMEMORY=64\nVCPU=x"), "VCPU attribute");
  assert.match(await why("CPU=1\nMEMORY=64\nDISK=[IMAGE_ID=9]"), "image 9 does not exist");
  assert.match(await why("CPU=1\nMEMORY=64\nDISK=[SIZE=1]"), "IMAGE_ID, IMAGE or SOURCE is needed");
  assert.match(await why("CPU=1\nMEMORY=64\nDISK=[SOURCE=/a/../b]"), "absolute path");
  assert.match(await why("CPU=1\nMEMORY=64\nNIC=[NETWORK=private]"), "BRIDGE is needed");
  assert.match(await why("CPU=1\nMEMORY=64\nNIC=[BRIDGE=br0,MAC=xx]"), "MAC");
  assert.match(await why("CPU=1 MEMORY"), "CPU attribute");
  assert.match(await why("CPU=[A=1"), "Parse error");
});

test("what would be done by halves is refused, not left out in silence", async () => {
  await box.value("one.template.allocate", "NAME=small\nCPU=1\nMEMORY=64");
  assert.match((await box.call("one.template.instantiate", 0, "", false, "", true)).text, "not supported");
  assert.match((await box.call("one.template.delete", 0, true)).text, "delete them one by one");
  assert.ok((await box.call("one.template.delete", 0, false)).ok);
  assert.is((await box.call("one.template.info", 0)).code, 1024);
});

test("raw libvirt, an emulator or a file by name are an administrator's", async () => {
  await box.value("one.user.allocate", "ann", "annpw", "core");
  const ann = (template: string) => box.callAs("ann:annpw", "one.vm.allocate", template, false);
  assert.match((await ann('CPU=1\nMEMORY=64\nRAW=[TYPE=kvm,DATA="<x/>"]')).text, "restricted attribute RAW");
  assert.match((await ann("CPU=1\nMEMORY=64\nEMULATOR=/bin/sh")).text, "restricted attribute EMULATOR");
  assert.match((await ann("CPU=1\nMEMORY=64\nDISK=[SOURCE=/etc/shadow]")).text, "only an administrator");
  assert.ok((await ann("CPU=1\nMEMORY=64")).ok);
  assert.ok((await box.call("one.vm.allocate", "CPU=1\nMEMORY=64\nDISK=[SOURCE=/srv/vm.img]", false)).ok);
});

test("deploy: right state, right host, room when asked for", async () => {
  await box.value("one.vm.allocate", "CPU=3\nMEMORY=64", false);
  await box.value("one.vm.allocate", "CPU=3\nMEMORY=64", false);
  const deploy = (...args: readonly RpcArgument[]) => box.call("one.vm.deploy", ...args);
  assert.is((await deploy(9, 0, true)).text, "[one.vm.deploy] Error getting virtual machine [9].");
  assert.is((await deploy(0, 9, true)).text, "[one.vm.deploy] Error getting host [9].");
  assert.is((await deploy(0, 0, true, 7)).text, "[one.vm.deploy] Error getting system datastore [7].");
  assert.ok((await deploy(0, 0, true, 0)).ok);
  assert.is(await phase(0), "BOOT");
  assert.match((await deploy(0, 0, true)).text, "This action is not available for state BOOT");
  assert.match((await deploy(1, 0, true)).text, "Not enough capacity in host h0");
  assert.ok((await deploy(1, 0, false)).ok);
  assert.match(await box.value("one.host.info", 0), "<CPU_USAGE>600</CPU_USAGE>");
  assert.match(await box.value("one.host.info", 0), "<VMS><ID>0</ID><ID>1</ID></VMS>");
});

test("of many deploys of one VM exactly one is admitted", async () => {
  await box.value("one.vm.allocate", "CPU=1\nMEMORY=64", false);
  const answers = await Promise.all([0, 1, 0, 1, 0, 1].map((host) => box.call("one.vm.deploy", 0, host, true)));
  assert.is(answers.filter(({ ok }) => ok).length, 1);
  const running = (await hosts()).map((host) => host.running_vms);
  assert.is(
    running.reduce((sum, n) => sum + n, 0),
    1,
  );
});

test("hold, release, poweroff, resume, terminate: each verb where the table has it, OpenNebula's text elsewhere", async () => {
  await box.value("one.vm.allocate", "CPU=1\nMEMORY=64", false);
  const suspend = await act("suspend");
  assert.equal(
    [suspend.code, suspend.text],
    [2048, '[one.vm.action] Error performing action "suspend": This action is not available for state PENDING'],
  );
  assert.ok((await act("hold")).ok);
  assert.is(await phase(), "HOLD");
  assert.match((await act("hold")).text, "not available for state HOLD");
  assert.ok((await act("release")).ok);
  await box.value("one.vm.deploy", 0, 0, true);
  await commit(steps.running(await vm(), "one-0", 5));
  assert.ok((await act("resched")).ok);
  assert.is((await vm()).resched, 1);
  assert.ok((await act("unresched")).ok);
  assert.match((await act("reboot")).text, "This action is not supported");
  assert.match((await act("dance")).text, "This action is not supported");
  assert.ok((await act("poweroff")).ok);
  assert.is(await phase(), "SHUTDOWN_POWEROFF");
  await commit(steps.poweredOff(await vm(), 6));
  assert.ok((await act("resume")).ok);
  assert.is(await phase(), "BOOT");
  await commit(steps.running(await vm(), "one-0", 7));
  assert.ok((await act("terminate-hard")).ok);
  assert.equal([await phase(), (await vm()).hard], ["SHUTDOWN", 1]);
  await commit(steps.terminated(await vm(), 8));
  assert.is(await phase(), "DONE");
  assert.match((await act("terminate")).text, "not available for state DONE");
  assert.is(await box.value("one.vmpool.info", -2, -1, -1, -1), "<VM_POOL></VM_POOL>");
  assert.match(await box.value("one.vmpool.info", -2, -1, -1, 6), "<ID>0</ID>");
});

test("no verb takes a VM from its host while nobody knows that it is off there", async () => {
  await start();
  const [h0] = await hosts();
  if (h0 === undefined) throw new Error("no host");
  await commit(hostLost(h0, "silent"));
  assert.is(await phase(), "UNKNOWN");
  for (const verb of ["resubmit", "delete-recreate"]) {
    assert.ok((await act(verb)).ok, verb);
    assert.equal([await phase(), (await vm()).host_id], ["CLEANUP_RESUBMIT", 0]);
    assert.match((await box.call("one.vm.deploy", 0, 1, false)).text, "not available for state CLEANUP_RESUBMIT");
  }
  for (const operation of [0, 1, 2]) {
    assert.match((await box.call("one.vm.recover", 0, operation)).text, "is not available for state CLEANUP_RESUBMIT");
  }
  for (const operation of [3, 5]) {
    assert.ok((await box.call("one.vm.recover", 0, operation)).ok);
    assert.equal([await phase(), (await vm()).host_id], ["SHUTDOWN", 0], "its disk is not free before its host is");
  }
  await commit(steps.terminated(await vm(), 9));
});

test("resume of a VM whose host is out of service is refused", async () => {
  await start();
  const [h0] = await hosts();
  if (h0 === undefined) throw new Error("no host");
  await commit(hostLost(h0, "silent"));
  const answer = await act("resume");
  assert.equal([answer.ok, await phase()], [false, "UNKNOWN"]);
});

test("recover: failure, retry and success of a start", async () => {
  await box.value("one.vm.allocate", "CPU=1\nMEMORY=64", false);
  const recover = (operation: number) => box.call("one.vm.recover", 0, operation);
  assert.match((await recover(2)).text, "Recovery operation retry is not available for state PENDING");
  assert.match((await recover(17)).text, "Wrong recovery operation code");
  await box.value("one.vm.deploy", 0, 0, true);
  assert.ok((await recover(0)).ok);
  assert.is(await phase(), "BOOT_FAILURE");
  assert.match(await box.value("one.vm.info", 0), "<ERROR><![CDATA[declared failed by a person]]></ERROR>");
  assert.ok((await recover(2)).ok);
  assert.ok((await recover(1)).ok);
  assert.is(await phase(), "RUNNING");
  assert.not.match(await box.value("one.vm.info", 0), "<ERROR>");
});

test("an image is held by its VM and free after it: persistent by one, others by many", async () => {
  const add = (name: string, more: string) =>
    box.value("one.image.allocate", `NAME=${name}\nPATH=/var/lib/one/datastores/1/${name}\nSIZE=4\n${more}`, 1);
  await add("base.qcow2", "");
  await add("data.img", "PERSISTENT=YES");
  const both = "CPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]\nDISK=[IMAGE=data.img,TARGET=vdx]";
  await box.value("one.vm.allocate", both, false);
  assert.match(
    (await box.call("one.vm.allocate", both, false)).text,
    "Cannot get image [1]: it is in use or not ready",
  );
  await box.value("one.vm.allocate", "CPU=1\nMEMORY=64\nDISK=[IMAGE_ID=0]", false);
  const images = async () => box.state.read("SELECT state,running_vms FROM image ORDER BY id");
  assert.equal(await images(), [
    [2, 2],
    [8, 1],
  ]);
  const xml = await box.value("one.vm.info", 0);
  assert.match(xml, "<SOURCE><![CDATA[/var/lib/one/datastores/1/base.qcow2]]></SOURCE>");
  assert.match(xml, "<FORMAT><![CDATA[qcow2]]></FORMAT>");
  assert.match(xml, "<TARGET><![CDATA[vdx]]></TARGET>");
  assert.match((await box.call("one.image.delete", 0)).text, "There are 2 VMs using it.");
  assert.ok((await act("terminate", 0)).ok);
  assert.equal(await images(), [
    [2, 1],
    [1, 0],
  ]);
  assert.ok((await act("terminate", 1)).ok);
  assert.ok((await box.call("one.image.delete", 0)).ok);
});

test("images are checked: type, path, format, datastore; foreign paths are an administrator's", async () => {
  const why = async (template: string, datastore = 1): Promise<string> =>
    (await box.call("one.image.allocate", template, datastore)).text;
  assert.match(await why("PATH=/a"), "NAME cannot be empty");
  assert.match(await why("NAME=a\nPATH=a.img"), "absolute path");
  assert.match(await why("NAME=a\nPATH=/a;rm"), "plain characters");
  assert.match(await why("NAME=a\nPATH=/a\nFORMAT=vmdk"), "not raw or qcow2");
  assert.match(await why("NAME=a\nPATH=/a\nTYPE=X"), "TYPE is not one of");
  assert.match(await why("NAME=a\nPATH=/a", 0), "not an image datastore");
  assert.match(await why("NAME=a\nPATH=/a", 44), "Error getting datastore [44].");
  await box.value("one.user.allocate", "ann", "annpw", "core");
  const ann = (path: string) => box.callAs("ann:annpw", "one.image.allocate", `NAME=a\nPATH=${path}`, 1);
  assert.match((await ann("/etc/shadow")).text, "Not allowed to use image file /etc/shadow");
  assert.ok((await ann("/var/lib/one/datastores/1/ann.img")).ok);
});

test("update changes the user's part only, rename the name; both keep what we show there out", async () => {
  await start();
  await commit(steps.failed(await vm(), "guest crashed", 9));
  const shown = /<USER_TEMPLATE>.*<\/USER_TEMPLATE>/.exec(await box.value("one.vm.info", 0))?.[0] ?? "";
  assert.match(shown, "guest crashed");
  await box.value("one.vm.update", 0, `${shown.replace("</USER_TEMPLATE>", "<A>1</A></USER_TEMPLATE>")}`, 0);
  assert.is((await vm()).user_template, "<A><![CDATA[1]]></A>");
  await box.value("one.vm.update", 0, "B=2", 1);
  assert.is((await vm()).user_template, "<A><![CDATA[1]]></A><B><![CDATA[2]]></B>");
  await box.value("one.vm.rename", 0, "renamed");
  assert.match(await box.value("one.vmpool.info", -2, -1, -1, -1), "<NAME>renamed</NAME>");
});

test("a pool is paged: ids from and to, or an offset and a page", async () => {
  for (let n = 0; n < 5; n++) await box.value("one.vm.allocate", "CPU=1\nMEMORY=64", false);
  const ids = async (...args: readonly number[]): Promise<string> =>
    [...(await box.value("one.vmpool.info", ...args)).matchAll(/<VM><ID>(\d+)/g)].map((match) => match[1]).join(" ");
  assert.is(await ids(-2, -1, -1, -1), "4 3 2 1 0");
  assert.is(await ids(-2, 1, 3, -1), "3 2 1");
  assert.is(await ids(-2, 3, -1, -1), "4 3");
  assert.is(await ids(-2, 0, -2, -1), "4 3");
  assert.is(await ids(-2, 2, -2, -1), "2 1");
  assert.is(await ids(-2, -1, -1, 3), "");
});

test.run();
