/** OpenNebula's numbers of VM states. */
export const VM_STATE = {
  init: 0,
  pending: 1,
  hold: 2,
  active: 3,
  stopped: 4,
  suspended: 5,
  done: 6,
  /** A guest that crashed on a host in health. Known to every client, used by `VM_HOOK … on="FAILED"`. */
  failed: 7,
  poweroff: 8,
  undeployed: 9,
  cloning: 10,
  cloningFailure: 11,
} as const;

/** The part of ACTIVE that a VM is in; 0 in all other states. */
export const LCM_STATE = {
  init: 0,
  prolog: 1,
  boot: 2,
  running: 3,
  migrate: 4,
  epilog: 11,
  shutdown: 12,
  cleanupResubmit: 15,
  unknown: 16,
  shutdownPoweroff: 18,
  bootUnknown: 19,
  bootPoweroff: 20,
  cleanupDelete: 23,
  bootMigrate: 35,
  bootFailure: 36,
} as const;

/** The word for people, as `onevm show` and action errors print it. */
export function vmStateName(state: number): string {
  return STATES[state] ?? `STATE ${state}`;
}

export function lcmStateName(lcmState: number): string {
  return LCM_STATES[lcmState] ?? `LCM_STATE ${lcmState}`;
}

const STATES: Readonly<Record<number, string>> = {
  0: "INIT",
  1: "PENDING",
  2: "HOLD",
  3: "ACTIVE",
  4: "STOPPED",
  5: "SUSPENDED",
  6: "DONE",
  7: "FAILED",
  8: "POWEROFF",
  9: "UNDEPLOYED",
  10: "CLONING",
  11: "CLONING_FAILURE",
};

const LCM_STATES: Readonly<Record<number, string>> = {
  0: "LCM_INIT",
  1: "PROLOG",
  2: "BOOT",
  3: "RUNNING",
  4: "MIGRATE",
  11: "EPILOG",
  12: "SHUTDOWN",
  15: "CLEANUP_RESUBMIT",
  16: "UNKNOWN",
  18: "SHUTDOWN_POWEROFF",
  19: "BOOT_UNKNOWN",
  20: "BOOT_POWEROFF",
  23: "CLEANUP_DELETE",
  35: "BOOT_MIGRATE",
  36: "BOOT_FAILURE",
};
