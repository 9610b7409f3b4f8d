/**
 * One real hypervisor for a unit test: sshd and libvirtd in namespaces of their own, reached over a veth pair.
 *
 * Its first process is its power button, its wire can be cut, its processes can be frozen, and it comes back with an
 * empty /run, as a machine does. Needs root, sshd, libvirt, QEMU; not KVM. Everything is named `rfhyp-<pid>-<n>` and
 * dies with the test's process; names left by a killed test are removed by the next one.
 */
import { createHash, randomUUID } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { PATIENCE } from "../patience.ts";

export interface Bed {
  readonly address: string;
  readonly port: number;
  /** An address of this side of the wire, to bind to. */
  readonly localAddress: string;
  readonly privateKey: string;
  /** `SHA256:…` of the ed25519 host key. */
  readonly fingerprint: string;
  readonly uuid: string;
  /** A directory that the guest disks are in, the same path inside and outside. */
  readonly datastores: string;
  /** Cuts the wire, then kills everything in it: a true power cut. */
  powerOff(): Promise<void>;
  powerOn(): Promise<void>;
  /** Pulls the cable only; the host goes on running. */
  cutWire(): Promise<void>;
  healWire(): Promise<void>;
  /** SIGSTOP to every process of the host: the kernel still answers ping and accepts connections. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
  /** Outer process ids of the host's processes of this name. */
  processes(name: string): number[];
  /** Runs a command inside, for the test's own eyes. */
  run(...command: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  stop(): Promise<void>;
}

export interface BedOptions {
  readonly libvirt?: boolean;
  /** Makes busybox the host's sh and coreutils. */
  readonly busybox?: boolean;
  /** A second, shared datastore directory; default a directory of its own. */
  readonly datastores?: string;
}

const ROOT = "/tmp/rfhyp";
let counter = 0;

/** Why a bed cannot be built here, or undefined. */
export function bedMissing(): string | undefined {
  if (process.getuid?.() !== 0) return "not root";
  for (const program of ["/usr/sbin/sshd", "/usr/sbin/libvirtd", "/usr/bin/qemu-system-x86_64"]) {
    if (!existsSync(program)) return `${program} is not installed`;
  }
  return undefined;
}

/** Builds a host and switches it on; it answers on its SSH port when this resolves. */
export async function startBed(options: BedOptions = {}): Promise<Bed> {
  await removeLeftovers();
  counter++;
  const id = `${process.pid}-${counter}`;
  const name = `rfhyp-${id}`;
  const wire = `rfh${process.pid % 100000}${String.fromCharCode(96 + counter)}`;
  const subnet = `198.18.${process.pid % 250}.${(counter * 4) % 252}`;
  const octets = subnet.split(".");
  const localAddress = [...octets.slice(0, 3), Number(octets[3]) + 1].join(".");
  const address = [...octets.slice(0, 3), Number(octets[3]) + 2].join(".");
  const directory = `${ROOT}/${id}`;
  const datastores = options.datastores ?? `${directory}/datastores`;
  const uuid = randomUUID();
  for (const part of ["ssh", "lib", "log", "etc", "root"]) mkdirSync(`${directory}/${part}`, { recursive: true });
  for (const part of [datastores, `${ROOT}/cache`]) mkdirSync(part, { recursive: true });
  await sh(
    `ssh-keygen -q -t ed25519 -N '' -f ${directory}/ssh/host && ssh-keygen -q -t ed25519 -N '' -f ${directory}/key`,
  );
  writeFileSync(`${directory}/root/authorized_keys`, readFileSync(`${directory}/key.pub`, "utf8"), { mode: 0o600 });
  chmodSync(`${directory}/root`, 0o700);
  writeFileSync(`${directory}/ssh/sshd_config`, sshdConfig(address));
  writeFileSync(`${directory}/etc/libvirtd.conf`, `host_uuid = "${uuid}"\nauth_unix_rw = "none"\n`);
  writeFileSync(`${directory}/etc/qemu.conf`, QEMU_CONF);
  writeFileSync(`${directory}/init`, initScript({ name, address, directory, options }), { mode: 0o755 });

  await sh(`ip netns add ${name} && ip link add ${wire} type veth peer name eth0 netns ${name}`);
  await sh(`ip addr add ${localAddress}/30 dev ${wire} && ip link set ${wire} up`);
  await sh(
    `ip -n ${name} addr add ${address}/30 dev eth0 && ip -n ${name} link set lo up && ip -n ${name} link set eth0 up`,
  );

  let machine: ReturnType<typeof Bun.spawn> | undefined;
  const inside = (): number[] => {
    if (machine === undefined) return [];
    const first = readFileSync(`/proc/${machine.pid}/task/${machine.pid}/children`, "utf8").trim();
    return first === "" ? [] : descendants(Number(first.split(" ")[0]));
  };
  const signalAll = (signal: "SIGSTOP" | "SIGCONT"): void => {
    for (const pid of inside()) {
      try {
        process.kill(pid, signal);
      } catch {
        // Gone between the listing and the signal.
      }
    }
  };
  const powerOn = async (): Promise<void> => {
    await sh(`ip link set ${wire} up`);
    machine = Bun.spawn(
      ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", name].concat([
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount",
        "--uts",
        "--ipc",
        `${directory}/init`,
      ]),
      { stdin: "ignore", stdout: Bun.file(`${directory}/console`), stderr: Bun.file(`${directory}/console.err`) },
    );
    await until(() => existsSync(`${directory}/up`), 20_000, "host is up");
  };
  const powerOff = async (): Promise<void> => {
    await sh(`ip link set ${wire} down`);
    rmSync(`${directory}/up`, { force: true });
    const pids = inside();
    machine?.kill("SIGKILL");
    await machine?.exited;
    machine = undefined;
    await until(() => pids.every((pid) => !existsSync(`/proc/${pid}`)), 5_000, "every process of the host is gone");
  };
  await powerOn();
  const hostKey = readFileSync(`${directory}/ssh/host.pub`, "utf8").split(" ")[1] ?? "";
  const digest = createHash("sha256").update(Buffer.from(hostKey, "base64")).digest("base64");
  return {
    address,
    port: 22,
    localAddress,
    privateKey: readFileSync(`${directory}/key`, "utf8"),
    fingerprint: `SHA256:${digest.replace(/=+$/, "")}`,
    uuid,
    datastores,
    powerOn,
    powerOff,
    cutWire: () => sh(`ip link set ${wire} down`),
    healWire: () => sh(`ip link set ${wire} up`),
    freeze: async () => signalAll("SIGSTOP"),
    thaw: async () => signalAll("SIGCONT"),
    processes: (wanted) => inside().filter((pid) => processName(pid) === wanted),
    run: async (...command) => {
      const first = inside()[0];
      const child = Bun.spawn(["nsenter", "-t", String(first), "-a", "--", ...command], {
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
      });
      const [stdout, stderr] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      return { code: await child.exited, stdout, stderr };
    },
    stop: async () => {
      if (machine !== undefined) await powerOff();
      await sh(`ip netns del ${name}; ip link del ${wire} 2>/dev/null; rm -rf ${directory}`);
    },
  };
}

