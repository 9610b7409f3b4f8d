/** What the record wants of one VM on one host. */
export interface WantedVm {
  readonly vmId: number;
  readonly epoch: number;
  readonly phase: /** Start it, unless it runs already. */
    | "boot"
    /** It was seen running: it must be there; if it is not, that is a fact to report, never a reason to start it. */
    | "running"
    /** Ask the guest to power off. */
    | "shutdown"
    /** End it at once. */
    | "off";
}

/** Where the record has a VM, if it knows it. */
export type VmRecord =
  | { readonly kind: "none" }
  | { readonly kind: "placed"; readonly hostId: number; readonly epoch: number };

/** A domain of ours that a host has. */
export interface HeldDomain {
  readonly vmId: number;
  readonly epoch: number;
  /** False: listed without a guest: being started this moment, or defined by a stranger's hand. */
  readonly isActive: boolean;
}

/** What this leader did and saw of one VM on one host, in memory only: after a change of leader the list tells enough. */
export interface VmMemory {
  readonly epoch: number;
  /** Our create of this epoch succeeded, or the domain was seen. */
  readonly wasSeen: boolean;
  /** This leader's own create. */
  readonly wasDeployed: boolean;
  /** A create whose outcome is not known; `absentSince`: first of the lists without it that followed each other. */
  readonly unsure: { readonly absentSince: number | undefined; readonly why: string } | undefined;
  readonly failures: number;
  /** Not before this. */
  readonly retryAt: number;
  /** Why the last start failed; undefined when it did not. */
  readonly failure: string | undefined;
  readonly shutdownAskedAt: number | undefined;
  /** The last stop that libvirt told of. */
  readonly stop: { readonly cause: StopCause; readonly reason: string } | undefined;
  /** Since when it is held back because another host's list has it. */
  readonly heldSince: number | undefined;
}

export type StopCause = "shutdown" | "destroyed" | "crashed" | "unknown";

export type HostAction =
  | { readonly kind: "deploy"; readonly vmId: number; readonly epoch: number }
  | {
      readonly kind: "destroy";
      readonly vmId: number;
      readonly epoch: number;
      readonly why: string;
      readonly isStray: boolean;
    }
  | { readonly kind: "shutdown"; readonly vmId: number; readonly epoch: number }
  | { readonly kind: "hold"; readonly vmId: number; readonly epoch: number; readonly why: string }
  | { readonly kind: "running"; readonly vmId: number; readonly epoch: number; readonly how: "deployed" | "adopted" }
  | {
      readonly kind: "gone";
      readonly vmId: number;
      readonly epoch: number;
      readonly cause: StopCause;
      readonly reason: string;
    }
  | { readonly kind: "failed"; readonly vmId: number; readonly epoch: number; readonly reason: string };

export interface HostView {
  readonly hostId: number;
  readonly now: number;
  /** When this leader began to look at hosts. */
  readonly startedAt: number;
  readonly wanted: readonly WantedVm[];
  /** All domains of our cluster, of one answer of the host's libvirtd. */
  readonly domains: readonly HeldDomain[];
  readonly record: (vmId: number) => VmRecord;
  readonly memory: (vmId: number) => VmMemory | undefined;
  /** Another host whose own list has this VM, or where a start of it is under way or of unknown outcome. */
  readonly runsElsewhere: (vmId: number) => number | undefined;
}

/**
 * A create whose outcome was lost may still be carried out by a libvirtd that hung: only a domain that is missing in all
 * answers over this time was not started.
 */
export const UNSURE_SETTLE_MS = 10_000;
/** Guests may miss the first ACPI button press while they boot. */
export const SHUTDOWN_AGAIN_MS = 10_000;
/** A stray elsewhere is destroyed within a second; one that stays this long needs another decision than waiting. */
export const HELD_ELSEWHERE_MS = 30_000;

/**
 * What to do about domains that must not be on this host, before anything else: given up (older epoch), recorded elsewhere,
 * or of no VM. A domain that is newer than the record is left alone: then our record is behind, not the host.
 */
