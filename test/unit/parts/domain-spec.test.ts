import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseTemplate, renderTemplate } from "../../../src/one/attributes.ts";
import type { VmRow } from "../../../src/one/vm/row.ts";
import { domainSpec } from "../../../src/parts/domain-spec.ts";

function vm(template: string): VmRow {
  const attributes = parseTemplate(template);
  if ("error" in attributes) throw new Error(attributes.error);
  return {
    ...{ id: 7, version: 3, name: "web", uid: 0, gid: 0, uname: "oneadmin", gname: "oneadmin", permissions: 0o600 },
    ...{ state: 3, lcm_state: 2, prev_state: 3, prev_lcm_state: 0, resched: 0, stime: 0, etime: 0, deploy_id: "" },
    ...{ cpu: 50, memory: 131_072, host_id: 1, seq: 4, hard: 0, fresh_disks: 0, reason: "", user_template: "" },
    template: renderTemplate(attributes),
  };
}

test("a VM's row becomes the domain that its template describes", () => {
  const spec = domainSpec(
    "cafe",
    vm(`VCPU = 2
OS = [ KERNEL = "/k", INITRD = "/i", KERNEL_CMD = "quiet" ]
DISK = [ SOURCE = "/var/lib/one/datastores/1/a.raw", TARGET = "vda", DRIVER = "raw", SHAREABLE = "YES" ]
DISK = [ SOURCE = "/cd.iso", TARGET = "hda", TYPE = "CDROM" ]
NIC = [ BRIDGE = "br0", MAC = "02:00:00:00:00:01" ]`),
  );
  assert.is(spec.epoch, 4);
  assert.is(spec.memoryMib, 128);
  assert.is(spec.vcpus, 2);
  assert.is(spec.cpu, 0.5);
  assert.is(spec.kernel, "/k");
  assert.equal(spec.disks[0], {
    source: "/var/lib/one/datastores/1/a.raw",
    type: "file",
    format: "raw",
    target: "vda",
    isCdrom: false,
    isReadonly: false,
    isShareable: true,
  });
  assert.is(spec.disks[1]?.isReadonly, true);
  assert.equal(spec.nics, [{ mac: "02:00:00:00:00:01", bridge: "br0", model: "virtio" }]);
});

test("what a template leaves out stays out", () => {
  const spec = domainSpec("cafe", vm(""));
  assert.is("kernel" in spec, false);
  assert.equal(spec.disks, []);
});

test.run();