/** Waits for a level, polling; throws with what `missing` says then when it does not hold in time. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  limitMs: number,
  missing: string | (() => string),
): Promise<void> {
  const start = performance.now();
  while (!(await holds())) {
    if (performance.now() - start > limitMs * PATIENCE)
      throw new Error(`not within ${limitMs * PATIENCE} ms: ${typeof missing === "string" ? missing : missing()}`);
    await Bun.sleep(10);
  }
}

/** A 512-byte boot sector that prints one letter on the serial port and halts: a guest that is up in 0.2 s. */
export function bootSector(letter = "R"): Uint8Array {
  const sector = new Uint8Array(512);
  // mov dx,3f8h; mov al,letter; out dx,al; cli; hlt: jmp hlt
  sector.set([0xba, 0xf8, 0x03, 0xb0, letter.charCodeAt(0), 0xee, 0xfb, 0xf4, 0xeb, 0xfd]);
  sector.set([0x55, 0xaa], 510);
  return sector;
}

const QEMU_CONF = `user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
`;

function sshdConfig(address: string): string {
  return `ListenAddress ${address}:22
HostKey /etc/ssh/host
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PidFile none
`;
}

interface InitOptions {
  readonly name: string;
  readonly address: string;
  readonly directory: string;
  readonly options: BedOptions;
}

