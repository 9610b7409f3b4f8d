import { errorChain } from "../base/error.ts";
import { allFenceRecords, type FenceRow, isOpen } from "../fence/record.ts";
import type { VmRecord, WantedVm } from "../hypervisor/planner.ts";
import type { Query } from "../one/query.ts";
import { type VmRow, vmById, vmsOnHost } from "../one/vm/row.ts";
import { LCM_STATE, VM_STATE } from "../one/vm/states.ts";

/** After a read that failed, everything is read again after this, ms. */
const READ_AGAIN_MS = 1000;

export interface HostRowsPorts {
  read<R>(query: Query<R>): Promise<readonly R[]>;
  /** The rows that these tags name have been read. */
  loaded(tags: readonly string[]): Promise<void>;
  log(text: string): void;
}

/**
 * The rows of VMs and fencing records that the hypervisor driver asks for without waiting, as of the last applied entry.
 * One read after the other, so that an older answer never overwrites a newer one; a read that failed is not skipped: until
 * all was read again nothing is started.
 */
export class HostRows {
  readonly #ports: HostRowsPorts;
  readonly #vms = new Map<number, VmRow>();
  readonly #fences = new Map<number, FenceRow>();
  /** VMs of a recovery whose proof is void, with the host that they were lost with. */
  readonly #withheld = new Map<number, number>();
  #reading: Promise<void> = Promise.resolve();
  #isStale = false;
  #again: ReturnType<typeof setTimeout> | undefined;
  #isStopped = false;

  constructor(ports: HostRowsPorts) {
    this.#ports = ports;
  }

  /** Reads everything; what was read by tags before is thrown away. */
  async loadAll(): Promise<void> {
    const load = this.#reading.then(() => this.#loadAll());
    this.#reading = load.catch(() => undefined);
    await load;
  }

  /** Reads what these tags name, after what is being read now. */
  applied(tags: readonly string[]): void {
    if (!tags.some((tag) => /^(vm|host|host-vms|fence)(:|$)/.test(tag))) return;
    this.#reading = this.#reading
      .then(() => this.#load(tags))
      .then(() => this.#ports.loaded(tags))
      .catch((error: unknown) => this.#failed(error));
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#again);
  }

  vm(vmId: number): VmRow | undefined {
    return this.#vms.get(vmId);
  }

  /** Whether the host is being fenced or recovered. */
  isFenced(hostId: number): boolean {
    return isOpen(this.#fences.get(hostId));
  }

  /** Every VM that should have, or should lose, a domain on this host. */
  wanted(hostId: number): readonly WantedVm[] {
    return [...this.#vms.values()].flatMap((vm) => wantedOn(vm, hostId));
  }

  /** Where the record says that the VM belongs. */
  record(vmId: number): VmRecord {
    const vm = this.#vms.get(vmId);
    if (vm === undefined || vm.state === VM_STATE.done || vm.host_id === null) return { kind: "none" };
    return { kind: "placed", hostId: vm.host_id, epoch: vm.seq };
  }

  /** Why this start of the VM on this host must not leave, as far as the record knows; undefined when it may. */
  refuseStart(vmId: number, hostId: number, epoch: number): string | undefined {
    if (this.#isStale) return "the record could not be read";
    const vm = this.#vms.get(vmId);
    if (vm === undefined || vm.host_id !== hostId || vm.seq !== epoch || vm.state !== VM_STATE.active)
      return "the record has changed";
    if (this.isFenced(hostId)) return "the host is being fenced or recovered";
    const lostWith = this.#withheld.get(vmId);
    if (lostWith !== undefined) return `host ${lostWith}, with which it was lost, is not proven off any more`;
    return undefined;
  }

  async #loadAll(): Promise<void> {
    const vms = await this.#ports.read(liveVms);
    this.#vms.clear();
    for (const vm of vms) this.#vms.set(vm.id, vm);
    await this.#loadFences();
    this.#isStale = false;
  }

  async #load(tags: readonly string[]): Promise<void> {
    for (const tag of tags) {
      const [kind, text] = tag.split(":");
      const id = Number(text);
      if (kind === "vm" && text !== undefined) this.#keep(await this.#ports.read(vmById(id)));
      if (kind === "host-vms") this.#keep(await this.#ports.read(vmsOnHost(id)));
    }
    if (tags.some((tag) => tag.startsWith("fence:"))) await this.#loadFences();
  }

  #keep(vms: readonly VmRow[]): void {
    for (const vm of vms) this.#vms.set(vm.id, vm);
  }

  async #loadFences(): Promise<void> {
    const [rows, withheld] = [await this.#ports.read(allFenceRecords()), await this.#ports.read(withheldVms)];
    this.#fences.clear();
    this.#withheld.clear();
    for (const row of rows) this.#fences.set(row.host_id, row);
    for (const { vm_id, host_id } of withheld) this.#withheld.set(vm_id, host_id);
  }

  #failed(error: unknown): void {
    this.#isStale = true;
    this.#ports.log(`Cannot read the state of hosts: ${errorChain(error)}`);
    clearTimeout(this.#again);
    if (this.#isStopped) return;
    this.#again = setTimeout(() => {
      this.#reading = this.#reading
        .then(() => this.#loadAll())
        .then(() => this.#ports.loaded(["host"]))
        .catch((again: unknown) => this.#failed(again));
    }, READ_AGAIN_MS);
  }
}

const liveVms: Query<VmRow> = {
  sql: vmById(0).sql.replace("WHERE id=?", "WHERE state<>6 OR host_id IS NOT NULL"),
  values: [],
};

/**
 * VMs of the frozen list of a failure whose host answered after its proof: they may run there. What was decided for them
 * stays on the record, but none is started until the host is proven off again or the record is closed.
 */
const withheldVms: Query<{ readonly vm_id: number; readonly host_id: number }> = {
  sql: "SELECT recovery.vm_id AS vm_id,fence.host_id AS host_id FROM recovery JOIN fence ON fence.host_id=recovery.host_id AND fence.failure=recovery.failure WHERE fence.state NOT IN ('OFF_PROVEN','RECOVERING','CLOSED') ORDER BY vm_id",
  values: [],
};

/** What the record wants of one VM on one host. */
function wantedOn(vm: VmRow, hostId: number): readonly WantedVm[] {
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
