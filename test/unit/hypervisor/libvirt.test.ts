import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createDomain, listDomains, readStorageBeat } from "../../../src/hypervisor/commands.ts";
import { domainUuid } from "../../../src/hypervisor/domain-identity.ts";
import { type DomainSpec, domainXml } from "../../../src/hypervisor/domain-xml.ts";
import { HypervisorDriver } from "../../../src/hypervisor/driver.ts";
import type { WantedVm } from "../../../src/hypervisor/planner.ts";
import type { Fact, HostLink } from "../../../src/hypervisor/ports.ts";
import { bedMissing, bootSector, startBed, until } from "../../support/hypervisor-bed/bed.ts";
import { connectTo, stopAll } from "../../support/hypervisor-bed/connect.ts";

const CLUSTER = "c-1";
const missing = bedMissing();
if (missing !== undefined) console.log(`skipped: ${missing}`);
const bed = missing === undefined ? await startBed() : undefined;

/** A leader with a record in memory and one real host. */
class Leader {
  wanted: WantedVm[] = [];
  readonly facts: Fact[] = [];
  readonly returned: string[] = [];
  readonly notes: string[] = [];
  refusal: string | undefined;
  change: Partial<DomainSpec> = {};
  readonly driver: HypervisorDriver;
  readonly link: ReturnType<typeof connectTo>;

  constructor(host: NonNullable<typeof bed>) {
    this.driver = new HypervisorDriver({
      now: () => performance.now(),
      clusterId: CLUSTER,
      records: {
        wanted: () => this.wanted,
        record: (vmId) => {
          const vm = this.wanted.find((candidate) => candidate.vmId === vmId);
          return vm === undefined ? { kind: "none" } : { kind: "placed", hostId: 1, epoch: vm.epoch };
        },
        spec: (vmId, epoch) => ({ ...specOf(host.datastores, vmId, epoch), ...this.change }),
      },
      tickets: { refuseStart: () => this.refusal, refuseEnd: () => undefined },
      reports: {
        fact: async (fact) => {
          this.facts.push(fact);
        },
        hostReturned: async (_hostId, bootId, domains) => {
          this.returned.push(`${bootId} ${domains.map((domain) => domain.vmId).join(",")}`);
          return true;
        },
      },
      onNote: (_hostId, text) => this.notes.push(text),
    });
    this.link = connectTo(host, { onSignal: (signal) => this.driver.signal(1, signal) });
    this.link.connection.follow(true);
    this.driver.addHost(this.link.connection);
    this.driver.start();
  }

  want(...wanted: WantedVm[]): void {
    this.wanted = wanted;
    this.driver.wake();
  }

  async fact(kind: Fact["kind"], vmId: number, limitMs = 15_000): Promise<Fact> {
    const find = (): Fact | undefined => this.facts.find((fact) => fact.kind === kind && fact.vmId === vmId);
    await until(() => find() !== undefined, limitMs, `${kind} of VM ${vmId}; notes: ${this.notes.join("; ")}`);
    const found = find();
    if (found === undefined) throw new Error("gone again");
    return found;
  }

  async stop(): Promise<void> {
    await this.driver.stop();
    await this.link.connection.stop();
  }
}

function specOf(datastores: string, vmId: number, epoch: number): DomainSpec {
  const directory = `${datastores}/${vmId}`;
  mkdirSync(directory, { recursive: true });
  // 1 MiB: the BIOS reads no virtio disk that is smaller than a cylinder.
  writeFileSync(`${directory}/disk.0`, new Uint8Array([...bootSector(), ...new Uint8Array(2 ** 20 - 512)]));
  return {
    clusterId: CLUSTER,
    vmId,
    epoch,
    displayName: `vm ${vmId}`,
    memoryMib: 16,
    vcpus: 1,
    cpu: 0.1,
    disks: [
      {
        source: `${directory}/disk.0`,
        type: "file",
        format: "raw",
        target: "vda",
        isCdrom: false,
        isReadonly: false,
        isShareable: true,
      },
    ],
    nics: [],
    serialPath: `${directory}/serial/log`,
  };
}

