import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  COMMAND_READ_WITHIN_MS,
  createDomain,
  destroyDomain,
  shutdownDomain,
} from "../../../src/hypervisor/commands.ts";
import { domainUuid } from "../../../src/hypervisor/domain-identity.ts";
import { HypervisorDriver } from "../../../src/hypervisor/driver.ts";
import { SAY_AGAIN_MS } from "../../../src/hypervisor/fact-memory.ts";
import { UNSURE_SETTLE_MS, type WantedVm } from "../../../src/hypervisor/planner.ts";
import type { CommandResult, ConnectionState, Fact, HostLink } from "../../../src/hypervisor/ports.ts";

const CLUSTER = "c-1";
const done = (code: number, stdout = "", stderr = ""): CommandResult => ({ kind: "done", code, stdout, stderr });

/** A host that understands the driver's scripts, with a clock of its own and faults on demand. */
class FakeHost implements HostLink {
  readonly hostId: number;
  readonly name: string;
  state: ConnectionState = { kind: "ready", since: 1, reason: "" };
  bootId: string | undefined = "boot-1";
  readonly hasKvm = false;
  /** VM id to epoch. */
  readonly domains = new Map<number, number>();
  readonly log: string[] = [];
  /** What becomes of the next create. */
  nextCreate: "good" | "lost-not-done" | "lost-done" | "failed" | "late" = "good";

  constructor(hostId: number) {
    this.hostId = hostId;
    this.name = `node-${hostId}`;
  }

  hostUptimeMs(): number {
    return 100_000;
  }

  async run(compose: Parameters<HostLink["run"]>[0]): Promise<CommandResult> {
    if (this.state.kind !== "ready") return { kind: "not-sent", why: "not connected" };
    const composed = compose();
    if ("refuse" in composed) return { kind: "not-sent", why: composed.refuse };
    const { send } = composed;
    if (send.includes("list --all")) {
      const rows = [...this.domains].map(
        ([vmId, epoch]) => ` 1   one-${vmId}   running   ringfence ${CLUSTER} ${vmId} ${epoch}`,
      );
      return done(0, ` 9   guest of another   running   theirs\n${rows.join("\n")}\n`);
    }
    if (send.includes("create /dev/stdin")) return this.#create(send);
    const uuid = /destroy '([^']+)'/.exec(send)?.[1];
    const vmId = [...this.domains.keys()].find((candidate) => domainUuid(CLUSTER, candidate) === uuid);
    if (vmId === undefined) return done(1, "", "error: failed to get domain");
    this.domains.delete(vmId);
    this.log.push(`destroy ${vmId}`);
    return done(0);
  }

  #create(send: string): CommandResult {
    const [, vmId, epoch] = /<title>ringfence \S+ (\d+) (\d+)<\/title>/.exec(send) ?? [];
    const fate = this.nextCreate;
    this.nextCreate = "good";
    this.log.push(`create ${vmId} ${epoch} ${fate}`);
    if (fate === "failed")
      return done(1, "", "error: Failed to create domain from /dev/stdin\nerror: Cannot access storage file '/d'");
    if (fate === "late") return done(75);
    if (fate !== "lost-not-done") this.domains.set(Number(vmId), Number(epoch));
    return fate === "good" ? done(0) : { kind: "unknown", why: "the connection was lost" };
  }
}

