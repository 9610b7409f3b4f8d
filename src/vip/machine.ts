/**
 * Who may hold the virtual address: pure. The proof is the kernel's (lease-table.ts): a token that counts from before
 * its round was sent. This machine only decides which calls are made, in which order. Times are monotonic ms.
 */
import type {
  Claim,
  HolderEffect,
  HolderEvent,
  HolderSettings,
  HolderState,
  HolderStep,
  Lease,
} from "./holder-state.ts";

/** Bounds the rounds that wait for their answers; at a heartbeat of 20 ms a lease of 1.2 s. Older ones are dropped. */
const ROUNDS_MAX = 64;
/** When announcements go out after a take, in ms from it (vip.md section 3). */
const ANNOUNCE_BURST_MS = [0, 100, 300, 1000, 5000] as const;
/** Probes before the first claim, and the wait after the last: a device on a LAN answers ARP within some ms. */
const PROBE_COUNT = 3;
const PROBE_INTERVAL_MS = 200;
/**
 * The last frames of the former holder may still be in a switch's queue when we begin to probe or take over. After this
 * they have arrived, are dropped, and what comes then is a stranger's. Our own pause in between changes nothing: only
 * what arrives after the drop counts.
 */
const CONFLICT_SETTLE_MS = 50;
/** Between defences of the address (RFC 5227 §2.4 c: DEFEND_INTERVAL). */
const DEFEND_INTERVAL_MS = 10_000;
/** After giving way to a foreign device, the address is probed again after this (the same interval of RFC 5227). */
const CONFLICT_HOLD_MS = 10_000;
/** A lapse shorter than this keeps the address and its connections: nobody else can have taken it meanwhile. */
const LAPSE_GRACE_MS = 1000;
/** The address' lifetime in the kernel is whole seconds; renewing it twice a second never lets it run out. */
const ADDRESS_RENEWAL_MS = 500;
const TABLE_RETRY_MS = 1000;
/** A leader whose gate cannot be built for this long lets a box lead that can hold the address. */
const TABLE_DEAD_MS = 5000;
const TABLE_ALARM_INTERVAL_MS = 60_000;

/** True while the kernel, by our reckoning, still lets packets of the active token pass. */
export function isLeaseAlive({ active }: HolderState, now: number): boolean {
  return active !== undefined && now < endOf(active);
}

function endOf(lease: Lease): number {
  return lease.preparedAt + lease.leaseMs;
}

/** True while this box answers for the address. */
export function isHolding(state: HolderState, now: number): boolean {
  return state.hasAddress && state.active?.isForVip === true && isLeaseAlive(state, now);
}

/** One decision. */
export function step(settings: HolderSettings, state: HolderState, event: HolderEvent, now: number): HolderStep {
  switch (event.kind) {
    case "round-prepared":
      return prepareRound(settings, state, event, now);
    case "round-confirmed": {
      const index = state.rounds.findLastIndex((lease) => lease.round === event.round);
      const confirmed = state.rounds[index];
      if (confirmed === undefined) return { state, effects: [] };
      // Older rounds can only be answered later than this one: their tokens are of no more use.
      return activate(settings, { ...state, confirmed, rounds: state.rounds.slice(index + 1) }, now);
    }
    case "leader-ready":
      return becomeLeader(settings, state, event.term, now);
    case "leadership-lost":
      if (state.leadership === "follower") return { state, effects: [] };
      return leave({ ...state, leadership: "follower" });
    case "release-requested":
      return leave({ ...state, leadership: state.leadership === "follower" ? "follower" : "released" });
    case "api-answered":
      return activate(settings, { ...state, apiAnsweredAt: now }, now);
    case "conflict-seen":
      return meetConflict(settings, state, event.address, event.mac, now);
    case "link-returned":
      if (!isHolding(state, now)) return { state, effects: [] };
      return announceDue(settings, { ...state, announcing: { startedAt: now, sent: 0 } }, now);
    case "table-missing":
      return loseTable(state, event.why, now);
    case "table-restored":
      return { state: { ...state, isTableSound: true, tableAlarmedAt: Number.NEGATIVE_INFINITY }, effects: [] };
    case "table-refused":
      return reportTable({ ...state, tableRetryAt: now + TABLE_RETRY_MS }, event.why, now);
    case "tick":
      return tick(settings, state, now);
  }
}

