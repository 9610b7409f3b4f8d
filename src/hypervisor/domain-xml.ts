import { CodedError } from "../base/error.ts";
import { domainName, domainUuid, encodeTitle } from "./domain-identity.ts";

/** One disk, a file or a block device that the host can open at this path. */
export interface DiskSpec {
  readonly source: string;
  readonly type: "file" | "block";
  readonly format: "raw" | "qcow2";
  /** `vda`, `sdb`, `hda`: the bus follows from its first letter. */
  readonly target: string;
  readonly isCdrom: boolean;
  readonly isReadonly: boolean;
  /** Takes QEMU's image lock away: more than one guest may write. */
  readonly isShareable: boolean;
}

/** One network card. The MAC is fixed for the VM's life: a new one leaves a restarted guest unreachable until ARP entries age. */
export interface NicSpec {
  readonly mac: string;
  readonly bridge: string;
  /** QEMU's model; virtio unless the guest has no driver for it. */
  readonly model: string;
}

/** What a VM's domain is made of: plain data, whoever keeps it. */
export interface DomainSpec {
  readonly clusterId: string;
  readonly vmId: number;
  readonly epoch: number;
  /** The VM's own name, for people who look at the host. */
  readonly displayName: string;
  readonly memoryMib: number;
  readonly vcpus: number;
  /** OpenNebula's CPU: 1 is one physical core; becomes the weight against other guests. */
  readonly cpu: number;
  readonly machine?: string;
  readonly kernel?: string;
  readonly initrd?: string;
  readonly kernelCommand?: string;
  readonly disks: readonly DiskSpec[];
  readonly nics: readonly NicSpec[];
  /** File on the host that gets the first serial port's output. */
  readonly serialPath?: string;
  /** OpenNebula's RAW of type kvm: elements put into <domain> as they are. */
  readonly raw?: string;
}

const NAMESPACE = "urn:ringfence:domain:1";
/** 100 times OpenNebula's CPU is its share; libvirt takes 2 … 262144. */
const SHARES_PER_CPU = 1024;
/** What RAW must not redefine: by these we know the domain again. */
const RESERVED_RAW = /<\s*(name|uuid|title|metadata)\b|RINGFENCE_DOMAIN_END/i;

/**
 * The domain's XML (libvirt's domain format). Transient: it is created, never defined, so no host can start it by itself.
 * No balloon, no USB, no option ROMs: nothing that a guest of a fencing cluster does not need, and 0.1 s faster up.
 * Throws `domain.unfit` when a value cannot be said in XML or RAW would change the identity.
 */
export function domainXml(spec: DomainSpec, host: { readonly hasKvm: boolean }): string {
  if (spec.raw !== undefined && RESERVED_RAW.test(spec.raw)) {
    throw new CodedError("domain.unfit", `Cannot start VM ${spec.vmId}: RAW redefines name, uuid, title or metadata`);
  }
  const shares = Math.min(262_144, Math.max(2, Math.round(spec.cpu * SHARES_PER_CPU)));
  const lines = [
    `<domain type='${host.hasKvm ? "kvm" : "qemu"}'>`,
    `  <name>${domainName(spec.vmId)}</name>`,
    `  <uuid>${domainUuid(spec.clusterId, spec.vmId)}</uuid>`,
    `  <title>${escapeXml(encodeTitle(spec))}</title>`,
    `  <metadata>`,
    `    <ringfence:vm xmlns:ringfence='${NAMESPACE}' cluster='${escapeXml(spec.clusterId)}' id='${spec.vmId}' epoch='${spec.epoch}' name='${escapeXml(spec.displayName)}'/>`,
    `  </metadata>`,
    `  <memory unit='MiB'>${spec.memoryMib}</memory>`,
    `  <vcpu>${spec.vcpus}</vcpu>`,
    `  <cputune><shares>${shares}</shares></cputune>`,
    `  <os>`,
    `    <type arch='x86_64' machine='${escapeXml(spec.machine ?? "pc")}'>hvm</type>`,
    ...optional(spec.kernel, (path) => `    <kernel>${escapeXml(path)}</kernel>`),
    ...optional(spec.initrd, (path) => `    <initrd>${escapeXml(path)}</initrd>`),
    ...optional(spec.kernelCommand, (text) => `    <cmdline>${escapeXml(text)}</cmdline>`),
    `  </os>`,
    `  <features><acpi/><apic/></features>`,
    ...(host.hasKvm ? [`  <cpu mode='host-model'/>`] : []),
    `  <clock offset='utc'/>`,
    `  <on_poweroff>destroy</on_poweroff>`,
    `  <on_reboot>restart</on_reboot>`,
    `  <on_crash>destroy</on_crash>`,
    `  <devices>`,
    ...spec.disks.flatMap(disk),
    ...spec.nics.flatMap(nic),
    ...optional(spec.serialPath, serial).flat(),
    `    <controller type='usb' model='none'/>`,
    `    <memballoon model='none'/>`,
    `  </devices>`,
    ...optional(spec.raw, (text) => text),
    `</domain>`,
  ];
  return `${lines.join("\n")}\n`;
}

function disk(spec: DiskSpec): string[] {
  const isFile = spec.type === "file";
  return [
    `    <disk type='${spec.type}' device='${spec.isCdrom ? "cdrom" : "disk"}'>`,
    // The host's page cache would be lost with the host; what the guest flushed must be on the shared disk.
    `      <driver name='qemu' type='${spec.format}' cache='none'/>`,
    `      <source ${isFile ? "file" : "dev"}='${escapeXml(spec.source)}'/>`,
    `      <target dev='${escapeXml(spec.target)}' bus='${bus(spec.target)}'/>`,
    ...(spec.isReadonly ? [`      <readonly/>`] : []),
    ...(spec.isShareable ? [`      <shareable/>`] : []),
    `    </disk>`,
  ];
}

function bus(target: string): string {
  if (target.startsWith("v")) return "virtio";
  return target.startsWith("s") ? "scsi" : "ide";
}

function nic(spec: NicSpec): string[] {
  return [
    `    <interface type='bridge'>`,
    `      <mac address='${escapeXml(spec.mac)}'/>`,
    `      <source bridge='${escapeXml(spec.bridge)}'/>`,
    `      <model type='${escapeXml(spec.model)}'/>`,
    `      <rom enabled='no'/>`,
    `    </interface>`,
  ];
}

function serial(path: string): string[] {
  return [
    `    <serial type='file'>`,
    `      <source path='${escapeXml(path)}' append='on'/>`,
    `      <target port='0'/>`,
    `    </serial>`,
  ];
}

function optional<T, R>(value: T | undefined, line: (value: T) => R): R[] {
  return value === undefined ? [] : [line(value)];
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "'": "&apos;",
  '"': "&quot;",
};

/** Text for an element or an attribute. XML 1.0 §2.2 has no way to say a control character. */
function escapeXml(text: string): string {
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    if (code < 0x20 || code === 0x7f || (code >= 0xd800 && code <= 0xdfff)) {
      throw new CodedError(
        "domain.unfit",
        `Cannot write ${JSON.stringify(text)} into a domain: it has a control character`,
      );
    }
  }
  return text.replace(/[&<>'"]/g, (character) => ENTITIES[character] ?? character);
}
