import type { Change, Outcome } from "../base/entry.ts";
import { errorChain } from "../base/error.ts";
import type { Config } from "../config/config.ts";
import { readConfiguration } from "../fence/configuration.ts";
import { createFenceDriver, type FenceDriver } from "../fence/driver.ts";
import type { HostJudgement } from "../fence/machine-types.ts";
import { createIpmiMethod } from "../fence/methods/ipmi.ts";
import type { FenceMethod } from "../fence/methods/types.ts";
import { FENCE_POLICY_DEFAULT, type FencePolicy } from "../fence/policy.ts";
import type { Clock } from "../fence/ports.ts";
import {
  answeringTogether,
  type CheckedHost,
  createReadiness,
  type ReadinessDriver,
  readinessTurn,
} from "../fence/readiness.ts";
import {
  allBindings,
  allFenceRecords,
  type FenceRow,
  isOpen,
  notBeingFenced,
  stillRecovering,
} from "../fence/record.ts";
import { closedChange, recoveringChange } from "../fence/record-change.ts";
import type { HostLevel } from "../monitor/ports.ts";
import { allHosts } from "../one/host/row.ts";
import type { Query } from "../one/query.ts";
import { createVmhaDriver, type VmhaDriver } from "../vmha/driver.ts";
import { isResubmitHook, parseHostErrorArguments, RECOVERY_OPTIONS_DEFAULT } from "../vmha/options.ts";
import type { LostHost } from "../vmha/ports.ts";
import type { Cluster } from "./cluster.ts";
import type { Hosts } from "./hosts.ts";
import { judgementOf, noteLevel, powerNews, type Seen, seenNothing } from "./judgement.ts";
import type { Seal } from "./seal.ts";
import type { BmcLine } from "./side-report.ts";

/** What fencing and recovery want of the hosts; parts/hosts.ts has more. */
export type FencedHosts = Pick<Hosts, "view" | "closedReason"> & {
  readonly monitor: { levels(): readonly HostLevel[] };
};

export interface FencingPorts {
  readonly cluster: Cluster;
  readonly config: Config;
  readonly seal: Seal;
  log(text: string): void;
}

/** Heartbeat answers bring it every 100 ms; older than this its box is not heard any more. */
const TOLD_AGE_MS_MAX = 2000;

