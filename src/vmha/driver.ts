import type { Change } from "../base/entry.ts";
import { errorChain } from "../base/error.ts";
import { merge, type Transition } from "../one/change.ts";
import { allHosts, type HostRow } from "../one/host/row.ts";
import { pendingVms, type VmRow, vmsOnHost } from "../one/vm/row.ts";
import { placed, poweredOff, requeued, resubmitted, terminated } from "../one/vm/transitions.ts";
import { demandOf } from "../scheduler/demand.ts";
import { planPending } from "../scheduler/planner.ts";
import { CrashLadder } from "./crash-ladder.ts";
import { endLeftBehind, vmsLeftBehind } from "./left-behind.ts";
import { fencedHosts, placesOf, vmsByIds } from "./look.ts";
import type { RecoveryOptions } from "./options.ts";
import { planRecovery, type RecoveryStep } from "./planner.ts";
import type { LostHost, VmhaPorts } from "./ports.ts";
import { freezeChange, frozenVms, outcomeChange, type RecoveryRow, startsByHost } from "./record.ts";
import { makeReport, placedAt, type ReportMarks } from "./report.ts";

/** What the configuration says about VMs that lost their host or crashed. */
export interface VmhaPolicy {
  readonly options: RecoveryOptions;
  /** VM_HOOK on FAILED: a guest that crashed on a host in health is started again. */
  readonly isCrashRestarted: boolean;
}

/** Recovery at the leader: from OFF_PROVEN to CLOSED, crashed guests, and the places of pending VMs. */
export interface VmhaDriver {
  /** Something changed: a record, a VM, a host. Cheap; rounds are merged. */
  wake(): void;
  stop(): Promise<void>;
}

const ROUND_MS_IDLE = 1_000;
const ROUND_MS_BUSY = 100;
/** Entries of VMs that are out at once; more would only queue in the log. */
const PROPOSALS_MAX = 16;

/** Starts recovery as the leader, which must have applied its own no-op. */
export function createVmhaDriver(ports: VmhaPorts, policy: VmhaPolicy): VmhaDriver {
  const driver = new Driver(ports, policy);
  driver.wake();
  return driver;
}

class Driver implements VmhaDriver {
  readonly #ports: VmhaPorts;
  readonly #policy: VmhaPolicy;
  readonly #ladder: CrashLadder;
  /** When this leader first found everything of a host's recovery running, wall ms. */
  readonly #startedAt = new Map<number, number>();
  #round: Promise<void> = Promise.resolve();
  #isRunning = false;
  #isWanted = false;
  #isBusy = false;
  #isStopped = false;
  #cancelTimer: () => void = () => undefined;

  constructor(ports: VmhaPorts, policy: VmhaPolicy) {
    this.#ports = ports;
    this.#policy = policy;
    this.#ladder = new CrashLadder(ports, (change, kind) => this.#propose(change, kind));
  }