class World {
  now = 1_000_000;
  readonly hosts = [new FakeHost(1), new FakeHost(2)] as const;
  readonly wanted = new Map<number, readonly WantedVm[]>();
  readonly facts: Fact[] = [];
  readonly notes: string[] = [];
  readonly returned: string[] = [];
  isAdmitting = true;
  #isStarted = false;
  refusal: string | undefined;
  readonly driver = new HypervisorDriver({
    now: () => this.now,
    clusterId: CLUSTER,
    records: {
      wanted: (hostId) => this.wanted.get(hostId) ?? [],
      record: (vmId) => {
        for (const [hostId, vms] of this.wanted) {
          const vm = vms.find((candidate) => candidate.vmId === vmId);
          if (vm !== undefined) return { kind: "placed", hostId, epoch: vm.epoch };
        }
        return { kind: "none" };
      },
      spec: (vmId, epoch) => ({
        clusterId: CLUSTER,
        vmId,
        epoch,
        displayName: "x",
        memoryMib: 1,
        vcpus: 1,
        cpu: 1,
        disks: [],
        nics: [],
      }),
    },
    tickets: { refuseStart: () => this.refusal, refuseEnd: () => this.refusal },
    reports: {
      fact: async (fact) => {
        this.facts.push(fact);
      },
      hostReturned: async (hostId, bootId, domains) => {
        this.returned.push(`${hostId} ${bootId} ${domains.map((domain) => domain.vmId)}`);
        return this.isAdmitting;
      },
    },
    onNote: (_hostId, text) => this.notes.push(text),
  });

  constructor() {
    for (const host of this.hosts) this.driver.addHost(host);
  }

  want(hostId: number, ...vms: WantedVm[]): void {
    this.wanted.set(hostId, vms);
  }

