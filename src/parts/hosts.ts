import { randomUUID } from "node:crypto";
import { assert } from "../base/assert.ts";
import type { Change } from "../base/entry.ts";
import { CodedError, errorChain } from "../base/error.ts";
import { createPrng } from "../base/prng.ts";
import type { Config } from "../config/config.ts";
import { readStorageBeat, restartLibvirtd } from "../hypervisor/commands.ts";
import { HostConnection } from "../hypervisor/connection.ts";
import { HypervisorDriver } from "../hypervisor/driver.ts";
import { createHandshakeGate } from "../hypervisor/handshake-gate.ts";
import type { HeldDomain } from "../hypervisor/planner.ts";
import type { HostSignal } from "../hypervisor/ports.ts";
import { MonitorDriver } from "../monitor/driver.ts";
import { DEFAULT_LIMITS } from "../monitor/machine.ts";
import type { HostLevel } from "../monitor/ports.ts";
import { getText, parseStored } from "../one/attributes.ts";
import { statement } from "../one/change.ts";
import { allHosts, type HostRow } from "../one/host/row.ts";
import type { Query } from "../one/query.ts";
import type { Cluster } from "./cluster.ts";
import { domainSpec } from "./domain-spec.ts";
import { admittedBootId, hostUuid, noteLine, type Told, toldNothing } from "./host-facts.ts";
import { HostRecord } from "./host-record.ts";
import { HostRows } from "./host-rows.ts";
import { pinHostKey, readHostKey } from "./secrets.ts";
import { type BmcLine, CHECKS_MAX, encodeSideReport, toldCheck } from "./side-report.ts";

/** Where hosts have the shared datastores. */
const DATASTORES = "/var/lib/one/datastores";
/** A command must leave with at least this much lease, ms: its bytes follow within one turn. */
const COMMAND_LEASE_MS_MIN = 50;
/** How often this box's verdicts are renewed for the heartbeat answers, ms. */
const PAYLOAD_INTERVAL_MS = 100;

/** One host as this box has it. */
interface Known {
  readonly connection: HostConnection;
  readonly told: Told;
  row: HostRow;
  /** The domains that it showed to this leader since it last came back; undefined while it has not. */
  domains: readonly number[] | undefined;
}

export interface HostsPorts {
  readonly cluster: Cluster;
  readonly config: Config;
  readonly privateKey: string;
  readonly clusterId: string;
  /** For how long the BMCs have answered this box. */
  bmcs(): readonly BmcLine[];
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
  readonly #rows: HostRows;
  readonly #record: HostRecord;
  #driver: HypervisorDriver | undefined;
  /** Drivers of earlier leaderships whose last commands have not ended yet. */
  readonly #ending = new Set<Promise<void>>();
  #payloads: ReturnType<typeof setInterval> | undefined;
  #removeListener: (() => void) | undefined;

