import type { DiskSpec, DomainSpec, NicSpec } from "../hypervisor/domain-xml.ts";
import { getText, getVectors, parseStored, type Vector } from "../one/attributes.ts";
import type { VmRow } from "../one/vm/row.ts";

/** Where a host keeps what a VM prints on its serial port. */
const SERIAL_DIRECTORY = "/var/log/libvirt/qemu";

/** What hypervisor/ builds the domain from, read from the VM's row. */
export function domainSpec(clusterId: string, vm: VmRow): DomainSpec {
  const attributes = parseStored(vm.template);
  const os = getVectors(attributes, "OS")[0] ?? {};
  const raw = getVectors(attributes, "RAW").find((vector) => vector["TYPE"]?.toLowerCase() === "kvm");
  return {
    clusterId,
    vmId: vm.id,
    epoch: vm.seq,
    displayName: vm.name,
    memoryMib: Math.max(1, Math.round(vm.memory / 1024)),
    vcpus: Math.max(1, Number(getText(attributes, "VCPU") ?? 1)),
    cpu: vm.cpu / 100,
    ...given("machine", os["MACHINE"]),
    ...given("kernel", os["KERNEL"]),
    ...given("initrd", os["INITRD"]),
    ...given("kernelCommand", os["KERNEL_CMD"]),
    ...given("raw", raw?.["DATA"]),
    disks: getVectors(attributes, "DISK").map(diskOf),
    nics: getVectors(attributes, "NIC").map(nicOf),
    serialPath: `${SERIAL_DIRECTORY}/one-${vm.id}-console.log`,
  };
}

function diskOf(disk: Vector): DiskSpec {
  const type = (disk["TYPE"] ?? "FILE").toUpperCase();
  return {
    source: disk["SOURCE"] ?? "",
    type: type === "BLOCK" ? "block" : "file",
    format: (disk["DRIVER"] ?? disk["FORMAT"] ?? "raw").toLowerCase() === "qcow2" ? "qcow2" : "raw",
    target: disk["TARGET"] ?? "vda",
    isCdrom: type === "CDROM",
    isReadonly: type === "CDROM" || isYes(disk["READONLY"]),
    isShareable: isYes(disk["SHAREABLE"]),
  };
}

function nicOf(nic: Vector): NicSpec {
  return { mac: nic["MAC"] ?? "", bridge: nic["BRIDGE"] ?? "", model: nic["MODEL"] ?? "virtio" };
}

function isYes(text: string | undefined): boolean {
  return text?.toUpperCase() === "YES";
}

function given<K extends string>(key: K, value: string | undefined): { readonly [P in K]?: string } {
  return value === undefined || value === "" ? {} : ({ [key]: value } as { readonly [P in K]: string });
}