  /** One pass over all hosts, to its end: everything here answers with microtasks. */
  async pass(): Promise<void> {
    if (this.#isStarted) this.driver.wake();
    else this.driver.start();
    this.#isStarted = true;
    await new Promise((resolve) => setImmediate(resolve));
  }

  kinds(vmId: number): string[] {
    return this.facts.filter((fact) => fact.vmId === vmId).map((fact) => fact.kind);
  }

  async advance(ms: number): Promise<void> {
    this.now += ms;
    await this.pass();
  }
}

const scenario = (name: string, run: (world: World) => Promise<void>): void => {
  test(name, async () => {
    const world = new World();
    await run(world);
    await world.driver.stop();
  });
};

const boot = (vmId: number, epoch = 1): WantedVm => ({ vmId, epoch, phase: "boot" });

scenario("a wanted VM is started once, however often the driver looks", async (world) => {
  world.want(1, boot(7));
  for (let i = 0; i < 5; i++) await world.advance(500);
  assert.equal(world.hosts[0].log, ["create 7 1 good"]);
  assert.equal(world.kinds(7), ["running"]);
});

scenario("nothing is started on a host before its boot and domains were taken note of", async (world) => {
  world.isAdmitting = false;
  world.hosts[0].domains.set(3, 1);
  world.want(1, boot(7), { vmId: 3, epoch: 1, phase: "running" });
  await world.pass();
  assert.equal(world.hosts[0].log, []);
  assert.is(world.returned[0], "1 boot-1 3");
  world.isAdmitting = true;
  await world.pass();
  assert.equal(world.hosts[0].log, ["create 7 1 good"]);
});

scenario("a host that comes back is shown again, and its strays are gone by then", async (world) => {
  world.want(1, boot(7));
  await world.pass();
  const [host] = world.hosts;
  host.state = { kind: "silent", since: 2, reason: "" };
  await world.pass();
  world.want(1);
  world.want(2, boot(7, 2));
  host.state = { kind: "ready", since: 3, reason: "" };
  host.bootId = "boot-2";
  world.returned.length = 0;
  await world.pass();
  await world.pass();
  assert.ok(host.log.includes("destroy 7"));
  assert.is(world.returned[0], "1 boot-2 ", "after the stray was destroyed");
  assert.ok(world.kinds(7).includes("stray-destroyed"));
});

scenario("a VM that another host's list has is not started", async (world) => {
  // Newer than the record, so it is left alone; and its host is looked at after the one that is to start the VM.
  world.hosts[1].domains.set(7, 5);
  world.want(1, boot(7));
  for (let i = 0; i < 5; i++) await world.advance(500);
  assert.equal(world.hosts[0].log, []);
  assert.ok(world.notes.some((note) => note.includes("VM 7 runs on host 2")));
});

scenario(
  "a start whose outcome was lost is neither repeated nor given up until the host has been without it for 10 s",
  async (world) => {
    world.hosts[0].nextCreate = "lost-not-done";
    world.want(1, boot(7));
    await world.pass();
    await world.advance(UNSURE_SETTLE_MS - 1);
    assert.equal(world.hosts[0].log, ["create 7 1 lost-not-done"]);
    assert.equal(world.kinds(7), []);
    await world.advance(1);
    assert.equal(world.kinds(7), ["failed"]);
  },
);

scenario("a start whose outcome was lost and that was carried out is running", async (world) => {
  world.hosts[0].nextCreate = "lost-done";
  world.want(1, boot(7));
  await world.pass();
  await world.pass();
  assert.equal(world.hosts[0].log, ["create 7 1 lost-done"]);
  assert.equal(world.kinds(7), ["running"]);
});

scenario(
  "a start that libvirt refuses is told with its reason and tried again after a growing pause",
  async (world) => {
    world.want(1, boot(7));
    const [host] = world.hosts;
    host.nextCreate = "failed";
    await world.pass();
    const [fact] = world.facts;
    assert.is(fact?.kind === "failed" && fact.reason, "Cannot access storage file '/d'");
    await world.advance(900);
    assert.is(host.log.length, 1);
    host.nextCreate = "failed";
    await world.advance(200);
    assert.is(host.log.length, 2);
    await world.advance(1900);
    assert.is(host.log.length, 2);
    await world.advance(200);
    assert.equal(host.log, ["create 7 1 failed", "create 7 1 failed", "create 7 1 good"]);
  },
);

scenario("a command that the host read too late is not a failure of the VM", async (world) => {
  world.hosts[0].nextCreate = "late";
  world.want(1, boot(7));
  await world.pass();
  assert.equal(world.kinds(7), []);
  await world.advance(600);
  assert.equal(world.kinds(7), ["running"]);
});

scenario("a VM that ended before the record knew that it ran is told, not started again", async (world) => {
  world.want(1, boot(7));
  await world.pass();
  world.hosts[0].domains.delete(7);
  const detail = { kind: "stopped", name: "one-7", cause: "crashed", detail: "Crashed" } as const;
  world.driver.signal(1, { kind: "event", at: world.now, event: detail });
  await world.pass();
  assert.equal(world.kinds(7), ["running", "gone"]);
  const gone = world.facts.at(-1);
  assert.is(gone?.kind === "gone" && gone.cause, "crashed");
  assert.equal(world.hosts[0].log, ["create 7 1 good"]);
});

scenario("a fact is said again every 5 s while the record has not taken it up", async (world) => {
  world.hosts[0].domains.set(7, 1);
  world.want(1, { vmId: 7, epoch: 1, phase: "running" });
  for (let i = 0; i < 10; i++) await world.advance(SAY_AGAIN_MS / 5);
  assert.equal(world.kinds(7), ["running", "running"]);
});

scenario("another's guests are never touched", async (world) => {
  for (let i = 0; i < 3; i++) await world.pass();
  assert.equal(world.hosts[0].log, []);
  assert.is(world.returned[0], "1 boot-1 ");
});

scenario("without the lease nothing is ended either", async (world) => {
  world.hosts[0].domains.set(3, 1);
  world.refusal = "no lease";
  await world.pass();
  assert.equal(world.hosts[0].log, []);
  world.refusal = undefined;
  await world.pass();
  assert.equal(world.hosts[0].log, ["destroy 3"]);
});

scenario("a driver that was stopped starts and ends nothing more", async (world) => {
  await world.pass();
  await world.driver.stop();
  world.hosts[0].domains.set(3, 1);
  world.want(1, boot(7));
  await world.pass();
  assert.equal(world.hosts[0].log, []);
});

test("the ticket is asked after the channel is open, and its answer is the last word", async () => {
  const host = new FakeHost(1);
  const order: string[] = [];
  const run = host.run.bind(host);
  host.run = async (compose) => {
    order.push("channel open");
    return run(compose);
  };
  const outcome = await createDomain(host, { vmId: 7, xml: "<domain/>\n", directories: [] }, () => {
    order.push("ticket");
    return "no lease";
  });
  assert.equal(order, ["channel open", "ticket"]);
  assert.equal(outcome, { kind: "not-started", why: "no lease", isRefused: true });
  assert.equal(host.log, []);
});

scenario(
  "a start of unknown outcome on one host keeps the VM from all others, until it was missing there for 10 s",
  async (world) => {
    world.hosts[0].nextCreate = "lost-not-done";
    world.want(1, boot(7));
    await world.pass();
    // A person declares it failed, and it is placed on the other host.
    world.want(1);
    world.want(2, boot(7, 2));
    for (let i = 0; i < 9; i++) await world.advance(1_000);
    assert.equal(world.hosts[1].log, []);
    for (let i = 0; i < 5; i++) await world.advance(1_000);
    assert.equal(world.hosts[1].log, ["create 7 2 good"]);
  },
);

scenario("a VM whose start is under way on one host is not started on another", async (world) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const [first, second] = world.hosts;
  const run = first.run.bind(first);
  first.run = async (compose) => {
    const result = await run(compose);
    if (first.log.length === 1) await promise;
    return result;
  };
  await world.pass();
  world.want(1, boot(7));
  await world.pass();
  world.want(1);
  world.want(2, boot(7, 2));
  for (let i = 0; i < 5; i++) await world.advance(500);
  assert.equal(second.log, []);
  resolve();
  for (let i = 0; i < 5; i++) await world.advance(500);
  assert.equal(first.log, ["create 7 1 good", "destroy 7"]);
  assert.equal(second.log, ["create 7 2 good"]);
});

