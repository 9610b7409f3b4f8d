/** Where everything is; the same on an image, in the rack and on a hand-started box (ARCHITECTURE.md section 6). */
export const paths = {
  onedConf: "/etc/one/oned.conf",
  boxConf: "/etc/one/box.conf",
  joinToken: "/etc/one/join-token",
  data: "/var/lib/one",
  clusterKey: "/var/lib/one/cluster.key",
  state: "/var/lib/one/state",
  snapshots: "/var/lib/one/snapshots",
  oneAuth: "/var/lib/one/.one/one_auth",
  lock: "/var/lib/one/lock",
  consolePassword: "/var/lib/one/console-password",
  consoleRecords: "/var/lib/one/console-records",
  run: "/run/one",
  /** What this box last did with its slots. */
  updateRecord: "/var/lib/one/update-record",
  /** In the image: whose updates it takes. */
  updateKey: "/usr/lib/ringfence/update.pub",
  /** On an image: this boot's box has been healthy. */
  healthy: "/run/one/healthy",
  /** What a stick or the ESP brought in this boot and was not taken over: a mistake a line. */
  refusedProvisions: "/run/one/refused-provisions",
  /** What the box's own programs ask its front-end with. */
  ownSession: "/run/one/session",
  /** Shows that a caller of force-recover is root on this box. */
  forceRecover: "/run/one/force-recover",
  /** Written, synced and read back each ten seconds: the watchdog's word on the disk. */
  diskProbe: "/var/lib/one/disk-probe",
  supervisorSocket: "/run/one/supervisor.sock",
  log: "/var/log/one",
} as const;

/** The peers' port; 2633 is the API's. */
export const PEER_PORT = 2636;