const withBed = (name: string, run: (host: NonNullable<typeof bed>) => Promise<void>): void => {
  if (bed !== undefined) test(name, () => run(bed).finally(stopAll));
};

withBed("a VM is deployed, runs, is adopted by the next leader, and ends when it is to be off", async (host) => {
  const leader = new Leader(host);
  await leader.link.reaches("ready");
  await until(() => leader.returned.length > 0, 15_000, "the host was admitted");
  const began = performance.now();
  leader.want({ vmId: 7, epoch: 1, phase: "boot" });
  const running = await leader.fact("running", 7);
  console.log(`deployed in ${Math.round(performance.now() - began)} ms`);
  assert.is(running.kind === "running" && running.how, "deployed");
  const serial = (): string => readFileSync(`${host.datastores}/7/serial/log`, "utf8");
  await until(() => serial().includes("R"), 5000, "the guest printed");
  const list = performance.now();
  const listed = await listDomains(leader.link.connection);
  console.log(`listed in ${Math.round(performance.now() - list)} ms`);
  assert.equal("domains" in listed && listed.domains, [
    { name: "one-7", state: "running", identity: { clusterId: CLUSTER, vmId: 7, epoch: 1 } },
  ]);
  const uuid = (await host.run("virsh", "-q", "domuuid", "one-7")).stdout.trim();
  assert.is(uuid, domainUuid(CLUSTER, 7));
  assert.is((await host.run("virsh", "-q", "list", "--persistent", "--all")).stdout.trim(), "", "nothing is defined");
  await leader.stop();

  const next = new Leader(host);
  next.want({ vmId: 7, epoch: 1, phase: "boot" });
  const adopted = await next.fact("running", 7);
  assert.is(adopted.kind === "running" && adopted.how, "adopted");
  assert.match(next.returned[0] ?? "", / 7$/, "the domain was shown before anything was started");
  const ending = performance.now();
  next.want({ vmId: 7, epoch: 1, phase: "off" });
  const gone = await next.fact("gone", 7);
  console.log(`destroyed in ${Math.round(performance.now() - ending)} ms`);
  assert.is(gone.kind === "gone" && gone.cause, "destroyed");
  await next.stop();
});

withBed(
  "a guest that dies on a healthy host is told within a second, with libvirt's word, and not started again",
  async (host) => {
    const leader = new Leader(host);
    leader.want({ vmId: 8, epoch: 1, phase: "boot" });
    await leader.fact("running", 8);
    leader.want({ vmId: 8, epoch: 1, phase: "running" });
    await until(
      () => leader.link.signals.some((signal) => signal.kind === "line" && signal.line.kind === "events-started"),
      5000,
      "events are followed",
    );
    for (const pid of host.processes("qemu-system-x86")) process.kill(pid, "SIGKILL");
    const died = performance.now();
    const gone = await leader.fact("gone", 8);
    console.log(`crash told after ${Math.round(performance.now() - died)} ms`);
    assert.is(gone.kind === "gone" && gone.cause, "crashed");
    assert.match(gone.kind === "gone" ? gone.reason : "", "Failed");
    assert.is(host.processes("qemu-system-x86").length, 0);
    await leader.stop();
  },
);

withBed("nothing is started without a ticket", async (host) => {
  const leader = new Leader(host);
  leader.refusal = "the lease has run out";
  leader.want({ vmId: 9, epoch: 1, phase: "boot" });
  await until(
    () => leader.notes.some((note) => note.includes("the lease has run out")),
    10_000,
    "the refusal was noted",
  );
  assert.is(host.processes("qemu-system-x86").length, 0);
  leader.refusal = undefined;
  await leader.fact("running", 9, 5000);
  leader.want({ vmId: 9, epoch: 1, phase: "off" });
  await leader.fact("gone", 9);
  await leader.stop();
});

