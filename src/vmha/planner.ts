import { getText, parseStored } from "../one/attributes.ts";
import { vmPhaseName } from "../one/vm/phases.ts";
import type { VmRow } from "../one/vm/row.ts";
import { LCM_STATE, VM_STATE } from "../one/vm/states.ts";
import { demandOf } from "../scheduler/demand.ts";
import { findPlace, type Place, withVm } from "../scheduler/fit.ts";
import type { RecoveryOptions } from "./options.ts";
import type { RecoveryRow, RetryRow } from "./record.ts";

/** What is to become of one VM now; each is one entry, together with the VM's own step. */
export type RecoveryStep =
  | { readonly kind: "resubmit"; readonly vmId: number; readonly hostId: number; readonly reason: string }
  /** Back to PENDING: the scheduler starts it as soon as there is room. */
  | {
      readonly kind: "queue";
      readonly vmId: number;
      readonly isFresh: boolean;
      readonly outcome: "RESUBMITTED" | "UNPLACEABLE";
      readonly reason: string;
    }
  | { readonly kind: "hold"; readonly vmId: number; readonly reason: string }
  /** `finish`: what the VM was about to do anyway, and is done now that its host is off. */
  | {
      readonly kind: "skip";
      readonly vmId: number;
      readonly finish: "none" | "powered-off" | "terminated";
      readonly reason: string;
    };

export interface RecoveryPlan {
  readonly steps: readonly RecoveryStep[];
  /** VMs whose turn comes when other starts are done. */
  readonly waiting: readonly number[];
  /** Every VM has its outcome, and what was started runs or has left its target. */
  readonly isFinished: boolean;
}

export interface RecoveryInput {
  /** The lost host. */
  readonly hostId: number;
  readonly frozen: readonly RecoveryRow[];
  /** Rows of the frozen VMs that still exist. */
  readonly vms: ReadonlyMap<number, VmRow>;
  /** The other hosts, with `closed` filled in. */
  readonly places: readonly Place[];
  readonly options: RecoveryOptions;
  /** VMs in BOOT by host, the ones of other recoveries included. */
  readonly starts: ReadonlyMap<number, number>;
  /** VMs whose domains the lost host showed after it came back. */
  readonly returnedDomains: ReadonlySet<number>;
  /** Hosts that a VM must keep away from, with the reason: VM groups come in here. */
  readonly keepAway: (vmId: number) => ReadonlyMap<number, string>;
}

/** VMs that may be starting on one host at once; more only makes all of them slower. */
export const STARTS_PER_HOST_MAX = 8;
/** Hosts that one VM is tried on before it is held. */
export const ATTEMPTS_MAX = 3;

/** What to do now for each VM of the frozen list. Called again after each change; what has its outcome is left alone. */
export function planRecovery(input: RecoveryInput): RecoveryPlan {
  const steps: RecoveryStep[] = [];
  const waiting: number[] = [];
  const places = [...input.places];
  const starts = new Map(input.starts);
  let unfinished = 0;
  for (const row of byPriority(input)) {
    const vm = input.vms.get(row.vm_id);
    if (isOver(row, vm)) continue;
    unfinished++;
    if (row.outcome === "RESUBMITTED" && !hasFailedToStart(row, vm)) continue;
    const step = vm === undefined ? gone(row) : decide(input, row, vm, places, starts);
    if (step === undefined) waiting.push(row.vm_id);
    else steps.push(step);
  }
  return { steps, waiting, isFinished: unfinished === 0 };
}

/** HA_PRIORITY: higher first; same priority: lower id first. */
export function priorityOf(vm: VmRow | undefined): number {
  if (vm === undefined) return 0;
  const text =
    getText(parseStored(vm.user_template), "HA_PRIORITY") ?? getText(parseStored(vm.template), "HA_PRIORITY");
  const value = Number(text ?? "0");
  return Number.isFinite(value) ? value : 0;
}

function byPriority(input: RecoveryInput): readonly RecoveryRow[] {
  const ranked = input.frozen.map((row) => ({ row, priority: priorityOf(input.vms.get(row.vm_id)) }));
  return ranked.sort((a, b) => b.priority - a.priority || a.row.vm_id - b.row.vm_id).map(({ row }) => row);
}