function prepareRound(
  settings: HolderSettings,
  state: HolderState,
  { round, token, leaseMs }: Extract<HolderEvent, { kind: "round-prepared" }>,
  now: number,
): HolderStep {
  if (state.leadership === "released" || !state.isTableSound) return { state, effects: [] };
  const alive = state.rounds.filter((lease) => now < endOf(lease) && lease.round !== round);
  const rounds = [...alive.slice(1 - ROUNDS_MAX), { round, token, leaseMs, preparedAt: now }];
  const leadership = state.leadership === "follower" ? "elected" : state.leadership;
  const prepared: HolderStep = {
    state: { ...state, leadership, rounds },
    effects: [{ kind: "add-live", token, leaseMs }],
  };
  // A leader exists only after every older promise ended, so no box of ours can answer this probe.
  if (!settings.hasVip || state.claim.kind !== "unproven") return prepared;
  return andThen(prepared, (next) => startProbe(next, now));
}

function becomeLeader(settings: HolderSettings, state: HolderState, term: number, now: number): HolderStep {
  if (state.leadership === "released" || (state.leadership === "leader" && term === state.term)) {
    return { state, effects: [] };
  }
  // A later term without a loss in between: what was confirmed belongs to the former one.
  const left: HolderStep = state.leadership === "leader" ? leave(state) : { state, effects: [] };
  return andThen(left, (next) => activate(settings, { ...next, leadership: "leader", term, leaderSince: now }, now));
}

/** Activates the newest confirmed token if everything that must hold does, and takes the address up or renews it. */
function activate(settings: HolderSettings, state: HolderState, now: number): HolderStep {
  const lease = state.confirmed;
  const isForVip = settings.hasVip && state.claim.kind === "free";
  if (state.leadership !== "leader" || !state.isTableSound || lease === undefined) return { state, effects: [] };
  if (now - state.apiAnsweredAt > settings.apiFreshMs || now >= endOf(lease)) {
    return { state, effects: [] };
  }
  if (state.active?.token === lease.token && state.active.isForVip === isForVip) return { state, effects: [] };

  const hasLapsed = state.active !== undefined && !isLeaseAlive(state, now);
  const incidents = hasLapsed ? { ...state.incidents, lapses: state.incidents.lapses + 1 } : state.incidents;
  const activated: HolderStep = {
    state: { ...state, incidents, active: { ...lease, isForVip } },
    effects: [{ kind: "activate", token: lease.token, isForVip }],
  };
  if (!isForVip) return activated;
  if (!state.hasAddress) return andThen(activated, (next) => takeAddress(settings, next, now));
  const announcing = hasLapsed || state.announcing === undefined ? { startedAt: now, sent: 0 } : state.announcing;
  const kept: HolderStep = { state: { ...activated.state, announcing }, effects: activated.effects };
  if (now - state.addressRenewedAt < ADDRESS_RENEWAL_MS) return kept;
  return andThen(kept, (next) => ({
    state: { ...next, addressRenewedAt: now },
    effects: [{ kind: "renew-address" }],
  }));
}

function takeAddress(settings: HolderSettings, state: HolderState, now: number): HolderStep {
  const taken: HolderStep = {
    state: {
      ...state,
      hasAddress: true,
      addressRenewedAt: now,
      isListening: false,
      listenAt: now + CONFLICT_SETTLE_MS,
      announcing: { startedAt: now, sent: 0 },
    },
    effects: [{ kind: "add-address" }],
  };
  // The probe runs beside: its answer, if a foreign device has the address, arrives as a conflict.
  return andThen(
    andThen(taken, (next) => announceDue(settings, next, now)),
    (next) => ({ state: next, effects: [{ kind: "send-probe" }] }),
  );
}

