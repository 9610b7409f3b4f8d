/**
 * The guest of the *linux* tier: this machine's Debian kernel, unpacked, with busybox. It takes its address from the
 * kernel's command line, answers ping, and writes records (record.ts) to its disk.
 */
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { CodedError } from "../../../../src/base/error.ts";
import { datastoreDirectory, type Place } from "../place.ts";
import { type CpioFile, cpio } from "./cpio.ts";
import { DATASTORE_MOUNT } from "./disk.ts";
import { LAST_SECTOR, RING_SECTOR_FIRST, RING_SECTORS } from "./record.ts";

/** In the order in which each finds what it needs. */
const modules = [
  "drivers/virtio/virtio_ring",
  "drivers/virtio/virtio",
  "drivers/virtio/virtio_pci_modern_dev",
  "drivers/virtio/virtio_pci_legacy_dev",
  "drivers/virtio/virtio_pci",
  "net/core/failover",
  "drivers/net/net_failover",
  "drivers/net/virtio_net",
  "drivers/block/virtio_blk",
];

/** Changes with whatever the built files depend on besides the kernel's version. */
const BUILD = 2;

/** Kernel and first file system, as the hosts see them. */
export interface LinuxGuest {
  readonly image: string;
  readonly initrd: string;
}

/** Puts kernel and initramfs into the datastore; builds them once per kernel version. */
export async function linuxGuest(place: Place): Promise<LinuxGuest> {
  const version = kernelVersion();
  const cache = `${place.cacheDirectory}/guest-${version}-${BUILD}`;
  if (!existsSync(`${cache}/initrd`)) {
    mkdirSync(cache, { recursive: true });
    replace(`${cache}/vmlinux`, await unpackKernel(`/boot/vmlinuz-${version}`));
    replace(`${cache}/initrd`, await initramfs(version));
  }
  const directory = `${datastoreDirectory(place)}/2`;
  mkdirSync(directory, { recursive: true });
  for (const name of ["vmlinux", "initrd"]) {
    // 60 MB that nobody changes: a second name instead of a second copy; both are below /var/tmp.
    if (!existsSync(`${directory}/${name}`)) linkSync(`${cache}/${name}`, `${directory}/${name}`);
  }
  return { image: `${DATASTORE_MOUNT}/2/vmlinux`, initrd: `${DATASTORE_MOUNT}/2/initrd` };
}

/** The kernel's words for a guest with this address. */
export function linuxCommandLine(address: string): string {
  return `console=ttyS0 quiet nokaslr mitigations=off no_timer_check tsc=reliable cryptomgr.notests panic=1 guest=${address}/24`;
}

function kernelVersion(): string {
  const versions = readdirSync("/boot")
    .filter((name) => name.startsWith("vmlinuz-"))
    .map((name) => name.slice("vmlinuz-".length))
    .filter((version) => existsSync(`/lib/modules/${version}/kernel/drivers`))
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const newest = versions.at(-1);
  if (newest === undefined) {
    throw new CodedError(
      "RACK_KERNEL",
      "Cannot build the linux guest: no /boot/vmlinuz-* with modules; apt-get install linux-image-amd64",
    );
  }
  return newest;
}

/** As bzImage the guest would unpack it itself, under emulation, at each start: twice the time. */
async function unpackKernel(path: string): Promise<Uint8Array> {
  const packed = readFileSync(path);
  const magic = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]);
  const elf = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);
  // The same bytes can occur in the code that unpacks; the right one gives an ELF file.
  for (let at = packed.indexOf(magic); at >= 0; at = packed.indexOf(magic, at + 1)) {
    const unpacked = await unxz(packed.subarray(at));
    if (Buffer.from(unpacked.subarray(0, 4)).equals(elf)) return unpacked;
  }
  throw new CodedError("RACK_KERNEL", `Cannot unpack ${path}: no XZ stream with a kernel in it`);
}

async function unxz(bytes: Uint8Array): Promise<Uint8Array> {
  // The stream is followed by other bytes, about which xz complains after it has written all.
  const child = Bun.spawn(["xz", "--decompress", "--stdout", "--single-stream"], {
    stdin: new Blob([new Uint8Array(bytes)]),
    stdout: "pipe",
    stderr: "ignore",
  });
  return new Uint8Array(await new Response(child.stdout).arrayBuffer());
}

async function initramfs(version: string): Promise<Uint8Array> {
  const directory = (path: string): CpioFile => ({ path, mode: 0o040755, bytes: new Uint8Array() });
  const program = (path: string, bytes: Uint8Array): CpioFile => ({ path, mode: 0o100755, bytes });
  const files = [...["bin", "dev", "proc", "sys", "modules"].map(directory)];
  files.push(program("bin/busybox", readFileSync("/bin/busybox")));
  files.push(program("init", new TextEncoder().encode(init)));
  for (const [index, module] of modules.entries()) {
    files.push(program(`modules/${String(index).padStart(2, "0")}.ko`, await readModule(version, module)));
  }
  return cpio(files);
}

async function readModule(version: string, module: string): Promise<Uint8Array> {
  const path = `/lib/modules/${version}/kernel/${module}.ko`;
  if (existsSync(path)) return withoutSignature(readFileSync(path));
  if (existsSync(`${path}.xz`)) return withoutSignature(await unxz(readFileSync(`${path}.xz`)));
  throw new CodedError("RACK_KERNEL", `Cannot build the linux guest: ${path} is missing`);
}

/** Checking nine signatures under emulation takes longer than booting; without one a module is loaded all the same. */
function withoutSignature(module: Uint8Array): Uint8Array {
  const mark = "~Module signature appended~\n";
  const bytes = Buffer.from(module);
  if (bytes.toString("latin1", bytes.length - mark.length) !== mark) return module;
  // Before the mark: the signature, then 12 bytes of description of which the last 4 are the signature's size.
  const signatureSize = bytes.readUInt32BE(bytes.length - mark.length - 4);
  return bytes.subarray(0, bytes.length - mark.length - 12 - signatureSize);
}

const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /modules/*.ko; do insmod $module; done
for word in $(cat /proc/cmdline); do
  case $word in guest=*) address=\${word#guest=} ;; esac
done
ip link set lo up
# Whoever remembers us at another host's port hears at once where we are now.
echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_notify
ip address add $address dev eth0
ip link set eth0 up
boot=$(tr -d - </proc/sys/kernel/random/uuid | tr a-f A-F | cut -c1-16)
echo "guest $address boot $boot"
counter=0
number=0
while [ -e /dev/vda ]; do
  last=$(dd if=/dev/vda iflag=direct bs=512 skip=${LAST_SECTOR} count=1 2>/dev/null | head -c 13)
  case $last in "RFG1 "*) number=$((0x\${last#RFG1 })) ;; esac
  number=$((number + 1))
  counter=$((counter + 1))
  read uptime rest </proc/uptime
  printf '%-512s' "$(printf 'RFG1 %08X %s %08X\\n%s ' $number $boot $counter $uptime)" >/record
  dd if=/record of=/dev/vda oflag=direct conv=notrunc bs=512 seek=$((${RING_SECTOR_FIRST} + number % ${RING_SECTORS})) 2>/dev/null
  dd if=/record of=/dev/vda oflag=direct conv=notrunc bs=512 seek=${LAST_SECTOR} 2>/dev/null
  sleep 0.2
done
echo "no disk"
while :; do sleep 60; done
`;

/** Written beside and renamed: a build that was broken off is not taken for a whole one. */
function replace(path: string, bytes: Uint8Array): void {
  writeFileSync(`${path}.new`, bytes);
  renameSync(`${path}.new`, path);
}
