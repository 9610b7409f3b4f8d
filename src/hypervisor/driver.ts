import { assert } from "../base/assert.ts";
import { errorChain } from "../base/error.ts";
import { createDomain, destroyDomain, listDomains, shutdownDomain } from "./commands.ts";
import { domainUuid } from "./domain-identity.ts";
import { domainXml } from "./domain-xml.ts";
import { FactMemory } from "./fact-memory.ts";
import {
  connectionOf,
  forgetConnection,
  type HostState,
  held,
  newHostState,
  noteEvent,
  noteList,
  remember,
} from "./host-state.ts";
import { type HostAction, type HostView, planHost, planStrays } from "./planner.ts";
import type { HostLink, HostSignal, Now, Records, Reports, Tickets } from "./ports.ts";

/** The level is looked at this often even when nothing wakes the driver: the net under every missed event. */
const PASS_INTERVAL_MS = 5000;
/** A pass that failed (no list, no admission) is tried again after this. */
const PASS_RETRY_MS = 1000;
/** After a failed start: 1 s, doubling up to this. */
const START_RETRY_MS_MIN = 1000;
const START_RETRY_MS_MAX = 30_000;
/** After a start that was refused or did not reach the host: the reason usually goes away by itself. */
const REFUSED_RETRY_MS = 500;
/** How long a start waits for the first lists of the other connected hosts; a hung libvirtd must not stop all others. */
const FIRST_LIST_WITHIN_MS = 10_000;
/** Passes in a row that start at once because the one before changed something. */
const PASSES_IN_A_ROW_MAX = 4;

export interface DriverPorts {
  readonly now: Now;
  readonly records: Records;
  readonly tickets: Tickets;
  readonly reports: Reports;
  /** This cluster's id: domains of others are counted and never touched. */
  readonly clusterId: string;
  /** Something a person may want to read: an action refused or failed. */
  readonly onNote: (hostId: number, text: string) => void;
}

/**
 * Makes the domains of all hosts what the record wants: level-triggered, on the leader only. It starts nothing on its own
 * decision: the record must want it, the host must be admitted after its return, no host's list may have the VM, and a
 * ticket is asked at the last moment before the command leaves.
 */
export class HypervisorDriver {
  readonly #ports: DriverPorts;
  readonly #facts: FactMemory;
  readonly #hosts = new Map<number, HostState>();
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Undefined: not started; nothing is looked at. */
  #startedAt: number | undefined;
  #isStopped = false;
  readonly #passes = new Set<Promise<void>>();

