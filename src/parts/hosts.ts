import { randomUUID } from "node:crypto";
import { assert } from "../base/assert.ts";
import type { Change } from "../base/entry.ts";
import { CodedError, errorChain } from "../base/error.ts";
import { createPrng } from "../base/prng.ts";
import type { Config } from "../config/config.ts";
import { allFenceRecords, type FenceRow, isOpen, notBeingFenced } from "../fence/record.ts";
import { readStorageBeat, restartLibvirtd } from "../hypervisor/commands.ts";
import { HostConnection } from "../hypervisor/connection.ts";
import { domainName } from "../hypervisor/domain-identity.ts";
import { HypervisorDriver } from "../hypervisor/driver.ts";
import { createHandshakeGate } from "../hypervisor/handshake-gate.ts";
import type { LoopLine } from "../hypervisor/loop-line.ts";
import type { HeldDomain, WantedVm } from "../hypervisor/planner.ts";
import type { Fact, HostSignal } from "../hypervisor/ports.ts";
import { MonitorDriver } from "../monitor/driver.ts";
import { DEFAULT_LIMITS } from "../monitor/machine.ts";
import type { HostLevel } from "../monitor/ports.ts";
import { getText, parseStored, renderTemplate } from "../one/attributes.ts";
import { statement, type Transition } from "../one/change.ts";
import { allHosts, type HostRow, hostById } from "../one/host/row.ts";
import { HOST_STATE } from "../one/host/states.ts";
import { type HostFacts, hostFacts, hostMonitored } from "../one/host/transitions.ts";
import type { Query } from "../one/query.ts";
import { type VmRow, vmById, vmsOnHost } from "../one/vm/row.ts";
import { LCM_STATE, VM_STATE } from "../one/vm/states.ts";
import { bootFailed, failed, poweredOff, requeued, running, terminated } from "../one/vm/transitions.ts";
import type { Cluster } from "./cluster.ts";
import { domainSpec } from "./domain-spec.ts";
import { pinHostKey, readHostKey } from "./secrets.ts";

/** Where hosts have the shared datastores. */
const DATASTORES = "/var/lib/one/datastores";
/** A command must leave with at least this much lease, ms: its bytes follow within one turn. */
const COMMAND_LEASE_MS_MIN = 50;
/** How often this box's verdicts are renewed for the heartbeat answers, ms. */
const PAYLOAD_INTERVAL_MS = 100;

/** What the loop told about a host since this box met it. */
interface Known {
  readonly connection: HostConnection;
  readonly row: HostRow;
  cpus: number;
  memoryTotalKib: number;
  hostname: string;
  hasKvm: boolean;
  uuid: string;
  bootId: string;
  /** The domains it showed since it last came back; undefined while it has not. */
  domains: readonly number[] | undefined;
}

export interface HostsPorts {
  readonly cluster: Cluster;
  readonly config: Config;
  readonly privateKey: string;
  readonly clusterId: string;
  /** The host's BMC's power, asked now; undefined when it does not answer or none is configured. */
  bmcPower(hostId: number): Promise<"on" | "off" | undefined>;
  /** Something about hosts changed that fencing may wait for. */
  onLevel(level: HostLevel): void;
  log(text: string): void;
}

/**
 * The hypervisors as this box has them: connections and verdicts on every box; on the leader also their domains, made
 * what the record wants.
 */
export class Hosts {
  readonly monitor: MonitorDriver;
  readonly #ports: HostsPorts;
  readonly #known = new Map<number, Known>();
  readonly #handshakes = createHandshakeGate();
  readonly #prng = createPrng(crypto.getRandomValues(new Uint32Array(1))[0] ?? 1);
  readonly #boxId = `box-${randomUUID().slice(0, 8)}`;
  readonly #vms = new Map<number, VmRow>();
  readonly #fences = new Map<number, FenceRow>();
  #driver: HypervisorDriver | undefined;
  #payloads: ReturnType<typeof setInterval> | undefined;
  #removeListener: (() => void) | undefined;
  #refresh: Promise<void> = Promise.resolve();

