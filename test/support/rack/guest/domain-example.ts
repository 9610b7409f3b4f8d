/**
 * The libvirt domain that was found to work for the rack's guests; tests start guests by it, and product drivers may
 * be compared with it. Each element that differs from libvirt's defaults says why.
 */
export interface DomainExample {
  readonly name: string;
  readonly memoryMiB: number;
  /** As the host sees it. */
  readonly diskSource: string;
  readonly mac: string;
  /** The linux tier's; the fast tier boots from its disk. */
  readonly kernel?: { readonly image: string; readonly initrd: string; readonly commandLine: string };
  /** Without it QEMU locks the image, and a second start fails instead of showing up as a double run. Default true. */
  readonly shareable?: boolean;
  /** Where the guest's serial port is written to, as the host sees it. */
  readonly serialFile: string;
}

/** The domain's XML, for `virsh create`: transient, so that nothing starts it again by itself. */
export function domainXml(guest: DomainExample): string {
  const { kernel } = guest;
  const boot =
    kernel === undefined
      ? '<boot dev="hd"/>'
      : `<kernel>${escapeXml(kernel.image)}</kernel><initrd>${escapeXml(kernel.initrd)}</initrd><cmdline>${escapeXml(kernel.commandLine)}</cmdline>`;
  // qemu: /dev/kvm is not there. pc: its BIOS starts faster than q35's. rom: without it the BIOS looks for a network boot.
  return `<domain type="qemu">
  <name>${escapeXml(guest.name)}</name>
  <memory unit="MiB">${guest.memoryMiB}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch="x86_64" machine="pc">hvm</type>
    ${boot}
  </os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type="file" device="disk">
      <driver name="qemu" type="raw"/>
      <source file="${escapeXml(guest.diskSource)}"/>
      <target dev="vda" bus="virtio"/>
      ${guest.shareable === false ? "" : "<shareable/>"}
    </disk>
    <interface type="bridge">
      <source bridge="br0"/>
      <mac address="${guest.mac}"/>
      <model type="virtio"/>
      <rom enabled="no"/>
    </interface>
    <serial type="file"><source path="${escapeXml(guest.serialFile)}"/></serial>
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
  </devices>
</domain>
`;
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
