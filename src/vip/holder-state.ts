/** The holder machine's values: state, events, effects. Pure; see machine.ts. All instants are monotonic ms. */

export interface HolderSettings {
  /** False: only the power gate exists. */
  readonly hasVip: boolean;
  readonly conflict: "release" | "defend";
  readonly announceIntervalMs: number;
  readonly apiFreshMs: number;
  readonly apiDeadMs: number;
}

/** A round's token. `preparedAt` was read before the token was given to the kernel, so it dies there no earlier. */
export interface Lease {
  readonly round: number;
  readonly token: number;
  /** How long it lives: D of what this round asked for. The cluster's timings may change between two rounds. */
  readonly leaseMs: number;
  readonly preparedAt: number;
}

/** Whether a foreign device has the address, as far as we know. */
export type Claim =
  /** Nobody has looked since the box started, joined or was configured. */
  | { readonly kind: "unproven" }
  | { readonly kind: "probing"; readonly startedAt: number; readonly sent: number }
  | { readonly kind: "free" }
  /** A foreign device has it. */
  | { readonly kind: "withheld"; readonly until: number; readonly mac: string };

export interface HolderState {
  /** `elected`: rounds are under way, the own no-op is not applied. `released`: no lease ever again in this term. */
  readonly leadership: "follower" | "elected" | "leader" | "released";
  readonly term: number;
  readonly leaderSince: number;
  /** Sent and not answered by a quorum yet, oldest first. */
  readonly rounds: readonly Lease[];
  /** The newest that a quorum answered. */
  readonly confirmed: Lease | undefined;
  /** What the kernel was told last. */
  readonly active: (Lease & { readonly isForVip: boolean }) | undefined;
  readonly claim: Claim;
  readonly hasAddress: boolean;
  readonly addressRenewedAt: number;
  readonly announcing: { readonly startedAt: number; readonly sent: number } | undefined;
  readonly announcedAt: number;
  readonly defendedAt: number;
  /** Frames of others count: those of the former holder were given time to arrive, and were dropped unread. */
  readonly isListening: boolean;
  /** When that may be done. */
  readonly listenAt: number;
  readonly apiAnsweredAt: number;
  readonly transferAskedAt: number;
  readonly isTableSound: boolean;
  /** Since when it is not. */
  readonly tableLostAt: number;
  readonly tableRetryAt: number;
  readonly tableAlarmedAt: number;
  readonly incidents: { readonly conflicts: number; readonly lapses: number; readonly tableLosses: number };
}

export type HolderEvent =
  /** A heartbeat round is about to be sent; nothing of it has left yet. */
  | { readonly kind: "round-prepared"; readonly round: number; readonly token: number; readonly leaseMs: number }
  /** A quorum, counted in the configuration of now, answered exactly this round. */
  | { readonly kind: "round-confirmed"; readonly round: number }
  /** The own no-op of this term is applied. */
  | { readonly kind: "leader-ready"; readonly term: number }
  | { readonly kind: "leadership-lost" }
  | { readonly kind: "release-requested" }
  /** A real call over the API's listening socket was answered. */
  | { readonly kind: "api-answered" }
  | { readonly kind: "conflict-seen"; readonly address: string; readonly mac: string }
  /** The cable of an interface has its signal back. */
  | { readonly kind: "link-returned" }
  /** Gone or changed: the table, one of its hooks, or the interface they hang on. */
  | { readonly kind: "table-missing"; readonly why: string }
  | { readonly kind: "table-restored" }
  | { readonly kind: "table-refused"; readonly why: string }
  | { readonly kind: "tick" };

/** Performed in order. When `activate` fails the rest is left out and `table-missing` is fed back. */
export type HolderEffect =
  | { readonly kind: "add-live"; readonly token: number; readonly leaseMs: number }
  | { readonly kind: "activate"; readonly token: number; readonly isForVip: boolean }
  | { readonly kind: "flush" }
  | { readonly kind: "flush-vip" }
  /** Only after reading back that the table and its hooks exist; else `table-missing` is fed back. */
  | { readonly kind: "add-address" }
  | { readonly kind: "renew-address" }
  /** And end its connections. Fine when it is gone already. */
  | { readonly kind: "delete-address" }
  | { readonly kind: "send-announcement" }
  | { readonly kind: "send-probe" }
  /** Drops what waits in the sockets. */
  | { readonly kind: "forget-frames" }
  | { readonly kind: "restore-table" }
  | { readonly kind: "transfer-leadership"; readonly why: string }
  | { readonly kind: "alarm"; readonly code: string; readonly text: string };

export interface HolderStep {
  readonly state: HolderState;
  readonly effects: readonly HolderEffect[];
}

/** A box that just started: follower, table not loaded (the first tick loads it), address never probed. */
export function initialHolderState(): HolderState {
  return {
    leadership: "follower",
    term: 0,
    leaderSince: Number.NEGATIVE_INFINITY,
    rounds: [],
    confirmed: undefined,
    active: undefined,
    claim: { kind: "unproven" },
    hasAddress: false,
    addressRenewedAt: Number.NEGATIVE_INFINITY,
    announcing: undefined,
    announcedAt: Number.NEGATIVE_INFINITY,
    defendedAt: Number.NEGATIVE_INFINITY,
    isListening: true,
    listenAt: Number.NEGATIVE_INFINITY,
    apiAnsweredAt: Number.NEGATIVE_INFINITY,
    transferAskedAt: Number.NEGATIVE_INFINITY,
    isTableSound: false,
    tableLostAt: Number.NEGATIVE_INFINITY,
    tableRetryAt: Number.NEGATIVE_INFINITY,
    tableAlarmedAt: Number.NEGATIVE_INFINITY,
    incidents: { conflicts: 0, lapses: 0, tableLosses: 0 },
  };
}