/** The host's first process: what a boot does, as far as libvirt and sshd need it. No /dev/kvm: it hangs on such machines. */
function initScript(init: InitOptions): string {
  const { name, directory, options } = init;
  const libvirt = options.libvirt !== false;
  return `#!/bin/sh
set -e
mount --make-rprivate /
hostname ${name}
mount -t proc proc /proc
mount -t tmpfs -o size=16m tmpfs /run
mkdir -p /run/sshd
mount -t tmpfs -o size=1m tmpfs /mnt
for n in null zero full random urandom tty; do touch /mnt/$n; mount --bind /dev/$n /mnt/$n; done
mkdir /mnt/net /mnt/pts /mnt/shm
if [ -e /dev/net/tun ]; then touch /mnt/net/tun; mount --bind /dev/net/tun /mnt/net/tun; fi
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /mnt/pts
ln -s pts/ptmx /mnt/ptmx
ln -s /proc/self/fd /mnt/fd
ln -s /proc/self/fd/0 /mnt/stdin
mount -t tmpfs -o size=64m tmpfs /mnt/shm
mount --move /mnt /dev
mount --bind ${directory}/ssh /etc/ssh
mkdir -p ${directory}/home/.ssh
mount --bind ${directory}/home /root
mount --bind ${directory}/root /root/.ssh
${
  libvirt
    ? `cp -rn /etc/libvirt/. ${directory}/etc/
mount --bind ${directory}/etc /etc/libvirt
mount --bind ${directory}/lib /var/lib/libvirt
mount --bind ${directory}/log /var/log/libvirt
mount --bind ${ROOT}/cache /var/cache/libvirt
mkdir -p /var/lib/libvirt/qemu
libvirtd -d
`
    : ""
}${options.busybox === true ? busyboxMounts(directory) : ""}/usr/sbin/sshd -f /etc/ssh/sshd_config
touch ${directory}/up
exec </dev/null
while :; do sleep 3600 & wait $!; done
`;
}

/** Lays busybox over sh and the coreutils that the loop uses, in this mount namespace only. */
function busyboxMounts(directory: string): string {
  const applets = ["sh", "sleep", "dd", "timeout", "cat", "mv", "mkdir", "rm", "sed", "kill"];
  return `mkdir -p ${directory}/busybox
for a in ${applets.join(" ")}; do p=$(command -v $a); case $p in /*) mount --bind /usr/bin/busybox $(readlink -f $p);; esac; done
`;
}

function descendants(pid: number): number[] {
  const found = [pid];
  for (let i = 0; i < found.length; i++) {
    try {
      const children = readFileSync(`/proc/${found[i]}/task/${found[i]}/children`, "utf8").trim();
      if (children !== "") found.push(...children.split(" ").map(Number));
    } catch {
      // Ended while we looked.
    }
  }
  return found;
}

function processName(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

async function removeLeftovers(): Promise<void> {
  if (!existsSync("/run/netns")) return;
  for (const name of readdirSync("/run/netns")) {
    const pid = /^rfhyp-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || existsSync(`/proc/${pid}`)) continue;
    await sh(`ip netns del ${name}; rm -rf ${ROOT}/${name.slice("rfhyp-".length)}`);
  }
}

async function sh(command: string): Promise<void> {
  const child = Bun.spawn(["sh", "-c", command], { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const stderr = await new Response(child.stderr).text();
  const code = await child.exited;
  if (code !== 0) throw new Error(`Cannot run "${command}": ${stderr.trim()}`);
}