export function planStrays(view: Pick<HostView, "hostId" | "domains" | "record">): HostAction[] {
  return view.domains.flatMap((domain): HostAction[] => {
    const { vmId, epoch } = domain;
    const record = view.record(vmId);
    const destroy = (why: string): HostAction[] => [{ kind: "destroy", vmId, epoch, why, isStray: true }];
    if (record.kind === "none") return destroy(`VM ${vmId} does not exist any more`);
    if (epoch > record.epoch) return [];
    if (record.hostId !== view.hostId) return destroy(`VM ${vmId} is recorded on host ${record.hostId}`);
    return epoch < record.epoch
      ? destroy(`start ${epoch} of VM ${vmId} was given up, ${record.epoch} is in force`)
      : [];
  });
}

/** One action at most for each wanted VM, from what the record wants and what the host has. */
export function planHost(view: HostView): HostAction[] {
  return view.wanted.flatMap((vm) => {
    const domain = view.domains.find((candidate) => candidate.vmId === vm.vmId);
    const remembered = view.memory(vm.vmId);
    const memory = remembered?.epoch === vm.epoch ? remembered : undefined;
    if (domain === undefined) return planAbsent(view, vm, memory);
    // Of another epoch: planStrays deals with it, and no second domain is started beside it.
    if (domain.epoch !== vm.epoch) return [];
    return planPresent(view, vm, domain, memory);
  });
}

function planPresent(view: HostView, vm: WantedVm, domain: HeldDomain, memory: VmMemory | undefined): HostAction[] {
  const { vmId, epoch } = vm;
  switch (vm.phase) {
    case "boot":
    case "running":
      // Being started this moment; or defined by a stranger's hand, which stays so and must be seen by a person.
      if (!domain.isActive) return [{ kind: "hold", vmId, epoch, why: `VM ${vmId} is on the host, but has no guest` }];
      return [{ kind: "running", vmId, epoch, how: memory?.wasDeployed === true ? "deployed" : "adopted" }];
    case "shutdown": {
      const askedAt = memory?.shutdownAskedAt;
      if (askedAt !== undefined && view.now - askedAt < SHUTDOWN_AGAIN_MS) return [];
      return [{ kind: "shutdown", vmId, epoch }];
    }
    case "off":
      return [{ kind: "destroy", vmId, epoch, why: "to be powered off", isStray: false }];
  }
}

function planAbsent(view: HostView, vm: WantedVm, memory: VmMemory | undefined): HostAction[] {
  const { vmId, epoch } = vm;
  const unsure = memory?.unsure;
  if (unsure !== undefined) {
    const { absentSince } = unsure;
    if (absentSince === undefined || view.now - absentSince < UNSURE_SETTLE_MS) return [];
    if (vm.phase === "boot") return [{ kind: "failed", vmId, epoch, reason: unsure.why }];
  }
  // A start that the leader before us sent may still be read by the host: what never was there may yet come.
  const mayCome = memory?.wasSeen !== true && view.now - view.startedAt < UNSURE_SETTLE_MS;
  if (mayCome && (vm.phase === "off" || vm.phase === "shutdown")) return [];
  if (vm.phase !== "boot" || memory?.wasSeen === true) {
    const stop = memory?.stop;
    const reason = stop?.reason ?? "it is not on the host, and nobody saw it end";
    return [{ kind: "gone", vmId, epoch, cause: stop?.cause ?? "unknown", reason }];
  }
  const elsewhere = view.runsElsewhere(vmId);
  if (elsewhere !== undefined) {
    const why = `VM ${vmId} runs on host ${elsewhere}`;
    const heldSince = memory?.heldSince ?? view.now;
    if (view.now - heldSince < HELD_ELSEWHERE_MS) return [{ kind: "hold", vmId, epoch, why }];
    return [{ kind: "failed", vmId, epoch, reason: why }];
  }
  if (memory !== undefined && view.now < memory.retryAt) {
    // Said again until the record has taken note; a failure that was noted has another phase or epoch.
    return memory.failure === undefined ? [] : [{ kind: "failed", vmId, epoch, reason: memory.failure }];
  }
  return [{ kind: "deploy", vmId, epoch }];
}
