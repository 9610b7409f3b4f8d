import { assert } from "../base/assert.ts";
import { errorChain } from "../base/error.ts";
import { HostActions } from "./actions.ts";
import { listDomains } from "./commands.ts";
import { FactMemory } from "./fact-memory.ts";
import {
  connectionOf,
  forgetConnection,
  type HostState,
  held,
  newHostState,
  noteEvent,
  noteList,
} from "./host-state.ts";
import { type HostView, planHost, planStrays } from "./planner.ts";
import type { DriverPorts, HostLink, HostSignal } from "./ports.ts";

/** The level is looked at this often even when nothing wakes the driver: the net under every missed event. */
const PASS_INTERVAL_MS = 5000;
/** A pass that failed (no list, no admission) is tried again after this. */
const PASS_RETRY_MS = 1000;
/** How long a start waits for the first lists of the other connected hosts; a hung libvirtd must not stop all others. */
const FIRST_LIST_WITHIN_MS = 10_000;
/** Passes in a row that start at once because the one before changed something. */
const PASSES_IN_A_ROW_MAX = 4;

/**
 * Makes the domains of all hosts what the record wants: level-triggered, on the leader only. It starts nothing on its own
 * decision: the record must want it, the host must be admitted after its return, no host's list may have the VM, and a
 * ticket is asked at the last moment before the command leaves.
 */
export class HypervisorDriver {
  readonly #ports: DriverPorts;
  readonly #facts: FactMemory;
  readonly #actions: HostActions;
  readonly #hosts = new Map<number, HostState>();
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Undefined: not started; nothing is looked at. */
  #startedAt: number | undefined;
  #isStopped = false;
  readonly #passes = new Set<Promise<void>>();

