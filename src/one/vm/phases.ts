import type { VmRow } from "./row.ts";
import { LCM_STATE, lcmStateName, VM_STATE, vmStateName } from "./states.ts";

/** `state` and `lcm_state` of a VM. */
export interface VmPhase {
  readonly state: number;
  readonly lcm: number;
}

const active = (lcm: number): VmPhase => ({ state: VM_STATE.active, lcm });
const still = (state: number): VmPhase => ({ state, lcm: LCM_STATE.init });

const PENDING = still(VM_STATE.pending);
const HOLD = still(VM_STATE.hold);
const BOOT = active(LCM_STATE.boot);
const RUNNING = active(LCM_STATE.running);
const UNKNOWN = active(LCM_STATE.unknown);
const BOOT_FAILURE = active(LCM_STATE.bootFailure);
const CLEANUP_RESUBMIT = active(LCM_STATE.cleanupResubmit);
const SHUTDOWN = active(LCM_STATE.shutdown);
const SHUTDOWN_POWEROFF = active(LCM_STATE.shutdownPoweroff);
const POWEROFF = still(VM_STATE.poweroff);
const FAILED = still(VM_STATE.failed);
const DONE = still(VM_STATE.done);

/** Every legal step of a VM, in one place: from which phases, to which. The docs show this table. */
export const VM_TRANSITIONS = {
  /** The scheduler or a person gives it a host; its driver is to start it there. */
  placed: { from: [PENDING, HOLD], to: BOOT },
  /** The domain runs; from UNKNOWN when its host is heard again. */
  running: { from: [BOOT, BOOT_FAILURE, UNKNOWN, POWEROFF, FAILED], to: RUNNING },
  /** The host refused to start it, or a person says that it did not start. */
  bootFailed: { from: [BOOT], to: BOOT_FAILURE },
  /** Its host is lost: what it does is not known. */
  unknown: { from: [BOOT, RUNNING], to: UNKNOWN },
  /** The guest crashed on a host in health: the domain is gone. */
  failed: { from: [BOOT, RUNNING, UNKNOWN], to: FAILED },
  /** Started again on a host, this or another. The caller has proof that it runs nowhere (P3). */
  resubmitted: { from: [UNKNOWN, FAILED, BOOT_FAILURE, BOOT, CLEANUP_RESUBMIT], to: BOOT },
  /** Started again where it is: resume, retry of a failed start. The same host cannot run it twice. */
  restarted: { from: [POWEROFF, BOOT_FAILURE, FAILED, UNKNOWN], to: BOOT },
  /** To be taken off its host and queued again; it keeps the host until its domain there is proven gone. */
  recreating: {
    from: [BOOT, RUNNING, UNKNOWN, BOOT_FAILURE, SHUTDOWN_POWEROFF, POWEROFF, FAILED, CLEANUP_RESUBMIT],
    to: CLEANUP_RESUBMIT,
  },
  /** Back to the scheduler, with no host: nothing of it runs. */
  requeued: { from: [CLEANUP_RESUBMIT, UNKNOWN, FAILED, BOOT_FAILURE, POWEROFF], to: PENDING },
  /** Told to stop, its disk stays. */
  poweringOff: { from: [RUNNING, UNKNOWN], to: SHUTDOWN_POWEROFF },
  /** The domain is gone and was meant to be, or its guest shut itself down. */
  poweredOff: { from: [SHUTDOWN_POWEROFF, RUNNING, UNKNOWN], to: POWEROFF },
  /** Told to end for good. */
  terminating: {
    from: [BOOT, RUNNING, UNKNOWN, BOOT_FAILURE, SHUTDOWN_POWEROFF, CLEANUP_RESUBMIT, POWEROFF, FAILED, SHUTDOWN],
    to: SHUTDOWN,
  },
  /** Ended: nothing of it is to be left on a host; what a host still shows of it is destroyed there. */
  terminated: {
    from: [
      SHUTDOWN,
      PENDING,
      HOLD,
      POWEROFF,
      FAILED,
      BOOT_FAILURE,
      UNKNOWN,
      RUNNING,
      BOOT,
      SHUTDOWN_POWEROFF,
      CLEANUP_RESUBMIT,
    ],
    to: DONE,
  },
  /** A stop that did not work: the domain still runs. */
  stopFailed: { from: [SHUTDOWN, SHUTDOWN_POWEROFF], to: RUNNING },
  held: { from: [PENDING], to: HOLD },
  released: { from: [HOLD], to: PENDING },
} as const satisfies Readonly<Record<string, { readonly from: readonly VmPhase[]; readonly to: VmPhase }>>;

export type VmStep = keyof typeof VM_TRANSITIONS;

/** Whether the table lets this VM take that step. */
export function isLegal(vm: VmRow, step: VmStep): boolean {
  return VM_TRANSITIONS[step].from.some((phase) => phase.state === vm.state && phase.lcm === vm.lcm_state);
}

/** `RUNNING` or `POWEROFF`: the phase in the word that people use. */
export function vmPhaseName(vm: Pick<VmRow, "state" | "lcm_state">): string {
  return vm.state === VM_STATE.active ? lcmStateName(vm.lcm_state) : vmStateName(vm.state);
}