/** Ends VIP and power at once; the order of the effects is the promise: nothing passes before anything else happens. */
function leave(state: HolderState): HolderStep {
  const claim: Claim = state.claim.kind === "probing" ? { kind: "unproven" } : state.claim;
  return {
    state: {
      ...state,
      rounds: [],
      confirmed: undefined,
      active: undefined,
      hasAddress: false,
      announcing: undefined,
      transferAskedAt: Number.NEGATIVE_INFINITY,
      claim,
    },
    effects: [...(state.isTableSound ? [{ kind: "flush" } as const] : []), { kind: "delete-address" }],
  };
}

function meetConflict(
  settings: HolderSettings,
  state: HolderState,
  address: string,
  mac: string,
  now: number,
): HolderStep {
  // While another box leads, what announces the address is that box: it is this cluster's, and nobody has to be asked
  // before it becomes ours. Should it have been a stranger after all, the probe beside the take finds it.
  if (state.leadership === "follower" && state.claim.kind === "unproven")
    return { state: { ...state, claim: { kind: "free" } }, effects: [] };
  const isProbing = state.claim.kind === "probing";
  // After a pause another box may hold the address by right: only a lease of now makes the other one foreign.
  const isLeading = state.confirmed !== undefined && now < endOf(state.confirmed);
  if (!isLeading || !state.isListening || (!isProbing && !isHolding(state, now))) return { state, effects: [] };
  const text = `${mac} also says to have the virtual address ${address}`;
  const incidents = { ...state.incidents, conflicts: state.incidents.conflicts + 1 };
  if (settings.conflict === "defend") {
    if (now - state.defendedAt < DEFEND_INTERVAL_MS) return { state: { ...state, incidents }, effects: [] };
    const alarm: HolderEffect = { kind: "alarm", code: "vip-conflict", text: `${text}; defending it` };
    const answer: readonly HolderEffect[] = isProbing ? [] : [{ kind: "send-announcement" }];
    return { state: { ...state, incidents, defendedAt: now }, effects: [...answer, alarm] };
  }
  // The power gate keeps its token: a foreign device on the network must not stop fencing.
  const active = state.active === undefined ? undefined : { ...state.active, isForVip: false };
  const claim: Claim = { kind: "withheld", until: now + CONFLICT_HOLD_MS, mac };
  return {
    state: { ...state, incidents, active, claim, hasAddress: false, announcing: undefined },
    effects: [
      { kind: "flush-vip" },
      { kind: "delete-address" },
      { kind: "alarm", code: "vip-conflict", text: `${text}; releasing it, next try in ${CONFLICT_HOLD_MS / 1000} s` },
    ],
  };
}

function loseTable(state: HolderState, why: string, now: number): HolderStep {
  if (!state.isTableSound) return { state, effects: [] };
  const left = leave({ ...state, isTableSound: false });
  const incidents = { ...state.incidents, tableLosses: state.incidents.tableLosses + 1 };
  const lost: HolderStep = {
    state: { ...left.state, incidents, tableLostAt: now, tableRetryAt: now + TABLE_RETRY_MS },
    effects: left.effects,
  };
  const reported = andThen(lost, (next) => reportTable(next, why, now));
  return andThen(reported, (next) => ({ state: next, effects: [{ kind: "restore-table" }] }));
}

function reportTable(state: HolderState, why: string, now: number): HolderStep {
  if (now - state.tableAlarmedAt < TABLE_ALARM_INTERVAL_MS) return { state, effects: [] };
  const text = `The packet lease is not in force, so this box cannot hold the VIP: ${why}`;
  return { state: { ...state, tableAlarmedAt: now }, effects: [{ kind: "alarm", code: "vip-table", text }] };
}

function tick(settings: HolderSettings, state: HolderState, now: number): HolderStep {
  let next: HolderStep = { state, effects: [] };
  for (const duty of [retryTable, listen, advanceProbe, watchFitness, watchLapse, announceDue]) {
    next = andThen(next, (current) => duty(settings, current, now));
  }
  return next;
}

function retryTable(_settings: HolderSettings, state: HolderState, now: number): HolderStep {
  if (state.isTableSound || now < state.tableRetryAt) return { state, effects: [] };
  return { state: { ...state, tableRetryAt: now + TABLE_RETRY_MS }, effects: [{ kind: "restore-table" }] };
}

