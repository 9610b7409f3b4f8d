import { domainName } from "../hypervisor/domain-identity.ts";
import type { LoopLine } from "../hypervisor/loop-line.ts";
import type { Fact } from "../hypervisor/ports.ts";
import { getText, parseStored, renderTemplate } from "../one/attributes.ts";
import type { Transition } from "../one/change.ts";
import type { HostRow } from "../one/host/row.ts";
import type { HostFacts } from "../one/host/transitions.ts";
import type { VmRow } from "../one/vm/row.ts";
import { LCM_STATE, VM_STATE } from "../one/vm/states.ts";
import { bootFailed, failed, poweredOff, requeued, running, terminated } from "../one/vm/transitions.ts";

/** What the loop told about a host since this box met it. */
export interface Told {
  cpus: number;
  memoryTotalKib: number;
  hostname: string;
  hasKvm: boolean;
  uuid: string;
  /** The boot of the last loop that was heard. */
  bootId: string;
}

export function toldNothing(): Told {
  return { cpus: 0, memoryTotalKib: 0, hostname: "", hasKvm: false, uuid: "", bootId: "" };
}

/** Takes one line in. True: something is known now that a pass over the host may have waited for. */
export function noteLine(told: Told, line: LoopLine): boolean {
  if (line.kind === "hello") {
    told.cpus = line.cpus;
    told.hasKvm = line.hasKvm;
    told.hostname = line.hostname;
    told.bootId = line.bootId;
  } else if (line.kind === "uuid") {
    told.uuid = line.uuid;
    return true;
  } else if (line.kind === "sample") {
    const isFirst = told.memoryTotalKib === 0;
    told.memoryTotalKib = line.memoryTotalKib;
    return isFirst;
  }
  return false;
}

/**
 * Undefined until the loop has told all of it. BOOT_ID is among them because every leader must know under which boot a host
 * was last put to use, also a leader that never heard it: a host that answers after its proof was off in between only if
 * its boot is another one.
 */
export function factsOf(told: Told): HostFacts | undefined {
  if (told.cpus === 0 || told.memoryTotalKib === 0 || told.uuid === "" || told.bootId === "") return undefined;
  return {
    totalCpu: told.cpus * 100,
    totalMem: told.memoryTotalKib,
    facts: renderTemplate([
      { name: "ARCH", value: "x86_64" },
      { name: "BOOT_ID", value: told.bootId },
      { name: "HOSTNAME", value: told.hostname },
      { name: "HYPERVISOR", value: told.hasKvm ? "kvm" : "qemu" },
      { name: "UUID", value: told.uuid },
    ]),
  };
}

/** The boot under which the host was last put to use; "" when it never was. */
export function admittedBootId(row: HostRow): string {
  return getText(parseStored(row.facts), "BOOT_ID") ?? "";
}

/** libvirt's UUID of the host, from its loop or from what it told any leader before. */
export function hostUuid(told: Told, row: HostRow): string {
  return told.uuid === "" ? (getText(parseStored(row.facts), "UUID") ?? "") : told.uuid;
}

/** The VM's next step after a fact; undefined when the record says so already. */
export function stepFor(
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
      if ((fact.cause === "shutdown" || fact.cause === "destroyed") && lcm !== LCM_STATE.boot)
        return lcm === LCM_STATE.running || lcm === LCM_STATE.unknown ? poweredOff(vm, wallSeconds) : undefined;
      return lcm === LCM_STATE.running || lcm === LCM_STATE.unknown || lcm === LCM_STATE.boot
        ? failed(vm, fact.reason, wallSeconds)
        : undefined;
  }
}
