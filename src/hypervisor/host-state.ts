import type { DomainEvent } from "./domain-event.ts";
import { domainName } from "./domain-identity.ts";
import { isActive, type ListedDomain } from "./domain-list.ts";
import { type HeldDomain, type StopCause, UNSURE_SETTLE_MS, type VmMemory, type WantedVm } from "./planner.ts";
import type { HostLink } from "./ports.ts";

/** What the driver knows of one host. In memory only: a new leader learns it again from the host's own list. */
export interface HostState {
  readonly link: HostLink;
  readonly memory: Map<number, VmMemory>;
  /** VMs whose create left since the last list was taken. */
  readonly starting: Set<number>;
  /** Of the last list; empty until there was one on this connection. */
  domains: readonly HeldDomain[];
  /** Which connection and boot `domains` and `isAdmitted` belong to. */
  connection: string | undefined;
  isAdmitted: boolean;
  isPassing: boolean;
  isDirty: boolean;
  retry: ReturnType<typeof setTimeout> | undefined;
}

export function newHostState(link: HostLink): HostState {
  return {
    link,
    memory: new Map(),
    starting: new Set(),
    domains: [],
    connection: undefined,
    isAdmitted: false,
    isPassing: false,
    isDirty: false,
    retry: undefined,
  };
}

/**
 * Brings the memory up to date with a fresh list and forgets VMs that neither the record nor the host has; a start of unknown
 * outcome only after it was missing for long enough, because until then the VM must not be started elsewhere.
 */
export function noteList(host: HostState, wantedVms: readonly WantedVm[], now: number): void {
  const wanted = new Map(wantedVms.map((vm) => [vm.vmId, vm.epoch]));
  for (const { vmId, epoch, isActive: isRunning } of host.domains) {
    if (wanted.get(vmId) === epoch && isRunning) {
      remember(host, vmId, epoch, {
        wasSeen: true,
        unsure: undefined,
        failures: 0,
        failure: undefined,
        heldSince: undefined,
      });
    }
  }
  const listed = new Set(host.domains.map((domain) => domain.vmId));
  for (const [vmId, memory] of host.memory) {
    const absentSince = listed.has(vmId) ? undefined : (memory.unsure?.absentSince ?? now);
    const isSettled = memory.unsure === undefined || now - (absentSince ?? now) >= UNSURE_SETTLE_MS;
    if (!wanted.has(vmId) && !listed.has(vmId) && isSettled) host.memory.delete(vmId);
    else if (memory.unsure !== undefined) {
      remember(host, vmId, memory.epoch, { unsure: { why: memory.unsure.why, absentSince } });
    }
  }
}

/** Remembers why a domain ended, until somebody asks why it is gone. */
export function noteEvent(host: HostState, event: DomainEvent): void {
  for (const [vmId, memory] of host.memory) {
    if (domainName(vmId) !== event.name) continue;
    if (event.kind === "started") remember(host, vmId, memory.epoch, { stop: undefined });
    if (event.kind === "stopped" || event.kind === "crashed") {
      const cause = event.kind === "crashed" ? "crashed" : STOP_CAUSES[event.cause];
      // A panic is told twice, as crashed and as stopped: the first word stays.
      if (memory.stop?.cause === "crashed") continue;
      const reason = `libvirt: ${event.kind} ${event.detail}`.trim();
      remember(host, vmId, memory.epoch, { stop: { cause, reason } });
    }
  }
}

const STOP_CAUSES: Readonly<Record<DomainEvent["cause"], StopCause>> = {
  shutdown: "shutdown",
  destroyed: "destroyed",
  crashed: "crashed",
  // QEMU ended without a word to libvirt: killed, or out of memory.
  failed: "crashed",
  migrated: "unknown",
  saved: "unknown",
  other: "unknown",
};

/** Names the present connection to the present boot; undefined when there is none. */
export function connectionOf(link: HostLink): string | undefined {
  return link.state.kind === "ready" && link.bootId !== undefined ? `${link.state.since} ${link.bootId}` : undefined;
}

/** What was known through a connection that is over is not known any more. */
export function forgetConnection(host: HostState): void {
  host.connection = undefined;
  host.isAdmitted = false;
  host.domains = [];
  for (const [vmId, memory] of host.memory) {
    if (memory.unsure?.absentSince !== undefined) {
      remember(host, vmId, memory.epoch, { unsure: { ...memory.unsure, absentSince: undefined } });
    }
  }
}

/** Ours, of this cluster; others give nothing. */
export function held(domain: ListedDomain, clusterId: string): HeldDomain[] {
  if (domain.identity?.clusterId !== clusterId) return [];
  const { vmId, epoch } = domain.identity;
  return [{ vmId, epoch, isActive: isActive(domain) }];
}

/** Changes what is remembered of one VM; another epoch begins with a clean memory. */
export function remember(host: HostState, vmId: number, epoch: number, change: Partial<VmMemory>): void {
  const known = host.memory.get(vmId);
  const base: VmMemory =
    known?.epoch === epoch
      ? known
      : {
          epoch,
          wasSeen: false,
          wasDeployed: false,
          unsure: undefined,
          failures: 0,
          retryAt: 0,
          failure: undefined,
          shutdownAskedAt: undefined,
          stop: undefined,
          heldSince: undefined,
        };
  host.memory.set(vmId, { ...base, ...change });
}