  constructor(ports: HostsPorts) {
    this.#ports = ports;
    this.#record = new HostRecord(ports.cluster, ports.log);
    this.#rows = new HostRows({
      read: (query) => this.#read(query),
      loaded: async (tags) => {
        if (tags.some((tag) => /^host(:|$)/.test(tag))) await this.#loadHosts();
        this.#driver?.wake();
      },
      log: ports.log,
    });
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
    this.#removeListener = this.#ports.cluster.state.onApplied((tags) => this.#rows.applied(tags));
    await this.#loadHosts();
    this.monitor.start();
    this.#payloads = setInterval(() => {
      const { fitness, state } = this.#ports.cluster;
      const own = { fitness: fitness.own(), checks: state.checks().slice(-CHECKS_MAX).map(toldCheck) };
      const report = { ...own, verdicts: this.monitor.payload(), bmcs: this.#ports.bmcs() };
      this.#ports.cluster.core.setSide(encodeSideReport(report));
    }, PAYLOAD_INTERVAL_MS);
  }

  async stop(): Promise<void> {
    this.#removeListener?.();
    clearInterval(this.#payloads);
    this.monitor.stop();
    this.#rows.stop();
    this.unlead();
    await Promise.all(this.#ending);
    await Promise.all([...this.#known.values()].map(({ connection }) => connection.stop()));
  }

  /** From now on this box decides what runs where. The rows are read first: nothing starts on an old record. */
  async lead(voters: () => readonly number[]): Promise<void> {
    await this.#rows.loadAll();
    this.monitor.lead(voters);
    const driver: HypervisorDriver = new HypervisorDriver({
      now,
      clusterId: this.#ports.clusterId,
      records: {
        wanted: (hostId) => this.#rows.wanted(hostId),
        record: (vmId) => this.#rows.record(vmId),
        spec: (vmId, epoch) => {
          const vm = this.#rows.vm(vmId);
          return vm === undefined || vm.seq !== epoch ? undefined : domainSpec(this.#ports.clusterId, vm);
        },
      },
      tickets: {
        refuseEnd: () => this.#refuseAny(),
        refuseStart: (vmId, hostId, epoch) => this.#refuseAny() ?? this.#rows.refuseStart(vmId, hostId, epoch),
      },
      reports: {
        fact: async (fact) => {
          if (await this.#record.fact(fact)) this.#driver?.forget(fact.hostId, fact.vmId);
        },
        // A pass of an earlier leadership may end late: it admits nothing.
        hostReturned: async (hostId, bootId, domains) =>
          this.#driver === driver && (await this.#hostReturned(hostId, bootId, domains)),
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

  /**
   * Nothing new leaves this box from now on. Commands that have left are not waited for: one that hangs on one host would hold up
   * the recovery of all others when this box leads again a moment later; what they tell late are facts of their own epoch.
   */
  unlead(): void {
    this.monitor.follow();
    const driver = this.#driver;
    this.#driver = undefined;
    for (const known of this.#known.values()) {
      known.connection.follow(false);
      // The next leadership is shown them anew.
      known.domains = undefined;
    }
    if (driver === undefined) return;
    const ending = driver
      .stop()
      .catch((error: unknown) => this.#ports.log(`Cannot end the commands to hosts: ${errorChain(error)}`))
      .finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  /**
   * What fencing wants to know of a host beside its level. `bootId` is the boot that it shows together with `domains`; before
   * that, the boot under which it was last put to use.
   */
  view(hostId: number): { readonly bootId: string; readonly domains: readonly number[] | undefined } {
    const known = this.#known.get(hostId);
    if (known === undefined) return { bootId: "", domains: undefined };
    const { domains, told, row } = known;
    return { bootId: domains === undefined ? admittedBootId(row) : told.bootId, domains };
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
    return this.#known.get(hostId)?.told.cpus ?? 0;
  }

  /** How each host's connection stands, for `ringfence status`. */
  connections(): readonly {
    readonly hostId: number;
    readonly state: string;
    readonly reason: string;
    readonly uuid: string;
  }[] {
    return [...this.#known.values()].map(({ connection, told }) => ({
      hostId: connection.hostId,
      state: connection.state.kind,
      reason: connection.state.reason,
      uuid: told.uuid,
    }));
  }

  /** No command that changes a host leaves without the lease. */
  #refuseAny(): string | undefined {
    const { cluster } = this.#ports;
    if (!cluster.role().isReady) return "this box does not lead";
    if (cluster.core.leaseRemainingMs() < COMMAND_LEASE_MS_MIN) return "this box holds no lease";
    return undefined;
  }

  /** A host that came back takes new starts once it has shown its domains, and no fencing of it is open. */
  async #hostReturned(hostId: number, bootId: string, domains: readonly HeldDomain[]): Promise<boolean> {
    const known = this.#known.get(hostId);
    if (known === undefined) return false;
    known.told.bootId = bootId;
    known.domains = domains.map((domain) => domain.vmId);
    return !this.#rows.isFenced(hostId) && this.#record.admit(hostId, known.told);
  }

  async #loadHosts(): Promise<void> {
    const rows = await this.#read(allHosts());
    const ids = new Set(rows.map((row) => row.id));
    for (const [hostId, known] of this.#known) if (!ids.has(hostId)) await this.#remove(hostId, known);
    for (const row of rows) {
      const known = this.#known.get(row.id);
      if (known !== undefined && isSameSsh(known.row, row)) {
        known.row = row;
        continue;
      }
      if (known !== undefined) await this.#remove(row.id, known);
      this.#add(row);
    }
  }

  #add(row: HostRow): void {
    const { config, privateKey, cluster } = this.#ports;
    const { managementAddress } = config.box;
    const connection = new HostConnection(
      {
        host: { hostId: row.id, name: row.name, port: 22, ...sshOf(row) },
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
    const known: Known = { connection, told: toldNothing(), row, domains: undefined };
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
      if (noteLine(known.told, signal.line)) this.#driver?.wake(hostId);
      const { line } = signal;
      if (line.kind === "hello" || line.kind === "tick" || line.kind === "sample")
        this.monitor.line(hostId, 0, { ...line, at: signal.at });
    }
    if (signal.kind === "state" && signal.state.kind !== "ready") known.domains = undefined;
    this.#driver?.signal(hostId, signal);
  }

  async #storageBeat(hostId: number): Promise<string | undefined> {
    const known = this.#known.get(hostId);
    const uuid = known === undefined ? "" : hostUuid(known.told, known.row);
    const reader = [...this.#known.values()].find(
      ({ connection }) => connection.hostId !== hostId && connection.state.kind === "ready",
    );
    if (uuid === "" || reader === undefined) return undefined;
    const result = await readStorageBeat(reader.connection, DATASTORES, uuid);
    return "beat" in result ? result.beat : undefined;
  }

  async #read<R>({ sql, values }: Query<R>): Promise<readonly R[]> {
    return (await this.#ports.cluster.state.readRows(sql, values)) as readonly unknown[] as readonly R[];
  }
}

function now(): number {
  return performance.now();
}

/** Where its sshd is, and as whom: HOST attributes SSH_ADDRESS, default the host's name, and SSH_USER, default root. */
function sshOf(row: HostRow): { readonly address: string; readonly user: string } {
  const template = parseStored(row.template);
  return { address: getText(template, "SSH_ADDRESS") || row.name, user: getText(template, "SSH_USER") || "root" };
}

function isSameSsh(one: HostRow, other: HostRow): boolean {
  const [before, after] = [sshOf(one), sshOf(other)];
  return one.name === other.name && before.address === after.address && before.user === after.user;
}

/** Forgets the pinned key of a host (`ringfence host trust`): the next connection pins anew. */
export function forgetHostKey(hostId: number): Change {
  return {
    guards: [],
    statements: [statement("DELETE FROM host_key WHERE host_id=?", hostId)],
    tags: [`host:${hostId}`],
  };
}