  constructor(ports: DriverPorts) {
    this.#ports = ports;
    this.#facts = new FactMemory((fact) => ports.reports.fact(fact), ports.now);
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
      const results = await Promise.all(strays.map((stray) => this.#destroy(host, stray)));
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
    await Promise.all(actions.map((action) => this.#act(host, action)));
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

  async #act(host: HostState, action: HostAction): Promise<void> {
    const { hostId } = host.link;
    const { vmId, epoch } = action;
    switch (action.kind) {
      case "deploy":
        if (host.isAdmitted) await this.#deploy(host, vmId, epoch);
        return;
      case "destroy":
        await this.#destroy(host, action);
        return;
      case "shutdown":
        remember(host, vmId, epoch, { shutdownAskedAt: this.#ports.now() });
        await shutdownDomain(host.link, { vmId, uuid: this.#uuid(vmId) }, () => this.#refuseEnd());
        return;
      case "hold":
        remember(host, vmId, epoch, { heldSince: host.memory.get(vmId)?.heldSince ?? this.#ports.now() });
        this.#ports.onNote(hostId, action.why);
        return;
      case "running":
        return this.#facts.say({ kind: "running", vmId, hostId, epoch, how: action.how });
      case "gone":
        return this.#facts.say({ kind: "gone", vmId, hostId, epoch, cause: action.cause, reason: action.reason });
      case "failed":
        return this.#fail(host, vmId, epoch, action.reason);
    }
  }

  async #deploy(host: HostState, vmId: number, epoch: number): Promise<void> {
    const { link } = host;
    const { hostId } = link;
    const spec = this.#ports.records.spec(vmId, epoch);
    if (spec === undefined) return;
    let xml: string;
    try {
      xml = domainXml(spec, { hasKvm: link.hasKvm });
    } catch (error) {
      await this.#fail(host, vmId, epoch, errorChain(error));
      return;
    }
    const connection = host.connection;
    const refuse = (): string | undefined => {
      if (this.#isStopped) return "this box does not lead any more";
      if (connectionOf(link) !== connection || !host.isAdmitted) return "the host was away meanwhile";
      const unseen = this.#unseenHost(hostId);
      if (unseen !== undefined) return `host "${unseen}" has not shown its domains yet`;
      const elsewhere = this.#runsElsewhere(hostId, vmId);
      if (elsewhere !== undefined) return `VM ${vmId} runs on host ${elsewhere}`;
      return this.#ports.tickets.refuseStart(vmId, hostId, epoch);
    };
    const early = refuse();
    const directories = spec.serialPath === undefined ? [] : [spec.serialPath.replace(/\/[^/]*$/, "") || "/"];
    host.starting.add(vmId);
    const outcome =
      early === undefined
        ? await createDomain(link, { vmId, xml, directories }, refuse)
        : ({ kind: "not-started", why: early, isRefused: true } as const);
    if (outcome.kind === "not-started") host.starting.delete(vmId);
    switch (outcome.kind) {
      case "started":
        remember(host, vmId, epoch, {
          wasSeen: true,
          wasDeployed: true,
          stop: undefined,
          failures: 0,
          failure: undefined,
        });
        await this.#facts.say({ kind: "running", vmId, hostId, epoch, how: "deployed" });
        return;
      case "exists":
        host.isDirty = true;
        return;
      case "unknown":
        remember(host, vmId, epoch, { unsure: { absentSince: undefined, why: outcome.why } });
        this.#ports.onNote(
          hostId,
          `It is not known whether VM ${vmId} was started on host "${link.name}": ${outcome.why}`,
        );
        host.isDirty = true;
        return;
      case "not-started":
        if (!outcome.isRefused) return this.#fail(host, vmId, epoch, outcome.why);
        remember(host, vmId, epoch, { retryAt: this.#ports.now() + REFUSED_RETRY_MS });
        this.#ports.onNote(hostId, `VM ${vmId} was not started on host "${link.name}": ${outcome.why}`);
        host.isDirty = true;
        return;
    }
  }

  async #fail(host: HostState, vmId: number, epoch: number, reason: string): Promise<void> {
    const failures = (host.memory.get(vmId)?.failures ?? 0) + 1;
    const pauseMs = Math.min(START_RETRY_MS_MAX, START_RETRY_MS_MIN * 2 ** Math.min(failures - 1, 10));
    const retryAt = this.#ports.now() + pauseMs;
    const isNew = (host.memory.get(vmId)?.retryAt ?? 0) <= this.#ports.now();
    if (isNew)
      remember(host, vmId, epoch, { failures, retryAt, failure: reason, unsure: undefined, heldSince: undefined });
    await this.#facts.say({ kind: "failed", vmId, hostId: host.link.hostId, epoch, reason });
  }

  /** True when the domain is not there any more. */
  async #destroy(host: HostState, action: HostAction & { readonly kind: "destroy" }): Promise<boolean> {
    const { link } = host;
    const { vmId, epoch, why, isStray } = action;
    const result = await destroyDomain(link, { vmId, uuid: this.#uuid(vmId) }, () => this.#refuseEnd());
    host.isDirty = true;
    if (!result.isGone) {
      this.#ports.onNote(link.hostId, `Cannot destroy VM ${vmId} on host "${link.name}" (${why}): ${result.why}`);
      return false;
    }
    if (isStray) {
      await this.#facts.say({ kind: "stray-destroyed", vmId, hostId: link.hostId, epoch, reason: why });
    } else {
      remember(host, vmId, epoch, { stop: { cause: "destroyed", reason: why } });
    }
    return true;
  }

  #refuseEnd(): string | undefined {
    return this.#isStopped ? "this box does not lead any more" : this.#ports.tickets.refuseEnd();
  }

  #uuid(vmId: number): string {
    return domainUuid(this.#ports.clusterId, vmId);
  }
}