function startProbe(state: HolderState, now: number): HolderStep {
  return {
    state: {
      ...state,
      claim: { kind: "probing", startedAt: now, sent: 1 },
      isListening: false,
      listenAt: now + CONFLICT_SETTLE_MS,
    },
    effects: [{ kind: "send-probe" }],
  };
}

/** The first probe may be answered before this; the two that follow are asked while we listen. */
function listen(_settings: HolderSettings, state: HolderState, now: number): HolderStep {
  if (state.isListening || now < state.listenAt) return { state, effects: [] };
  return { state: { ...state, isListening: true }, effects: [{ kind: "forget-frames" }] };
}

function advanceProbe(settings: HolderSettings, state: HolderState, now: number): HolderStep {
  const { claim } = state;
  const isLeading = state.leadership === "elected" || state.leadership === "leader";
  if (claim.kind === "withheld" && isLeading && now >= claim.until) return startProbe(state, now);
  if (claim.kind !== "probing" || now < claim.startedAt + claim.sent * PROBE_INTERVAL_MS) return { state, effects: [] };
  if (claim.sent >= PROBE_COUNT) return activate(settings, { ...state, claim: { kind: "free" } }, now);
  return { state: { ...state, claim: { ...claim, sent: claim.sent + 1 } }, effects: [{ kind: "send-probe" }] };
}

/** A leader that cannot hold the address, for whatever reason, is the wrong leader. */
function watchFitness(settings: HolderSettings, state: HolderState, now: number): HolderStep {
  if (state.leadership !== "leader") return { state, effects: [] };
  const since = Math.max(state.leaderSince, state.transferAskedAt);
  const isApiDead = now - Math.max(since, state.apiAnsweredAt) > settings.apiDeadMs;
  const isTableDead = !state.isTableSound && now - Math.max(since, state.tableLostAt) > TABLE_DEAD_MS;
  if (!isApiDead && !isTableDead) return { state, effects: [] };
  const why = isApiDead
    ? `the API of this box has not answered for ${settings.apiDeadMs} ms`
    : `the packet lease of this box could not be built for ${TABLE_DEAD_MS} ms`;
  return {
    state: { ...state, transferAskedAt: now },
    effects: [
      { kind: "alarm", code: "vip-unfit", text: `Giving the leadership away: ${why}` },
      { kind: "transfer-leadership", why },
    ],
  };
}

function watchLapse(_settings: HolderSettings, state: HolderState, now: number): HolderStep {
  if (!state.hasAddress || isLeaseAlive(state, now)) return { state, effects: [] };
  const endedAt = state.active === undefined ? Number.NEGATIVE_INFINITY : endOf(state.active);
  const silenced = { ...state, announcing: undefined };
  if (now - endedAt < LAPSE_GRACE_MS) return { state: silenced, effects: [] };
  return { state: { ...silenced, hasAddress: false }, effects: [{ kind: "delete-address" }] };
}

/** Sends at most one announcement: a late tick does not send the missed ones in one go. */
function announceDue(settings: HolderSettings, state: HolderState, now: number): HolderStep {
  const { announcing } = state;
  if (announcing === undefined || !isHolding(state, now)) return { state, effects: [] };
  const burst = ANNOUNCE_BURST_MS[announcing.sent];
  const isDue = burst !== undefined && now >= announcing.startedAt + burst;
  // The interval also runs during the burst's last gap, so that no client waits longer than it.
  if (!isDue && now < state.announcedAt + settings.announceIntervalMs) return { state, effects: [] };
  let sent = announcing.sent;
  while (now >= announcing.startedAt + (ANNOUNCE_BURST_MS[sent] ?? Number.POSITIVE_INFINITY)) sent++;
  return {
    state: { ...state, announcedAt: now, announcing: { ...announcing, sent } },
    effects: [{ kind: "send-announcement" }],
  };
}

function andThen(done: HolderStep, more: (state: HolderState) => HolderStep): HolderStep {
  const next = more(done.state);
  return { state: next.state, effects: [...done.effects, ...next.effects] };
}