withBed("the host itself drops a start that it reads too late", async (host) => {
  const { connection, reaches } = connectTo(host);
  await reaches("ready");
  // As if the permission had been given 10 s ago and the bytes had waited somewhere since.
  const stalled: HostLink = {
    hostId: connection.hostId,
    name: connection.name,
    state: connection.state,
    bootId: connection.bootId,
    hasKvm: false,
    hostUptimeMs: () => (connection.hostUptimeMs() ?? 0) - 10_000,
    run: (compose, options) => connection.run(compose, options),
  };
  const xml = domainXml(specOf(host.datastores, 13, 1), { hasKvm: false });
  const outcome = await createDomain(stalled, { vmId: 13, xml, directories: [] }, () => undefined);
  assert.equal(outcome, { kind: "not-started", why: "the host read the command too late", isRefused: true });
  assert.is(host.processes("qemu-system-x86").length, 0);
  await connection.stop();
});

withBed("a start that cannot work is told with libvirt's reason", async (host) => {
  const leader = new Leader(host);
  leader.change = { disks: [], kernel: "/no/such/kernel" };
  leader.want({ vmId: 10, epoch: 1, phase: "boot" });
  const failed = await leader.fact("failed", 10);
  assert.match(failed.kind === "failed" ? failed.reason : "", "/no/such/kernel");
  await leader.stop();
});

withBed("a domain of a start that was given up is destroyed before anything else", async (host) => {
  const leader = new Leader(host);
  leader.want({ vmId: 12, epoch: 1, phase: "boot" });
  await leader.fact("running", 12);
  await leader.stop();
  const next = new Leader(host);
  next.want({ vmId: 12, epoch: 2, phase: "boot" });
  const stray = await next.fact("stray-destroyed", 12);
  assert.is(stray.epoch, 1);
  const running = await next.fact("running", 12);
  assert.is(running.epoch, 2);
  assert.is(host.processes("qemu-system-x86").length, 1);
  next.want({ vmId: 12, epoch: 2, phase: "off" });
  await next.fact("gone", 12);
  await next.stop();
});

withBed("the beat on the shared datastore is read through a connection, and stops with the writer", async (host) => {
  const { connection, signals, reaches } = connectTo(host);
  await reaches("ready");
  let uuid = "";
  await until(
    () => {
      for (const signal of signals) if (signal.kind === "line" && signal.line.kind === "uuid") uuid = signal.line.uuid;
      return uuid !== "";
    },
    15_000,
    "the host named itself",
  );
  assert.is(uuid, host.uuid, "as libvirt does");
  const read = async (): Promise<string> => {
    const result = await readStorageBeat(connection, host.datastores, uuid);
    return "beat" in result ? (result.beat ?? "") : "";
  };
  await until(async () => (await read()) !== "", 5000, "a beat");
  const first = await read();
  await until(async () => (await read()) !== first, 3000, "the beat goes on");
  const none = await readStorageBeat(connection, host.datastores, "00000000-0000-0000-0000-000000000000");
  assert.equal(none, { beat: undefined });
  await connection.stop();
});

withBed("a libvirtd that hangs ages its number and nothing else", async (host) => {
  const { connection, signals, reaches, lists } = connectTo(host);
  await reaches("ready");
  await lists();
  const hung = host.processes("libvirtd");
  for (const pid of hung) process.kill(pid, "SIGSTOP");
  const ages = (): { libvirt: number; disk: number; ticks: number } => {
    const ticks = signals.flatMap((signal) =>
      signal.kind === "line" && signal.line.kind === "tick" ? [signal.line] : [],
    );
    const last = ticks.at(-1);
    if (last === undefined) return { libvirt: 0, disk: 0, ticks: 0 };
    return {
      libvirt: last.uptimeMs - (last.libvirtUptimeMs ?? 0),
      disk: last.uptimeMs - (last.diskUptimeMs ?? 0),
      ticks: ticks.length,
    };
  };
  await until(() => ages().libvirt > 7000, 15_000, "libvirtd's age grows beyond a probe's interval");
  assert.ok(ages().disk < 3000, `disk ${ages().disk}`);
  assert.is(connection.state.kind, "ready");
  for (const pid of hung) process.kill(pid, "SIGCONT");
  await until(() => ages().libvirt < 5000, 15_000, "libvirtd answers again");
  await connection.stop();
});

test("this file ran as far as the machine allows", () => assert.ok(bed !== undefined || missing !== undefined));
test.after(async () => {
  await stopAll();
  await bed?.stop();
});
test.run();
