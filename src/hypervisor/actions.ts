import { errorChain } from "../base/error.ts";
import { createDomain, destroyDomain, shutdownDomain } from "./commands.ts";
import { domainUuid } from "./domain-identity.ts";
import { domainXml } from "./domain-xml.ts";
import type { FactMemory } from "./fact-memory.ts";
import { connectionOf, type HostState, remember } from "./host-state.ts";
import type { HostAction } from "./planner.ts";
import type { DriverPorts } from "./ports.ts";

/** After a failed start: 1 s, doubling up to this. */
const START_RETRY_MS_MIN = 1000;
const START_RETRY_MS_MAX = 30_000;
/** After a start that was refused or did not reach the host: the reason usually goes away by itself. */
const REFUSED_RETRY_MS = 500;

/** What an action must know beyond its own host. */
export interface Others {
  /** This box does not lead any more. */
  isStopped(): boolean;
  /** Another host that has the VM, or may be starting it. */
  runsElsewhere(hostId: number, vmId: number): number | undefined;
  /** Another connected host that has not shown its domains yet. */
  unseenHost(hostId: number): string | undefined;
}

/** Carries out what was planned for one host, one action at a time for each VM, and remembers what became of it. */
export class HostActions {
  readonly #ports: DriverPorts;
  readonly #facts: FactMemory;
  readonly #others: Others;

  constructor(ports: DriverPorts, facts: FactMemory, others: Others) {
    this.#ports = ports;
    this.#facts = facts;
    this.#others = others;
  }

  async act(host: HostState, action: HostAction): Promise<void> {
    const { hostId } = host.link;
    const { vmId, epoch } = action;
    switch (action.kind) {
      case "deploy":
        if (host.isAdmitted) await this.#deploy(host, vmId, epoch);
        return;
      case "destroy":
        await this.destroy(host, action);
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
      if (this.#others.isStopped()) return "this box does not lead any more";
      if (connectionOf(link) !== connection || !host.isAdmitted) return "the host was away meanwhile";
      const unseen = this.#others.unseenHost(hostId);
      if (unseen !== undefined) return `host "${unseen}" has not shown its domains yet`;
      const elsewhere = this.#others.runsElsewhere(hostId, vmId);
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
  async destroy(host: HostState, action: HostAction & { readonly kind: "destroy" }): Promise<boolean> {
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
    return this.#others.isStopped() ? "this box does not lead any more" : this.#ports.tickets.refuseEnd();
  }

  #uuid(vmId: number): string {
    return domainUuid(this.#ports.clusterId, vmId);
  }
}