  constructor(ports: HostsPorts) {
    this.#ports = ports;
    const { suspectMs } = ports.config.cluster;
    this.monitor = new MonitorDriver(
      {
        // Asked each time: a founder gets its server id with the first server-add.
        get boxId() {
          return ports.cluster.self()?.serverId ?? -1;
        },
        limits: { ...DEFAULT_LIMITS, suspectMs, suspectOffMs: Math.min(DEFAULT_LIMITS.suspectOffMs, suspectMs) },
      },
      {
        now,
        evidence: {
          bmcPower: (hostId) => ports.bmcPower(hostId),
          storageBeat: (hostId) => this.#storageBeat(hostId),
          restartLibvirtd: async (hostId) => {
            const known = this.#known.get(hostId);
            if (known !== undefined) await restartLibvirtd(known.connection);
          },
        },
        onLevel: (level) => ports.onLevel(level),
        onNote: (hostId, text) => ports.log(`host ${hostId}: ${text}`),
      },
    );
  }

  async start(): Promise<void> {
    this.#removeListener = this.#ports.cluster.state.onApplied((tags) => this.#applied(tags));
    await this.#loadHosts();
    this.monitor.start();
    this.#payloads = setInterval(() => this.#ports.cluster.core.setSide(this.monitor.payload()), PAYLOAD_INTERVAL_MS);
  }

