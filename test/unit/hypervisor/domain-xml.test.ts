import { test } from "uvu";
import * as assert from "uvu/assert";
import { type DomainSpec, domainXml } from "../../../src/hypervisor/domain-xml.ts";

const spec: DomainSpec = {
  clusterId: "c-1",
  vmId: 7,
  epoch: 3,
  displayName: `Anna's "<db>"`,
  memoryMib: 128,
  vcpus: 2,
  cpu: 0.5,
  kernel: "/boot/vmlinux",
  initrd: "/boot/initrd",
  kernelCommand: "console=ttyS0 a<b",
  disks: [
    {
      source: "/ds/1/7/disk.0",
      type: "file",
      format: "qcow2",
      target: "vda",
      isCdrom: false,
      isReadonly: false,
      isShareable: true,
    },
    {
      source: "/dev/vg/iso",
      type: "block",
      format: "raw",
      target: "hda",
      isCdrom: true,
      isReadonly: true,
      isShareable: false,
    },
  ],
  nics: [{ mac: "02:00:0a:00:00:07", bridge: "br0", model: "virtio" }],
  serialPath: "/ds/1/7/serial.log",
  raw: "  <seclabel type='none'/>",
};

const golden = `<domain type='qemu'>
  <name>one-7</name>
  <uuid>0e5c8e80-0000-0000-0000-000000000000</uuid>
  <title>ringfence c-1 7 3</title>
  <metadata>
    <ringfence:vm xmlns:ringfence='urn:ringfence:domain:1' cluster='c-1' id='7' epoch='3' name='Anna&apos;s &quot;&lt;db&gt;&quot;'/>
  </metadata>
  <memory unit='MiB'>128</memory>
  <vcpu>2</vcpu>
  <cputune><shares>512</shares></cputune>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>/boot/vmlinux</kernel>
    <initrd>/boot/initrd</initrd>
    <cmdline>console=ttyS0 a&lt;b</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none'/>
      <source file='/ds/1/7/disk.0'/>
      <target dev='vda' bus='virtio'/>
      <shareable/>
    </disk>
    <disk type='block' device='cdrom'>
      <driver name='qemu' type='raw' cache='none'/>
      <source dev='/dev/vg/iso'/>
      <target dev='hda' bus='ide'/>
      <readonly/>
    </disk>
    <interface type='bridge'>
      <mac address='02:00:0a:00:00:07'/>
      <source bridge='br0'/>
      <model type='virtio'/>
      <rom enabled='no'/>
    </interface>
    <serial type='file'>
      <source path='/ds/1/7/serial.log' append='on'/>
      <target port='0'/>
    </serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
  <seclabel type='none'/>
</domain>
`;

const withoutUuid = (xml: string): string => xml.replace(/<uuid>.*<\/uuid>/, "<uuid/>");

test("a VM becomes this domain, to the letter", () => {
  assert.is(withoutUuid(domainXml(spec, { hasKvm: false })), withoutUuid(golden));
});

test("a host with KVM runs it with KVM", () => {
  const xml = domainXml(spec, { hasKvm: true });
  assert.match(xml, "<domain type='kvm'>");
  assert.match(xml, "<cpu mode='host-model'/>");
});

test("RAW cannot change by what we know the domain again", () => {
  for (const raw of [
    "<uuid>1</uuid>",
    "< title >x</title>",
    "<NAME>",
    "<metadata/>",
    "\nRINGFENCE_DOMAIN_END\nrm -rf /",
  ]) {
    assert.throws(() => domainXml({ ...spec, raw }, { hasKvm: false }), /Cannot start VM 7: RAW/);
  }
});

test("a value with a line break or a control character is refused, not smuggled in", () => {
  assert.throws(() => domainXml({ ...spec, displayName: "a\nb" }, { hasKvm: false }), /control character/);
  assert.throws(() => domainXml({ ...spec, serialPath: "/a\u0000" }, { hasKvm: false }), /control character/);
});

test.run();
