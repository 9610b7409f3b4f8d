/** A hypervisor: sshd, libvirtd and QEMU of this machine's Debian, on a disk of its own, with the shared datastore. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { must } from "./command.ts";
import { datastoreDirectory, nodeDataDirectory, type Place } from "./place.ts";
import { hostUuid, type NodePlan } from "./plan.ts";
import type { Software } from "./software.ts";

/** Makes the host's disk as an installer leaves it. What is there already is kept. */
export async function prepareHost(place: Place, plan: NodePlan): Promise<void> {
  const data = nodeDataDirectory(place, plan.name);
  const directories = [
    "lib-libvirt",
    "etc-libvirt/qemu",
    "etc-libvirt/nwfilter",
    "log-libvirt/qemu",
    "etc-ssh",
    "root-ssh",
  ];
  for (const directory of directories) mkdirSync(`${data}/${directory}`, { recursive: true, mode: 0o700 });
  // The probe of what QEMU can do takes 1.3 s; it depends on this machine only and is kept over `down`.
  mkdirSync(capabilityCache(place, plan), { recursive: true });
  mkdirSync(`${datastoreDirectory(place)}/1`, { recursive: true });
  writeFileSync(`${data}/etc-libvirt/libvirtd.conf`, libvirtdConf(plan));
  writeFileSync(`${data}/etc-libvirt/qemu.conf`, qemuConf(plan));
  writeFileSync(`${data}/etc-ssh/sshd_config`, sshdConf);
  const key = `${data}/etc-ssh/ssh_host_ed25519_key`;
  if (!existsSync(key)) await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", plan.name, "-f", key]);
}

/** What the host's init is told. */
export function hostSoftware(place: Place, plan: NodePlan): Software {
  const data = nodeDataDirectory(place, plan.name);
  const wire = plan.wires[0];
  if (wire === undefined) throw new Error(`${plan.name} has no cable`);
  return {
    binds: [
      [`${data}/lib-libvirt`, "/var/lib/libvirt"],
      [`${data}/etc-libvirt`, "/etc/libvirt"],
      [`${data}/log-libvirt`, "/var/log/libvirt"],
      [capabilityCache(place, plan), "/var/cache/libvirt"],
      [`${data}/etc-ssh`, "/etc/ssh"],
      [`${data}/root-ssh`, "/root/.ssh"],
      [datastoreDirectory(place), "/var/lib/one/datastores"],
    ],
    files: {},
    // The bridge takes the port's MAC: it answers for the host with the address that the switch has learned.
    network: `
ip link add br0 address ${wire.mac} type bridge stp_state 0 forward_delay 0
ip link set ${wire.device} master br0
ip link set ${wire.device} up
ip address add ${wire.address}/24 dev br0
ip link set br0 up
`,
    services: `
exec >>/var/log/libvirt/console.log 2>&1
echo "$(date -Is) ${plan.name} boots"
mkdir -p /run/sshd
service /usr/sbin/sshd -D -e &
service /usr/sbin/libvirtd --listen &
`,
  };
}

/** Lets the owner of this public key log in as root. */
export function authorize(place: Place, plan: NodePlan, publicKey: string): void {
  const path = `${nodeDataDirectory(place, plan.name)}/root-ssh/authorized_keys`;
  writeFileSync(path, `${publicKey.trim()}\n`, { flag: "a", mode: 0o600 });
}

function capabilityCache(place: Place, plan: NodePlan): string {
  return `${place.cacheDirectory}/libvirt/${plan.name}`;
}

function libvirtdConf(plan: NodePlan): string {
  return `listen_tls = 0
listen_tcp = 1
listen_addr = "${plan.wires[0]?.address}"
auth_tcp = "none"
auth_unix_rw = "none"
host_uuid = "${hostUuid(plan.number)}"
log_outputs = "3:stderr"
`;
}

function qemuConf(plan: NodePlan): string {
  return `user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
migration_address = "${plan.wires[0]?.address}"
migration_host = "${plan.wires[0]?.address}"
`;
}

const sshdConf = `HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
MaxSessions 64
MaxStartups 64
Subsystem sftp /usr/lib/openssh/sftp-server
`;