  async stop(): Promise<void> {
    this.#removeListener?.();
    clearInterval(this.#payloads);
    this.monitor.stop();
    await this.unlead();
    await Promise.all([...this.#known.values()].map(({ connection }) => connection.stop()));
  }

  /** From now on this box decides what runs where. The rows are read first: nothing starts on an old record. */
  async lead(voters: () => readonly number[]): Promise<void> {
    await this.#loadRows();
    this.monitor.lead(voters);
    const driver = new HypervisorDriver({
      now,
      clusterId: this.#ports.clusterId,
      records: {
        wanted: (hostId) => [...this.#vms.values()].flatMap((vm) => wanted(vm, hostId)),
        record: (vmId) => {
          const vm = this.#vms.get(vmId);
          if (vm === undefined || vm.state === VM_STATE.done || vm.host_id === null) return { kind: "none" };
          return { kind: "placed", hostId: vm.host_id, epoch: vm.seq };
        },
        spec: (vmId, epoch) => {
          const vm = this.#vms.get(vmId);
          return vm === undefined || vm.seq !== epoch ? undefined : domainSpec(this.#ports.clusterId, vm);
        },
      },
      tickets: {
        refuseEnd: () => this.#refuseAny(),
        refuseStart: (vmId, hostId, epoch) => this.#refuseStart(vmId, hostId, epoch),
      },
      reports: {
        fact: (fact) => this.#fact(fact),
        hostReturned: (hostId, bootId, domains) => this.#hostReturned(hostId, bootId, domains),
      },
      onNote: (hostId, text) => this.#ports.log(`host ${hostId}: ${text}`),
    });
    this.#driver = driver;
    for (const { connection } of this.#known.values()) {
      connection.follow(true);
      driver.addHost(connection);
    }
    driver.start();
  }

  async unlead(): Promise<void> {
    this.monitor.follow();
    const driver = this.#driver;
    this.#driver = undefined;
    for (const { connection } of this.#known.values()) connection.follow(false);
    await driver?.stop();
  }

  /** What fencing wants to know of a host beside its level. */
  view(hostId: number): {
    readonly bootId: string;
    readonly uuid: string;
    readonly domains: readonly number[] | undefined;
  } {
    const known = this.#known.get(hostId);
    return { bootId: known?.bootId ?? "", uuid: known?.uuid ?? "", domains: known?.domains };
  }

  /** Why a host in service takes no VM now; "" when it does. */
  closedReason(hostId: number): string {
    const level = this.monitor.levels().find((one) => one.hostId === hostId);
    if (level === undefined) return "not heard yet";
    if (level.inference.kind !== "up") return `it is ${level.inference.kind}`;
    return level.inference.degraded ?? "";
  }

  /** The host's processors; 0 before it told them. */
  cpus(hostId: number): number {
    return this.#known.get(hostId)?.cpus ?? 0;
  }

  /** How each host's connection stands, for `ringfence status`. */
  connections(): readonly {
    readonly hostId: number;
    readonly state: string;
    readonly reason: string;
    readonly uuid: string;
  }[] {
    return [...this.#known.values()].map(({ connection, uuid }) => ({
      hostId: connection.hostId,
      state: connection.state.kind,
      reason: connection.state.reason,
      uuid,
    }));
  }

  /** No command that changes a host leaves without the lease. */
  #refuseAny(): string | undefined {
    const { cluster } = this.#ports;
    if (!cluster.role().isReady) return "this box does not lead";
    if (cluster.core.leaseRemainingMs() < COMMAND_LEASE_MS_MIN) return "this box holds no lease";
    return undefined;
  }

  #refuseStart(vmId: number, hostId: number, epoch: number): string | undefined {
    const refusal = this.#refuseAny();
    if (refusal !== undefined) return refusal;
    const vm = this.#vms.get(vmId);
    if (vm === undefined || vm.host_id !== hostId || vm.seq !== epoch || vm.state !== VM_STATE.active)
      return "the record has changed";
    if (isOpen(this.#fences.get(hostId))) return "the host is being fenced or recovered";
    return undefined;
  }

  /** A fact of the hypervisor becomes the VM's next step, if the record still speaks of that start on that host. */
  async #fact(fact: Fact): Promise<void> {
    const vm = await this.#one(vmById(fact.vmId));
    if (fact.kind === "stray-destroyed") {
      this.#ports.log(`host ${fact.hostId}: VM ${fact.vmId} must not run there and was destroyed: ${fact.reason}`);
      return;
    }
    if (vm === undefined || vm.host_id !== fact.hostId || vm.seq !== fact.epoch) return;
    const step = stepFor(fact, vm, Math.floor(Date.now() / 1000));
    if (step === undefined) return;
    if (!step.ok) {
      this.#ports.log(`VM ${vm.id}: ${step.why}`);
      return;
    }
    const outcome = await this.#ports.cluster.propose(`vm.${fact.kind}`, step.change);
    // Rejected: the row changed meanwhile, and the same fact will be said again against the new row.
    if (outcome.kind !== "done" && outcome.kind !== "rejected")
      throw new CodedError("unknown", `The step of VM ${vm.id} is ${outcome.kind}`);
  }

  /** Admits a host to new starts: it is heard, has shown its domains, and no fencing of it is open. */
  async #hostReturned(hostId: number, bootId: string, domains: readonly HeldDomain[]): Promise<boolean> {
    const known = this.#known.get(hostId);
    const row = await this.#one(hostById(hostId));
    if (known === undefined || row === undefined) return false;
    known.bootId = bootId;
    known.domains = domains.map((domain) => domain.vmId);
    if (isOpen(this.#fences.get(hostId))) return false;
    const facts = factsOf(known);
    if (facts === undefined) return false;
    if (row.state !== HOST_STATE.init && row.state !== HOST_STATE.error) {
      if (row.total_cpu !== facts.totalCpu || row.facts !== facts.facts)
        await this.#propose("host.facts", hostFacts(row, facts));
      return row.state === HOST_STATE.monitored || row.state === HOST_STATE.disabled;
    }
    const step = hostMonitored(row, facts);
    if (!step.ok) return false;
    return this.#propose("host.monitored", { ...step.change, guards: [...step.change.guards, notBeingFenced(hostId)] });
  }

  async #propose(kind: string, change: Change): Promise<boolean> {
    return (await this.#ports.cluster.propose(kind, change)).kind === "done";
  }

  /** Keeps the copies of rows that the driver reads at once up to date; one refresh after the other, in order. */
  #applied(tags: readonly string[]): void {
    if (!tags.some((tag) => /^(vm|host|host-vms|fence):/.test(tag))) return;
    this.#refresh = this.#refresh
      .then(() => this.#reload(tags))
      .catch((error: unknown) => this.#ports.log(`Cannot read the state of hosts: ${errorChain(error)}`));
  }

  async #reload(tags: readonly string[]): Promise<void> {
    for (const tag of tags) {
      // A tag without a number (`vm`: one more) is no row: a VM without a host concerns no host.
      const [, kind, text] = /^([a-z-]+):(\d+)$/.exec(tag) ?? [];
      const id = Number(text);
      if (kind === "vm") for (const vm of await this.#read(vmById(id))) this.#vms.set(vm.id, vm);
      if (kind === "host-vms") for (const vm of await this.#read(vmsOnHost(id))) this.#vms.set(vm.id, vm);
      if (kind === "fence") await this.#loadFences();
    }
    if (tags.some((tag) => tag.startsWith("host:"))) await this.#loadHosts();
    this.#driver?.wake();
  }

  async #loadRows(): Promise<void> {
    const columns = (await this.#read(allLiveVms)).map((vm) => [vm.id, vm] as const);
    this.#vms.clear();
    for (const [id, vm] of columns) this.#vms.set(id, vm);
    await this.#loadFences();
  }

  async #loadFences(): Promise<void> {
    const rows = await this.#read(allFenceRecords());
    this.#fences.clear();
    for (const row of rows) this.#fences.set(row.host_id, row);
  }

  async #loadHosts(): Promise<void> {
    const rows = await this.#read(allHosts());
    const ids = new Set(rows.map((row) => row.id));
    for (const [hostId, known] of this.#known) if (!ids.has(hostId)) await this.#remove(hostId, known);
    for (const row of rows) {
      const known = this.#known.get(row.id);
      if (known !== undefined && addressOf(known.row) === addressOf(row)) continue;
      if (known !== undefined) await this.#remove(row.id, known);
      this.#add(row);
    }
  }

  #add(row: HostRow): void {
    const { config, privateKey, cluster } = this.#ports;
    const { managementAddress } = config.box;
    const connection = new HostConnection(
      {
        host: { hostId: row.id, name: row.name, address: row.name, port: 22, user: userOf(row) },
        boxId: this.#boxId,
        privateKey,
        ...(managementAddress === undefined ? {} : { localAddress: managementAddress }),
        datastores: DATASTORES,
      },
      {
        now,
        prng: this.#prng,
        handshakes: this.#handshakes,
        keys: {
          pin: async (hostId, offered) => {
            const pinned = await readHostKey(cluster.state, hostId);
            if (pinned !== undefined) return pinned;
            if (!cluster.role().isReady) throw new CodedError("host-key", "the leader has not pinned its key yet");
            await cluster.propose("host.pin", pinHostKey(hostId, offered));
            const now = await readHostKey(cluster.state, hostId);
            if (now === undefined) throw new CodedError("host-key", "its key could not be pinned");
            return now;
          },
        },
        onSignal: (signal) => this.#signal(row.id, signal),
      },
    );
    const known: Known = {
      connection,
      row,
      ...{ cpus: 0, memoryTotalKib: 0, hostname: "", hasKvm: false, uuid: "", bootId: "", domains: undefined },
    };
    assert(!this.#known.has(row.id), "a host is added once");
    this.#known.set(row.id, known);
    this.monitor.addHost(row.id);
    connection.start();
    if (this.#driver !== undefined) {
      connection.follow(true);
      this.#driver.addHost(connection);
    }
  }

  async #remove(hostId: number, known: Known): Promise<void> {
    this.#known.delete(hostId);
    this.monitor.removeHost(hostId);
    this.#driver?.removeHost(hostId);
    await known.connection.stop();
  }

  #signal(hostId: number, signal: HostSignal): void {
    const known = this.#known.get(hostId);
    if (known === undefined) return;
    if (signal.kind === "line") {
      this.#note(known, signal.line);
      const { line } = signal;
      if (line.kind === "hello" || line.kind === "tick" || line.kind === "sample")
        this.monitor.line(hostId, 0, { ...line, at: signal.at });
    }
    if (signal.kind === "state" && signal.state.kind !== "ready") known.domains = undefined;
    this.#driver?.signal(hostId, signal);
  }

  #note(known: Known, line: LoopLine): void {
    if (line.kind === "hello") {
      known.cpus = line.cpus;
      known.hasKvm = line.hasKvm;
      known.hostname = line.hostname;
    } else if (line.kind === "uuid") {
      known.uuid = line.uuid;
      this.#driver?.wake(known.connection.hostId);
    } else if (line.kind === "sample") {
      const isFirst = known.memoryTotalKib === 0;
      known.memoryTotalKib = line.memoryTotalKib;
      if (isFirst) this.#driver?.wake(known.connection.hostId);
    }
  }

  async #storageBeat(hostId: number): Promise<string | undefined> {
    const uuid = this.#known.get(hostId)?.uuid ?? "";
    const reader = [...this.#known.values()].find(
      ({ connection }) => connection.hostId !== hostId && connection.state.kind === "ready",
    );
    if (uuid === "" || reader === undefined) return undefined;
    const result = await readStorageBeat(reader.connection, DATASTORES, uuid);
    return "beat" in result ? result.beat : undefined;
  }

  async #one<R>(query: Query<R>): Promise<R | undefined> {
    return (await this.#read(query))[0];
  }

  async #read<R>({ sql, values }: Query<R>): Promise<readonly R[]> {
    return (await this.#ports.cluster.state.readRows(sql, values)) as readonly unknown[] as readonly R[];
  }
}

function now(): number {
  return performance.now();
}

const allLiveVms: Query<VmRow> = {
  sql: vmById(0).sql.replace("WHERE id=?", "WHERE state<>6 OR host_id IS NOT NULL"),
  values: [],
};

/** What the record wants of one VM on one host. */
function wanted(vm: VmRow, hostId: number): readonly WantedVm[] {
  if (vm.host_id !== hostId || vm.state !== VM_STATE.active) return [];
  const at = (phase: WantedVm["phase"]): readonly WantedVm[] => [{ vmId: vm.id, epoch: vm.seq, phase }];
  switch (vm.lcm_state) {
    case LCM_STATE.boot:
      return at("boot");
    case LCM_STATE.running:
    case LCM_STATE.unknown:
      return at("running");
    case LCM_STATE.shutdown:
    case LCM_STATE.shutdownPoweroff:
      return at(vm.hard === 1 ? "off" : "shutdown");
    case LCM_STATE.cleanupResubmit:
      return at("off");
    default:
      return [];
  }
}

/** The VM's next step after a fact; undefined when the record says so already. */
function stepFor(
  fact: Exclude<Fact, { kind: "stray-destroyed" }>,
  vm: VmRow,
  wallSeconds: number,
): Transition | undefined {
  const lcm = vm.state === VM_STATE.active ? vm.lcm_state : -1;
  switch (fact.kind) {
    case "running":
      if (lcm === LCM_STATE.boot || lcm === LCM_STATE.unknown) return running(vm, domainName(vm.id), wallSeconds);
      return undefined;
    case "failed":
      return lcm === LCM_STATE.boot ? bootFailed(vm, fact.reason) : undefined;
    case "gone":
      if (lcm === LCM_STATE.shutdown) return terminated(vm, wallSeconds);
      if (lcm === LCM_STATE.shutdownPoweroff) return poweredOff(vm, wallSeconds);
      if (lcm === LCM_STATE.cleanupResubmit) return requeued(vm, vm.fresh_disks === 1, wallSeconds);
      // The guest's own shutdown, or a person's virsh destroy, is a wish; everything else is a crash.
      if (fact.cause === "shutdown" || fact.cause === "destroyed")
        return lcm === LCM_STATE.running ? poweredOff(vm, wallSeconds) : undefined;
      return lcm === LCM_STATE.running || lcm === LCM_STATE.unknown || lcm === LCM_STATE.boot
        ? failed(vm, fact.reason, wallSeconds)
        : undefined;
  }
}

/** Undefined until the loop has told all of it. */
function factsOf(known: Known): HostFacts | undefined {
  if (known.cpus === 0 || known.memoryTotalKib === 0 || known.uuid === "") return undefined;
  return {
    totalCpu: known.cpus * 100,
    totalMem: known.memoryTotalKib,
    facts: renderTemplate([
      { name: "ARCH", value: "x86_64" },
      { name: "HOSTNAME", value: known.hostname },
      { name: "HYPERVISOR", value: known.hasKvm ? "kvm" : "qemu" },
      { name: "UUID", value: known.uuid },
    ]),
  };
}

function userOf(row: HostRow): string {
  return getText(parseStored(row.template), "SSH_USER") ?? "root";
}

function addressOf(row: HostRow): string {
  return `${userOf(row)}@${row.name}`;
}

/** Forgets the pinned key of a host (`ringfence host trust`): the next connection pins anew. */
export function forgetHostKey(hostId: number): Change {
  return {
    guards: [],
    statements: [statement("DELETE FROM host_key WHERE host_id=?", hostId)],
    tags: [`host:${hostId}`],
  };
}
