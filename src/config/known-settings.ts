/** What a setting may look like. */
export type Section =
  /** One of OpenNebula's that has no meaning here: read, listed by `config check`, without effect. */
  | { readonly kind: "ignored" }
  | { readonly kind: "value"; readonly isRepeatable: boolean }
  | {
      readonly kind: "vector";
      readonly isRepeatable: boolean;
      readonly keys: readonly string[];
      readonly required: readonly string[];
    };

const hook = (required: readonly string[]): Section => ({
  kind: "vector",
  isRepeatable: true,
  keys: ["NAME", "ON", "COMMAND", "ARGUMENTS", "ARGUMENTS_STDIN", "REMOTE", "STATE", "LCM_STATE", "TIMEOUT"],
  required,
});
const value: Section = { kind: "value", isRepeatable: false };

const MEANT: Readonly<Record<string, Section>> = {
  PORT: value,
  LISTEN_ADDRESS: value,
  SERVER_ID: value,
  MONITORING_INTERVAL_HOST: value,
  ISOLATED: value,
  VIP_CONFLICT: value,
  FEDERATION: {
    kind: "vector",
    isRepeatable: false,
    keys: ["MODE", "ZONE_ID", "SERVER_ID", "MASTER_ONED", "MASTER_ONED_GRPC"],
    required: [],
  },
  RAFT: {
    kind: "vector",
    isRepeatable: false,
    keys: [
      "PROFILE",
      "LIMIT_PURGE",
      "LOG_RETENTION",
      "LOG_PURGE_TIMEOUT",
      "ELECTION_TIMEOUT_MS",
      "BROADCAST_TIMEOUT_MS",
      "XMLRPC_TIMEOUT_MS",
      "PROMISE_MS",
    ],
    required: [],
  },
  RAFT_LEADER_HOOK: hook(["COMMAND"]),
  RAFT_FOLLOWER_HOOK: hook(["COMMAND"]),
  HOST_HOOK: hook(["ON", "COMMAND"]),
  VM_HOOK: hook(["ON", "COMMAND"]),
  VIP: { kind: "vector", isRepeatable: true, keys: ["INTERFACE", "ADDRESS"], required: ["INTERFACE", "ADDRESS"] },
  NETWORK: {
    kind: "vector",
    isRepeatable: false,
    keys: ["MGMT", "BMC", "BMC_INTERFACE", "HOSTNAME", "DNS", "NTP"],
    required: [],
  },
  INTERFACE: {
    kind: "vector",
    isRepeatable: true,
    keys: ["NAME", "ADDRESS", "GATEWAY", "MTU", "VLAN", "ON", "BOND", "MODE"],
    required: ["NAME", "ADDRESS"],
  },
  SSH_KEY: { kind: "value", isRepeatable: true },
  WATCHDOG: {
    kind: "vector",
    isRepeatable: false,
    keys: ["DEVICE", "TIMEOUT", "HANG", "CHIP", "GPIO", "GPIO_TIMEOUT"],
    required: [],
  },
  GPIO: {
    kind: "vector",
    isRepeatable: false,
    keys: ["DRIVER", "CHIP", "POWER", "HEALTH", "LEADER", "FAULT", "BUTTON", "ACTIVE_LOW"],
    required: ["CHIP"],
  },
  CONSOLE: { kind: "vector", isRepeatable: true, keys: ["DEVICE", "BAUD"], required: ["DEVICE"] },
};

/** OpenNebula's stock oned.conf and the older ones that our users bring along: they must start here unchanged. */
const IGNORED = new Set(
  `MANAGER_TIMER MONITORING_INTERVAL_DATASTORE MONITORING_INTERVAL_MARKET MONITORING_INTERVAL_VM MONITORING_INTERVAL_DB_UPDATE
  MONITORING_THREADS HOST_PER_INTERVAL HOST_MONITORING_EXPIRATION_TIME VM_INDIVIDUAL_MONITORING VM_MONITORING_EXPIRATION_TIME
  VM_PER_INTERVAL BEACON_HOST SCRIPTS_REMOTE_DIR VM_DIR IMAGE_REPOSITORY_PATH DB VNC_PORTS VM_SUBMIT_ON_HOLD API_LIST_ORDER LOG HOSTNAME
  HM_MAD AUTH_MAD SESSION_EXPIRATION_TIME ENABLE_OTHER_PERMISSIONS DEFAULT_UMASK DEFAULT_AUTH IM_MAD VM_MAD TM_MAD TM_MAD_CONF
  DS_MAD DATASTORE_MAD DS_MAD_CONF MARKET_MAD MARKET_MAD_CONF IPAM_MAD SCHED_MAD DATASTORE_LOCATION DATASTORE_BASE_PATH
  DATASTORE_CAPACITY_CHECK DEFAULT_IMAGE_TYPE DEFAULT_DEVICE_PREFIX DEFAULT_CDROM_DEVICE_PREFIX DEFAULT_IMAGE_PERSISTENT
  DEFAULT_IMAGE_PERSISTENT_NEW KEEPALIVE_TIMEOUT KEEPALIVE_MAX_CONN MAX_CONN MAX_CONN_BACKLOG TIMEOUT RPC_LOG MESSAGE_SIZE
  LOG_CALL_FORMAT NETWORK_SIZE MAC_PREFIX VLAN_IDS VXLAN_IDS PCI_PASSTHROUGH_BUS SHOWBACK_ONLY_RUNNING CONTEXT_RESTRICTED_DIRS
  CONTEXT_SAFE_DIRS CONTEXT_ALLOW_ETH_UPDATES VM_RESTRICTED_ATTR IMAGE_RESTRICTED_ATTR VNET_RESTRICTED_ATTR USER_RESTRICTED_ATTR
  GROUP_RESTRICTED_ATTR DOCUMENT_RESTRICTED_ATTR VM_ADMIN_OPERATIONS VM_MANAGE_OPERATIONS VM_USE_OPERATIONS DEFAULT_VM_ADMIN_OPERATIONS
  DEFAULT_VM_MANAGE_OPERATIONS DEFAULT_VM_USE_OPERATIONS INHERIT_DATASTORE_ATTR INHERIT_IMAGE_ATTR INHERIT_VNET_ATTR
  INHERIT_VROUTER_ATTR VM_MONITORING_ATTR VM_ENCRYPTED_ATTR HOST_ENCRYPTED_ATTR CLUSTER_ENCRYPTED_ATTR DATASTORE_ENCRYPTED_ATTR
  USER_ENCRYPTED_ATTR IMAGE_ENCRYPTED_ATTR DOCUMENT_ENCRYPTED_ATTR VNET_ENCRYPTED_ATTR VN_MAD_CONF VM_SNAPSHOT_FACTOR
  DEFAULT_COST FEDERATION_SYNC_INTERVAL FEDERATION_TIMEOUT HOOK_LOG_CONF VM_HOOK_DEFAULTS HOST_HOOK_DEFAULTS PORT_GRPC
  LISTEN_ADDRESS_GRPC ONE_KEY ONEGATE_ENDPOINT GUIDE`
    .split(/\s+/)
    .filter((name) => name !== ""),
);

/** What a setting's name may carry; undefined for a name that nobody knows: a typing error. */
export function known(name: string): Section | undefined {
  return MEANT[name] ?? (IGNORED.has(name) ? { kind: "ignored" } : undefined);
}