scenario("after the record took up that a VM ended, the same epoch is started again", async (world) => {
  world.want(1, boot(7));
  await world.pass();
  world.hosts[0].domains.clear();
  world.want(1, { vmId: 7, epoch: 1, phase: "running" });
  await world.pass();
  assert.equal(world.kinds(7), ["running", "gone"]);
  world.driver.forget(1, 7);
  // `onevm resume` before any other look at the host.
  world.want(1, boot(7));
  await world.pass();
  assert.equal(world.hosts[0].log, ["create 7 1 good", "create 7 1 good"]);
  assert.equal(world.kinds(7), ["running", "gone", "running"]);
});

test("a command to end a domain that the host reads too late does nothing", async () => {
  const bin = mkdtempSync(`${tmpdir()}/virsh-`);
  writeFileSync(`${bin}/virsh`, `#!/bin/sh\necho "$@" >>${bin}/calls\n`, { mode: 0o755 });
  const host = new FakeHost(1);
  host.run = async (compose) => {
    const composed = compose();
    if ("refuse" in composed) return { kind: "not-sent", why: composed.refuse };
    const result = Bun.spawnSync(["sh", "-s"], {
      stdin: Buffer.from(composed.send),
      env: { PATH: `${bin}:/usr/bin:/bin` },
    });
    return done(result.exitCode);
  };
  const vm = { vmId: 7, uuid: "u" };
  const uptimeMs = Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]) * 1000;
  host.hostUptimeMs = () => uptimeMs - COMMAND_READ_WITHIN_MS - 2_000;
  assert.is((await destroyDomain(host, vm, () => undefined)).isGone, false);
  assert.is((await shutdownDomain(host, vm, () => undefined)).kind, "done");
  assert.not(existsSync(`${bin}/calls`));
  host.hostUptimeMs = () => uptimeMs;
  assert.is((await destroyDomain(host, vm, () => undefined)).isGone, true);
  await shutdownDomain(host, vm, () => undefined);
  assert.match(readFileSync(`${bin}/calls`, "utf8"), /destroy u\n.*shutdown u --mode acpi\n/);
  rmSync(bin, { recursive: true });
});

test.run();