/** Nothing more is expected of this VM by this recovery. */
function isOver(row: RecoveryRow, vm: VmRow | undefined): boolean {
  if (row.outcome === "") return false;
  if (row.outcome !== "RESUBMITTED" || row.target === null || vm === undefined) return true;
  return vm.host_id !== row.target || !(isIn(vm, LCM_STATE.boot) || isIn(vm, LCM_STATE.bootFailure));
}

function hasFailedToStart(row: RecoveryRow, vm: VmRow | undefined): boolean {
  return vm !== undefined && vm.host_id === row.target && isIn(vm, LCM_STATE.bootFailure);
}

function isIn(vm: VmRow, lcmState: number): boolean {
  return vm.state === VM_STATE.active && vm.lcm_state === lcmState;
}

function gone(row: RecoveryRow): RecoveryStep {
  return skip(row.vm_id, "it does not exist any more");
}

/** The step for one VM; undefined: it waits for a turn. Takes the room that it uses from `places`. */
function decide(
  input: RecoveryInput,
  row: RecoveryRow,
  vm: VmRow,
  places: Place[],
  starts: Map<number, number>,
): RecoveryStep | undefined {
  const isRetry = row.outcome === "RESUBMITTED";
  if (!isRetry) {
    const other = withoutStart(input, vm);
    if (other !== undefined) return other;
  } else if (row.attempt >= ATTEMPTS_MAX) {
    return { kind: "hold", vmId: vm.id, reason: `it failed to start on ${row.attempt} hosts, at last: ${vm.reason}` };
  }
  // On a host that is not heard a start that was declared failed may still happen; if that host is lost, its own record decides.
  if (isRetry && input.places.find(({ host }) => host.id === row.target)?.closed !== "") return undefined;
  const excluded = new Map(input.keepAway(vm.id));
  excluded.set(input.hostId, "the host that was lost");
  if (isRetry && row.target !== null) excluded.set(row.target, "it failed to start there");
  const demand = { ...demandOf(vm), excluded };
  const full = [...starts].filter(([, count]) => count >= STARTS_PER_HOST_MAX).map(([hostId]) => hostId);
  const isFull = (place: Place): boolean => full.includes(place.host.id);
  const fit = findPlace(
    demand,
    places.filter((place) => !isFull(place)),
  );
  if (!fit.ok) {
    // Room on a host that is only busy starting others: that is a matter of seconds.
    if (full.length > 0 && findPlace(demand, places).ok) return undefined;
    if (isRetry) return { kind: "hold", vmId: vm.id, reason: `it failed to start (${vm.reason}) and ${fit.why}` };
    return { kind: "queue", vmId: vm.id, isFresh: false, outcome: "UNPLACEABLE", reason: fit.why };
  }
  const at = places.findIndex((place) => place.host.id === fit.hostId);
  const place = places[at];
  if (place !== undefined) places[at] = withVm(place, demand);
  starts.set(fit.hostId, (starts.get(fit.hostId) ?? 0) + 1);
  return { kind: "resubmit", vmId: vm.id, hostId: fit.hostId, reason: isRetry ? `after: ${vm.reason}` : "" };
}

/** The VMs that are not simply started elsewhere; undefined for the others. */
function withoutStart(input: RecoveryInput, vm: VmRow): RecoveryStep | undefined {
  const { options, hostId } = input;
  if (vm.host_id !== hostId) return skip(vm.id, `it was changed meanwhile and is ${vmPhaseName(vm)}`);
  if (input.returnedDomains.has(vm.id)) {
    return { kind: "hold", vmId: vm.id, reason: `its domain runs on host ${hostId}, which came back` };
  }
  if (isIn(vm, LCM_STATE.shutdown)) return skip(vm.id, "it was being ended: done", "terminated");
  if (isIn(vm, LCM_STATE.shutdownPoweroff)) return skip(vm.id, "it was being powered off: done", "powered-off");
  if (isIn(vm, LCM_STATE.cleanupResubmit)) return queue(vm.id, true, "it was being recreated");
  if (vm.state === VM_STATE.poweroff) {
    if (!options.isForced) return skip(vm.id, "it was powered off; -f takes such VMs too");
    return options.mode === "delete" ? skip(vm.id, "deleted by -d", "terminated") : queue(vm.id, false, "by -f");
  }
  const isLost =
    vm.state === VM_STATE.failed ||
    [LCM_STATE.unknown, LCM_STATE.boot, LCM_STATE.bootFailure].some((lcmState) => isIn(vm, lcmState));
  if (isIn(vm, LCM_STATE.running)) return skip(vm.id, "it runs again on the host that came back");
  if (!isLost) return { kind: "hold", vmId: vm.id, reason: `it was ${vmPhaseName(vm)} when its host was lost` };
  if (options.mode === "delete") return skip(vm.id, "deleted by -d", "terminated");
  if (options.mode === "recreate") return queue(vm.id, true, "by -r");
  const local = localDisk(vm);
  return local === undefined ? undefined : skip(vm.id, `its disk is on the host that was lost (${local})`);
}