const clock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  after: (ms, run) => {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/** Readiness of the BMCs on every box; on the leader, fencing and recovery. */
export class Fencing {
  readonly readiness: ReadinessDriver;
  readonly #ports: FencingPorts;
  readonly #methods: ReadonlyMap<string, FenceMethod>;
  readonly #policy: FencePolicy;
  readonly #seen = new Map<number, Seen>();
  readonly #records = new Map<number, FenceRow>();
  #hosts: FencedHosts | undefined;
  #hasSchema = false;
  /** By raft id; at most one a member. */
  readonly #told = new Map<string, { readonly bmcs: readonly BmcLine[]; readonly at: number }>();
  #fence: FenceDriver | undefined;
  #vmha: VmhaDriver | undefined;
  #removeListener: (() => void) | undefined;
  #refresh: Promise<void> = Promise.resolve();
  readonly #said = new Map<string, number>();

  constructor(ports: FencingPorts) {
    this.#ports = ports;
    const { bmcAddress } = ports.config.box;
    const ipmi = createIpmiMethod(bmcAddress === undefined ? {} : { localAddress: bmcAddress });
    this.#methods = new Map([[ipmi.name, ipmi]]);
    const options = recoveryOptions(ports.config);
    this.#policy = {
      ...FENCE_POLICY_DEFAULT,
      isolated: ports.config.cluster.isolated,
      patienceMs: options.cycles * ports.config.cluster.suspectMs,
      isFencingWaived: options.isFencingWaived,
    };
    this.readiness = createReadiness({
      hosts: () => this.#checkable(),
      isMyTurn: (hostId) => {
        const members = ports.cluster
          .membership()
          .members.map((member) => member.serverId)
          .sort((a, b) => a - b);
        const own = members.indexOf(ports.cluster.self()?.serverId ?? -1);
        // Wall time only spreads the checks over the boxes; a clock that is off makes two sessions at once, no more.
        return own >= 0 && readinessTurn(Date.now(), hostId, own, members.length);
      },
      methods: this.#methods,
      clock,
      unseal: ports.seal.unseal,
      alert: (text) => this.#alert(text),
    });
  }

  /** The state has its tables: from now on BMCs are checked. */
  start(): void {
    this.#hasSchema = true;
  }

  /** The power that the host's BMC reads now, asked out of turn: also how a box that hears no host knows that it is not itself cut off. */
  async bmcPower(hostId: number): Promise<"on" | "off" | undefined> {
    const power = powerNews(await this.readiness.probe(hostId));
    return power === "on" || power === "off" ? power : undefined;
  }

  /** Another box's knowledge of the BMCs, `at` on our monotonic clock. */
  take(from: string, bmcs: readonly BmcLine[], at: number): void {
    this.#told.set(from, { bmcs, at });
  }

  /** This box's own knowledge of the BMCs, for the others. */
  bmcs(): readonly BmcLine[] {
    return this.readiness.all();
  }

  #answeringForMs(hostId: number): number {
    const own = this.readiness.of(hostId);
    const now = clock.now();
    const others = [...this.#told.values()]
      .filter(({ at }) => now - at <= TOLD_AGE_MS_MAX)
      .flatMap(({ bmcs }) => bmcs.filter((line) => line.hostId === hostId));
    return answeringTogether(own === undefined ? others : [own, ...others]);
  }

  /** Fences and recovers from now on, as the leader of `term`. */
  async lead(hosts: FencedHosts, term: number): Promise<void> {
    const { cluster, config, seal } = this.#ports;
    this.#hosts = hosts;
    this.#removeListener = cluster.state.onApplied((tags) => this.#applied(tags));
    await this.#loadRecords();
    const read = <R>(query: Query<R>): Promise<readonly R[]> => this.#read(query);
    const propose = (change: Change, kind: string): Promise<Outcome> => cluster.propose(kind, change);
    const alert = (text: string): void => this.#alert(text);
    const fence = createFenceDriver(
      {
        read,
        propose,
        lease: { remainingMs: () => cluster.core.leaseRemainingMs() },
        monitor: { judgement: (hostId) => this.#judgement(hostId) },
        readiness: { answeringForMs: (hostId) => this.#answeringForMs(hostId) },
        clock,
        methods: this.#methods,
        unseal: seal.unseal,
        alert,
        random: () => Math.random(),
      },
      this.#policy,
      term,
    );
    this.#fence = fence;
    this.#vmha = createVmhaDriver(
      {
        read,
        propose,
        records: {
          all: () => allFenceRecords() as Query<LostHost>,
          recovering: (record, wallAt) => recoveringChange(record as FenceRow, wallAt),
          closed: (record, report, marks) => closedChange(record as FenceRow, report, marks),
          stillRecovering,
          notBeingFenced,
        },
        isSettled: (hostId) => fence.isSettled(hostId),
        returnedDomains: (hostId) => hosts.view(hostId).domains ?? [],
        closedReason: (hostId) => hosts.closedReason(hostId),
        keepAway: () => new Map(),
        clock,
        alert,
      },
      {
        options: recoveryOptions(config),
        isCrashRestarted: config.cluster.vmHooks.some((hook) => isResubmitHook(hook.command, hook.on)),
      },
    );
  }

  async unlead(): Promise<void> {
    this.#removeListener?.();
    this.#removeListener = undefined;
    const [fence, vmha] = [this.#fence, this.#vmha];
    this.#fence = undefined;
    this.#vmha = undefined;
    this.#hosts = undefined;
    this.#seen.clear();
    await Promise.all([fence?.stop(), vmha?.stop()]);
  }

  async stop(): Promise<void> {
    await this.unlead();
    await this.readiness.stop();
  }

  /** A host's level changed, or was said again. */
  onLevel(level: HostLevel): void {
    noteLevel(this.#seenOf(level.hostId), level, clock.now(), clock.wall());
    this.#fence?.wake();
  }

  #judgement(hostId: number): HostJudgement {
    const level = this.#hosts?.monitor.levels().find((one) => one.hostId === hostId);
    return judgementOf(level, this.#seenOf(hostId), this.#hosts?.view(hostId), this.readiness.of(hostId));
  }

  #seenOf(hostId: number): Seen {
    let seen = this.#seen.get(hostId);
    if (seen === undefined) {
      seen = seenNothing();
      this.#seen.set(hostId, seen);
    }
    return seen;
  }

  #applied(tags: readonly string[]): void {
    if (!tags.some((tag) => /^(fence|vm|host|host-vms)\b/.test(tag))) return;
    if (tags.some((tag) => tag.startsWith("fence")))
      this.#refresh = this.#refresh
        .then(() => this.#loadRecords())
        .catch((error: unknown) => this.#ports.log(`Cannot read the fencing records: ${errorChain(error)}`));
    this.#fence?.wake();
    this.#vmha?.wake();
  }

  async #loadRecords(): Promise<void> {
    for (const row of await this.#read(allFenceRecords())) {
      this.#records.set(row.host_id, row);
      const seen = this.#seenOf(row.host_id);
      const key = `${row.failure} ${row.attempt}`;
      const isSent = isOpen(row) && row.off_epoch > 0;
      if (isSent && seen.offSentKey !== key) {
        seen.offSentKey = key;
        seen.offSentAt = clock.now();
      } else if (!isSent) {
        seen.offSentKey = "";
        seen.offSentAt = undefined;
      }
    }
  }

  async #checkable(): Promise<readonly CheckedHost[]> {
    if (!this.#hasSchema) return [];
    const [rows, bindings] = await Promise.all([this.#read(allHosts()), this.#read(allBindings())]);
    const records = await this.#read(allFenceRecords());
    const busy = new Set(
      records.filter((row) => row.state === "INTENT" || row.state === "OFF_SENT").map((row) => row.host_id),
    );
    return rows.map((row) => ({
      hostId: row.id,
      devices: readConfiguration(row).devices,
      guid: bindings.find((binding) => binding.host_id === row.id)?.guid ?? "",
      isBusy: busy.has(row.id),
    }));
  }

  /** Alerts repeat by design; the log says each at most once a minute. */
  #alert(text: string): void {
    const last = this.#said.get(text);
    const now = clock.now();
    if (last !== undefined && now - last < 60_000) return;
    if (this.#said.size > 1000) this.#said.clear();
    this.#said.set(text, now);
    this.#ports.log(`ALERT ${text}`);
  }

  async #read<R>({ sql, values }: Query<R>): Promise<readonly R[]> {
    return (await this.#ports.cluster.state.readRows(sql, values)) as readonly unknown[] as readonly R[];
  }
}

/** What the HOST_HOOK on ERROR says, in the options of OpenNebula's host_error; else the defaults. */
function recoveryOptions(config: Config): typeof RECOVERY_OPTIONS_DEFAULT {
  const hook = config.cluster.hostHooks.find((one) => one.on === "ERROR" && /host_error/.test(one.command));
  if (hook === undefined) return RECOVERY_OPTIONS_DEFAULT;
  const options = parseHostErrorArguments(hook.arguments);
  if (typeof options === "string") throw new Error(`HOST_HOOK "${hook.name}": ${options}`);
  return options;
}