  constructor(ports: DriverPorts) {
    this.#ports = ports;
    this.#facts = new FactMemory((fact) => ports.reports.fact(fact), ports.now);
    this.#actions = new HostActions(ports, this.#facts, {
      isStopped: () => this.#isStopped,
      runsElsewhere: (hostId, vmId) => this.#runsElsewhere(hostId, vmId),
      unseenHost: (hostId) => this.#unseenHost(hostId),
    });
  }

  start(): void {
    assert(!this.#isStopped && this.#startedAt === undefined, "a driver is started once");
    this.#startedAt = this.#ports.now();
    this.#timer = setInterval(() => this.wake(), PASS_INTERVAL_MS);
    this.wake();
  }

  /** From now on nothing new leaves this box. Resolves when commands under way have ended; the lease need not wait for that. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    for (const host of this.#hosts.values()) clearTimeout(host.retry);
    await Promise.all(this.#passes);
  }

  addHost(link: HostLink): void {
    assert(!this.#hosts.has(link.hostId), "a host is added once");
    this.#hosts.set(link.hostId, newHostState(link));
    this.wake(link.hostId);
  }

  removeHost(hostId: number): void {
    clearTimeout(this.#hosts.get(hostId)?.retry);
    this.#hosts.delete(hostId);
  }

  /**
   * The record took up that the VM ended, or failed to start, on this host: what was seen of that run says nothing about the next
   * one, which may have the same epoch (`onevm resume`). A start of unknown outcome is not forgotten.
   */
  forget(hostId: number, vmId: number): void {
    const memory = this.#hosts.get(hostId)?.memory;
    if (memory?.get(vmId)?.unsure === undefined) memory?.delete(vmId);
    this.#facts.forget(vmId, hostId);
  }

  /** Look at the record again: of one host, or of all. Cheap; call it on every tag `host:N` or `vm:N`. */
  wake(hostId?: number): void {
    for (const host of this.#hosts.values()) {
      if (hostId === undefined || host.link.hostId === hostId) this.#wakeHost(host);
    }
  }

  /** Feeds what the host's connection tells. */
  signal(hostId: number, signal: HostSignal): void {
    const host = this.#hosts.get(hostId);
    if (host === undefined) return;
    if (signal.kind === "event") {
      noteEvent(host, signal.event);
      this.#wakeHost(host);
    } else if (signal.kind === "state") {
      if (signal.state.kind !== "ready") forgetConnection(host);
      this.#wakeHost(host);
    } else if (signal.line.kind === "domains-end" || signal.line.kind === "events-started") {
      this.#wakeHost(host);
    }
  }

  #wakeHost(host: HostState): void {
    if (this.#isStopped || this.#startedAt === undefined) return;
    host.isDirty = true;
    if (host.isPassing) return;
    host.isPassing = true;
    const pass = this.#pass(host).finally(() => {
      host.isPassing = false;
      this.#passes.delete(pass);
    });
    this.#passes.add(pass);
  }

  async #pass(host: HostState): Promise<void> {
    clearTimeout(host.retry);
    let isGood = true;
    for (let i = 0; i < PASSES_IN_A_ROW_MAX && host.isDirty && isGood && !this.#isStopped; i++) {
      host.isDirty = false;
      try {
        isGood = await this.#reconcile(host);
      } catch (error) {
        isGood = false;
        this.#ports.onNote(host.link.hostId, errorChain(error));
      }
    }
    if (this.#isStopped || this.#hosts.get(host.link.hostId) !== host) return;
    const now = this.#ports.now();
    const pauses = [...host.memory.values()].map((memory) => memory.retryAt - now).filter((ms) => ms > 0);
    if (host.isDirty || !isGood) pauses.push(PASS_RETRY_MS);
    if (pauses.length > 0) host.retry = setTimeout(() => this.#wakeHost(host), Math.min(...pauses) + 1);
  }

  /** One look at the host and what follows from it. False: try again soon. */
  async #reconcile(host: HostState): Promise<boolean> {
    const { link } = host;
    const connection = connectionOf(link);
    if (connection === undefined) {
      forgetConnection(host);
      return true;
    }
    if (!(await this.#look(host, connection))) return false;
    const strays = planStrays(this.#view(host)).filter((action) => action.kind === "destroy");
    if (strays.length > 0) {
      const results = await Promise.all(strays.map((stray) => this.#actions.destroy(host, stray)));
      if (!(await this.#look(host, connection)) || results.includes(false)) return false;
    }
    if (!host.isAdmitted) {
      const bootId = link.bootId;
      if (bootId === undefined) return false;
      const isAdmitted = await this.#ports.reports.hostReturned(link.hostId, bootId, host.domains);
      if (connectionOf(link) !== connection) return false;
      host.isAdmitted = isAdmitted;
    }
    const actions = planHost(this.#view(host));
    await Promise.all(actions.map((action) => this.#actions.act(host, action)));
    return true;
  }

  /** Takes a fresh list. False when libvirtd did not answer or the connection changed meanwhile. */
  async #look(host: HostState, connection: string): Promise<boolean> {
    const { link } = host;
    const list = await listDomains(link);
    if ("why" in list) {
      this.#ports.onNote(link.hostId, `Cannot list the domains of host "${link.name}": ${list.why}`);
      return false;
    }
    if (connectionOf(link) !== connection) return false;
    if (host.connection !== connection) host.isAdmitted = false;
    host.connection = connection;
    // No create is under way while a list is taken: what one started is in the list.
    host.starting.clear();
    host.domains = list.domains.flatMap((domain) => held(domain, this.#ports.clusterId));
    noteList(host, this.#ports.records.wanted(link.hostId), this.#ports.now());
    return true;
  }

  #view(host: HostState): HostView {
    const { hostId } = host.link;
    return {
      hostId,
      now: this.#ports.now(),
      startedAt: this.#startedAt ?? this.#ports.now(),
      wanted: this.#ports.records.wanted(hostId),
      domains: host.domains,
      record: (vmId) => this.#ports.records.record(vmId),
      memory: (vmId) => host.memory.get(vmId),
      runsElsewhere: (vmId) => this.#runsElsewhere(hostId, vmId),
    };
  }

  #runsElsewhere(hostId: number, vmId: number): number | undefined {
    for (const other of this.#hosts.values()) {
      // What a host that is not heard may run is the record's matter: the VM is here by a proof, or stays there.
      if (other.link.hostId === hostId || other.connection === undefined) continue;
      const isListed = other.domains.some((domain) => domain.vmId === vmId);
      const mayStart = other.starting.has(vmId) || other.memory.get(vmId)?.unsure !== undefined;
      if (isListed || mayStart) return other.link.hostId;
    }
    return undefined;
  }

  /** A connected host whose list a new leader, or a new connection, does not have yet; for a bounded time. */
  #unseenHost(hostId: number): string | undefined {
    const { now } = this.#ports;
    for (const { link, connection } of this.#hosts.values()) {
      if (link.hostId === hostId || connection !== undefined || connectionOf(link) === undefined) continue;
      if (now() - Math.max(link.state.since, this.#startedAt ?? 0) < FIRST_LIST_WITHIN_MS) return link.name;
    }
    return undefined;
  }
}
