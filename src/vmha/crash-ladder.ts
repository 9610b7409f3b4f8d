import type { Change } from "../base/entry.ts";
import { merge } from "../one/change.ts";
import { allHosts } from "../one/host/row.ts";
import type { VmRow } from "../one/vm/row.ts";
import { LCM_STATE, VM_STATE } from "../one/vm/states.ts";
import { resubmitted } from "../one/vm/transitions.ts";
import { fencedHosts, placesOf, vmsByIds } from "./look.ts";
import { planCrashed, WELL_AFTER_MS } from "./planner.ts";
import type { VmhaPorts } from "./ports.ts";
import { allRetries, crashedVms, forgetRetryChange, type RetryRow, retryChange } from "./record.ts";

/** Guests that crashed on hosts in health, or did not come up after that: started again, later each time, then left with an alert. */
export class CrashLadder {
  readonly #ports: VmhaPorts;
  /** True when done. */
  readonly #propose: (change: Change, kind: string) => Promise<boolean>;
  /** When this leader first saw a VM FAILED, or running well after a crash. */
  readonly #failedAt = new Map<number, number>();
  readonly #wellSinceAt = new Map<number, number>();
  readonly #givenUp = new Set<number>();

  constructor(ports: VmhaPorts, propose: (change: Change, kind: string) => Promise<boolean>) {
    this.#ports = ports;
    this.#propose = propose;
  }

  /** Looks at all of them once. True: some wait for their time. */
  async round(): Promise<boolean> {
    const crashed = await this.#ports.read(crashedVms());
    const retries = new Map((await this.#ports.read(allRetries())).map((row) => [row.vm_id, row]));
    await this.#forgetCrashes([...retries.values()], new Set(crashed.map(({ id }) => id)));
    for (const known of this.#failedAt.keys()) {
      if (!crashed.some(({ id }) => id === known)) {
        this.#failedAt.delete(known);
        this.#givenUp.delete(known);
      }
    }
    if (crashed.length === 0) return false;
    const hosts = await this.#ports.read(allHosts());
    const fenced = await fencedHosts(this.#ports);
    const vms = await vmsByIds(
      this.#ports,
      crashed.map(({ id }) => id),
    );
    const now = this.#ports.clock.now();
    let isWaiting = false;
    for (const vm of vms.values()) {
      const failedAt = this.#failedAt.get(vm.id) ?? now;
      this.#failedAt.set(vm.id, failedAt);
      if (!this.#isOurs(vm, fenced)) continue;
      const retry = retries.get(vm.id);
      const step = planCrashed(vm, retry, placesOf(this.#ports, hosts, fenced), failedAt, now);
      if (step.kind === "wait") isWaiting = true;
      if (step.kind === "give-up" && !this.#givenUp.has(vm.id)) {
        this.#givenUp.add(vm.id);
        this.#ports.alert(`vm ${vm.id} stays FAILED: ${step.reason}`);
      }
      const host = step.kind === "restart" ? hosts.find(({ id }) => id === step.hostId) : undefined;
      if (host === undefined) continue;
      const started = resubmitted(vm, host, Math.floor(this.#ports.clock.wall() / 1000));
      if (!started.ok) continue;
      const { notBeingFenced } = this.#ports.records;
      const guards = [...(vm.host_id === null ? [] : [notBeingFenced(vm.host_id)]), notBeingFenced(host.id)];
      await this.#propose(
        merge({ guards, statements: [], tags: [] }, started.change, retryChange(vm.id, retry)),
        "vmha.restart",
      );
    }
    return isWaiting;
  }

  #isOurs(vm: VmRow, fenced: ReadonlySet<number>): boolean {
    // A lost host's record decides about its VMs, not this ladder.
    if (vm.host_id === null || fenced.has(vm.host_id)) return false;
    if (vm.state === VM_STATE.failed) return true;
    // A person may have started it again between the two reads: that start is under way, and is theirs.
    if (vm.state !== VM_STATE.active || vm.lcm_state !== LCM_STATE.bootFailure) return false;
    // Its start failed by a person's word, perhaps: on a host that is not heard it may still happen.
    return this.#ports.closedReason(vm.host_id) === "";
  }

  async #forgetCrashes(retries: readonly RetryRow[], crashed: ReadonlySet<number>): Promise<void> {
    const now = this.#ports.clock.now();
    for (const retry of retries) {
      if (crashed.has(retry.vm_id)) {
        this.#wellSinceAt.delete(retry.vm_id);
        continue;
      }
      const since = this.#wellSinceAt.get(retry.vm_id) ?? now;
      this.#wellSinceAt.set(retry.vm_id, since);
      if (now - since < WELL_AFTER_MS) continue;
      this.#wellSinceAt.delete(retry.vm_id);
      await this.#propose(forgetRetryChange(retry), "vmha.well");
    }
  }
}