  wake(): void {
    this.#isWanted = true;
    if (this.#isRunning || this.#isStopped) return;
    this.#isRunning = true;
    this.#round = this.#rounds().catch((error: unknown) => this.#ports.alert(`recovery: ${errorChain(error)}`));
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer();
    await this.#round;
  }

  async #rounds(): Promise<void> {
    this.#cancelTimer();
    try {
      while (this.#isWanted && !this.#isStopped) {
        this.#isWanted = false;
        this.#isBusy = false;
        await this.#recoverHosts();
        if (this.#policy.isCrashRestarted && (await this.#ladder.round())) this.#isBusy = true;
        await this.#endLeftBehind();
        await this.#placePending();
      }
    } finally {
      this.#isRunning = false;
      if (!this.#isStopped) {
        this.#cancelTimer = this.#ports.clock.after(this.#isBusy ? ROUND_MS_BUSY : ROUND_MS_IDLE, () => this.wake());
      }
    }
  }

  async #recoverHosts(): Promise<void> {
    const records = await this.#ports.read(this.#ports.records.all());
    const open = new Set(records.filter(({ state }) => state !== "CLOSED").map(({ host_id }) => host_id));
    for (const record of records) {
      if (this.#isStopped) return;
      if (record.state === "OFF_PROVEN") await this.#freeze(record);
      else if (record.state === "RECOVERING") await this.#recover(record, open);
    }
  }

  async #freeze(record: LostHost): Promise<void> {
    const ports = this.#ports;
    this.#isBusy = true;
    const vms = await ports.read(vmsOnHost(record.host_id));
    const ids = vms.map(({ id }) => id);
    const change = merge(
      ports.records.recovering(record, ports.clock.wall()),
      freezeChange(record.host_id, record.failure, ids),
    );
    if (await this.#propose(change, "vmha.freeze")) this.#isWanted = true;
  }

  async #recover(record: LostHost, fenced: ReadonlySet<number>): Promise<void> {
    this.#isBusy = true;
    const { clock, keepAway, returnedDomains } = this.#ports;
    const frozen = await this.#ports.read(frozenVms(record.host_id, record.failure));
    const vms = await vmsByIds(
      this.#ports,
      frozen.map(({ vm_id }) => vm_id),
    );
    const hosts = await this.#ports.read(allHosts());
    const starts = await this.#ports.read(startsByHost());
    const plan = planRecovery({
      hostId: record.host_id,
      frozen,
      vms,
      places: placesOf(this.#ports, hosts, fenced).filter((place) => place.host.id !== record.host_id),
      options: this.#policy.options,
      starts: new Map(starts.map((row) => [row.host_id, row.starts])),
      returnedDomains: new Set(returnedDomains(record.host_id)),
      keepAway,
    });
    if (plan.isFinished) return await this.#close(record, frozen);
    this.#startedAt.delete(record.host_id);
    const rows = new Map(frozen.map((row) => [row.vm_id, row]));
    const proposals = plan.steps.map((step) => () => this.#carryOut(record, step, rows, vms, hosts, clock.wall()));
    // At once again only if all went well: what was rejected is looked at again with the next tick.
    if (await inBatches(proposals, PROPOSALS_MAX)) this.#isWanted = true;
  }

  /** The VM's own step and its outcome, in one entry, only while this failure is being recovered. */
  async #carryOut(
    record: LostHost,
    step: RecoveryStep,
    rows: ReadonlyMap<number, RecoveryRow>,
    vms: ReadonlyMap<number, VmRow>,
    hosts: readonly HostRow[],
    wallAt: number,
  ): Promise<boolean> {
    const row = rows.get(step.vmId);
    if (row === undefined || this.#isStopped) return false;
    const vm = vms.get(step.vmId);
    const own = vm === undefined ? NOTHING : vmChange(step, vm, hosts, Math.floor(wallAt / 1000));
    const outcome = own.ok ? outcomeOf(step) : "HELD";
    const target = own.ok && step.kind === "resubmit" ? step.hostId : null;
    const change = merge(
      { guards: [this.#ports.records.stillRecovering(record)], statements: [], tags: [] },
      ...(target === null ? [] : [{ guards: [this.#ports.records.notBeingFenced(target)], statements: [], tags: [] }]),
      own.ok ? own.change : NOTHING.change,
      outcomeChange(row, outcome, {
        target,
        reason: own.ok ? step.reason : own.why,
        attempt: row.attempt + (step.kind === "resubmit" ? 1 : 0),
        wallAt,
      }),
    );
    const isDone = await this.#propose(change, `vmha.${step.kind}`);
    if (isDone && outcome !== "RESUBMITTED" && outcome !== "SKIPPED")
      this.#ports.alert(`vm ${step.vmId} is ${outcome}: ${own.ok ? step.reason : own.why}`);
    return isDone;
  }

  async #close(record: LostHost, frozen: readonly RecoveryRow[]): Promise<void> {
    const wallAt = this.#ports.clock.wall();
    const startedAt = this.#startedAt.get(record.host_id) ?? wallAt;
    this.#startedAt.set(record.host_id, startedAt);
    if (!this.#ports.isSettled(record.host_id)) return;
    const marks = JSON.parse(record.marks) as ReportMarks;
    const own = { placedAt: placedAt(frozen) ?? startedAt, startedAt, closedAt: wallAt };
    const report = makeReport({ ...marks, ...own }, frozen);
    await this.#propose(this.#ports.records.closed(record, JSON.stringify(report), own), "fence.closed");
    this.#startedAt.delete(record.host_id);
  }

  /** What was asked of VMs on hosts that stay off is done. */
  async #endLeftBehind(): Promise<void> {
    for (const vm of await this.#ports.read(vmsLeftBehind())) {
      if (this.#isStopped) return;
      const step = endLeftBehind(vm, Math.floor(this.#ports.clock.wall() / 1000));
      if (step.ok) await this.#propose(step.change, "vmha.left-behind");
    }
  }

  /** PENDING VMs get their hosts. */
  async #placePending(): Promise<void> {
    const pending = await this.#ports.read(pendingVms());
    if (pending.length === 0 || this.#isStopped) return;
    const hosts = await this.#ports.read(allHosts());
    const demands = pending.map((vm) => ({ ...demandOf(vm), excluded: this.#ports.keepAway(vm.id) }));
    const plan = planPending(demands, placesOf(this.#ports, hosts, await fencedHosts(this.#ports)));
    const wallSeconds = Math.floor(this.#ports.clock.wall() / 1000);
    const proposals = plan.starts.flatMap(({ vmId, hostId }) => {
      const vm = pending.find(({ id }) => id === vmId);
      const host = hosts.find(({ id }) => id === hostId);
      const step = vm && host ? placed(vm, host, wallSeconds, { enforce: true }) : NOTHING;
      if (vm === undefined || !step.ok) return [];
      const change: Change = {
        ...step.change,
        guards: [...step.change.guards, this.#ports.records.notBeingFenced(hostId)],
      };
      return [() => this.#propose(change, "scheduler.deploy")];
    });
    if (await inBatches(proposals, PROPOSALS_MAX)) this.#isWanted = true;
  }

  /** True when done. `unknown` and `rejected` need nothing: the next round reads what became of it and decides anew. */
  async #propose(change: Change, kind: string): Promise<boolean> {
    try {
      return (await this.#ports.propose(change, kind)).kind === "done";
    } catch (error) {
      this.#ports.alert(`Cannot record ${kind}: ${errorChain(error)}`);
      return false;
    }
  }
}

const NOTHING: Transition & { readonly ok: true } = { ok: true, change: { guards: [], statements: [], tags: [] } };

/** The VM's own step: a transition of the front-end's table, with its guards. */
function vmChange(step: RecoveryStep, vm: VmRow, hosts: readonly HostRow[], wallSeconds: number): Transition {
  switch (step.kind) {
    case "resubmit": {
      const host = hosts.find(({ id }) => id === step.hostId);
      if (host === undefined) return { ok: false, why: `host ${step.hostId} does not exist any more` };
      return resubmitted(vm, host, wallSeconds);
    }
    case "queue":
      return requeued(vm, step.isFresh, wallSeconds);
    case "hold":
      return NOTHING;
    case "skip":
      if (step.finish === "powered-off") return poweredOff(vm, wallSeconds);
      return step.finish === "terminated" ? terminated(vm, wallSeconds) : NOTHING;
  }
}

function outcomeOf(step: RecoveryStep): "RESUBMITTED" | "HELD" | "UNPLACEABLE" | "SKIPPED" {
  switch (step.kind) {
    case "resubmit":
      return "RESUBMITTED";
    case "queue":
      return step.outcome;
    case "hold":
      return "HELD";
    case "skip":
      return "SKIPPED";
  }
}

/** True when there was work and all of it was done. */
async function inBatches(work: readonly (() => Promise<boolean>)[], size: number): Promise<boolean> {
  let isDone = work.length > 0;
  for (let at = 0; at < work.length; at += size) {
    const results = await Promise.all(work.slice(at, at + size).map((run) => run()));
    isDone &&= results.every((result) => result);
  }
  return isDone;
}
