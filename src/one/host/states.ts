/** OpenNebula's numbers of host states; `one.host.status` and the drivers move between them. */
export const HOST_STATE = { init: 0, monitored: 2, error: 3, disabled: 4, offline: 8 } as const;

export type HostState = (typeof HOST_STATE)[keyof typeof HOST_STATE];

/** The word for people, as `onehost show` prints it. */
export function hostStateName(state: number): string {
  return NAMES[state] ?? `STATE ${state}`;
}

const NAMES: Readonly<Record<number, string>> = {
  0: "INIT",
  1: "MONITORING_MONITORED",
  2: "MONITORED",
  3: "ERROR",
  4: "DISABLED",
  5: "MONITORING_ERROR",
  6: "MONITORING_INIT",
  7: "MONITORING_DISABLED",
  8: "OFFLINE",
};