/** Transfer drivers that leave a VM's disk on its host. */
const LOCAL_DRIVERS: ReadonlySet<string> = new Set(["ssh", "local", "fs_lvm_ssh"]);

function localDisk(vm: VmRow): string | undefined {
  for (const { name, value } of parseStored(vm.template)) {
    const driver = name === "DISK" && typeof value !== "string" ? (value["TM_MAD"] ?? "") : "";
    if (LOCAL_DRIVERS.has(driver)) return `TM_MAD ${driver}`;
  }
  return undefined;
}

function skip(vmId: number, reason: string, finish: "none" | "powered-off" | "terminated" = "none"): RecoveryStep {
  return { kind: "skip", vmId, finish, reason };
}

function queue(vmId: number, isFresh: boolean, reason: string): RecoveryStep {
  return { kind: "queue", vmId, isFresh, outcome: "RESUBMITTED", reason };
}

/** Waits before each restart of a VM that crashed on a host in health; after the last one it stays FAILED. */
export const CRASH_LADDER_MS: readonly number[] = [0, 2_000, 10_000, 60_000, 300_000];
/** A VM that ran this long after a restart is well: its crashes are forgotten. */
export const WELL_AFTER_MS = 600_000;

export type CrashStep =
  | { readonly kind: "restart"; readonly vmId: number; readonly hostId: number }
  | { readonly kind: "wait"; readonly vmId: number; readonly untilAt: number }
  | { readonly kind: "give-up"; readonly vmId: number; readonly reason: string };

/**
 * The same ladder for a guest that crashed on a host in health: the first time where it was, later elsewhere if there
 * is room. `failedAt`: when this leader first saw it FAILED.
 */
export function planCrashed(
  vm: VmRow,
  retry: RetryRow | undefined,
  places: readonly Place[],
  failedAt: number,
  now: number,
): CrashStep {
  const attempt = retry?.attempt ?? 0;
  const waitMs = CRASH_LADDER_MS[attempt];
  if (waitMs === undefined) {
    return { kind: "give-up", vmId: vm.id, reason: `it crashed ${attempt + 1} times: ${vm.reason}` };
  }
  if (now < failedAt + waitMs) return { kind: "wait", vmId: vm.id, untilAt: failedAt + waitMs };
  // Its own host still holds its room: the place is as if it were not there.
  const own = vm.host_id;
  const free = places.map((place) =>
    place.host.id === own
      ? { ...place, freeCpu: place.freeCpu + vm.cpu, freeMemory: place.freeMemory + vm.memory }
      : place,
  );
  const demand = demandOf(vm);
  const home =
    attempt === 0
      ? findPlace(
          demand,
          free.filter((place) => place.host.id === own),
        )
      : undefined;
  if (home?.ok) return { kind: "restart", vmId: vm.id, hostId: home.hostId };
  const elsewhere = own === null ? demand : { ...demand, excluded: new Map([[own, "it crashed there"]]) };
  const fit = findPlace(elsewhere, free);
  const last = fit.ok ? fit : findPlace(demand, free);
  if (!last.ok) return { kind: "wait", vmId: vm.id, untilAt: now + 5_000 };
  return { kind: "restart", vmId: vm.id, hostId: last.hostId };
}
