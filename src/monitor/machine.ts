/** How long is too long, in ms. One value each for the whole cluster. */
export interface MonitorLimits {
  /** Silence of the loop that makes a suspect. */
  readonly suspectMs: number;
  /** The same when the host's BMC says *off*. */
  readonly suspectOffMs: number;
  /** Age of the last finished disk write that makes a host degraded: stalled fsyncs of many seconds are normal life. */
  readonly diskMs: number;
  /** The same for an answer of libvirtd: an upgrade of libvirt takes half a minute. */
  readonly libvirtMs: number;
  /** Age at which one restart of libvirtd is tried. */
  readonly libvirtRestartMs: number;
}

export const DEFAULT_LIMITS: MonitorLimits = {
  suspectMs: 2000,
  suspectOffMs: 1000,
  diskMs: 20_000,
  libvirtMs: 60_000,
  libvirtRestartMs: 30_000,
};

/** fencing.md section 1: who heard nobody else in this time may be the sick one. */
export const HEARD_OTHERS_WITHIN_MS = 2000;
/** One beacon interval and half of one for jitter: a line that was sent this much later was not cut off by the same event. */
export const WITNESS_AFTER_MS = 750;
/** A host that this box never heard counts as silent after this: time for connections to be made after a start. */
export const NEVER_HEARD_MS = 10_000;
/** Evaluations are 100 ms apart; after a gap of this length the box itself stood still and its silence is its own. */
export const OWN_GAP_MS = 1000;
/** A BMC's answer, or a look at the storage beat, is news for this long. */
export const EVIDENCE_FRESH_MS = 2000;
/**
 * How fast the smallest seen difference of the clocks may rise: 2 ms/s is four times what two clocks under NTP's care (500 ppm
 * each) can do, and small beside the silence that is looked for.
 */
const CLOCK_DRIFT_MAX = 0.002;

/** One way to a host: what was heard on it. */
interface Path {
  /** Smallest difference seen, our clock less the host's uptime, allowed to rise slowly: the fastest line had no delay. */
  readonly offsetMs: number;
  readonly offsetAt: number;
}

interface Beat {
  readonly text: string;
  readonly firstAt: number;
  readonly lastAt: number;
  /** It replaced another text: a beat was written between two reads. */
  readonly hasChanged: boolean;
}

interface HostState {
  readonly addedAt: number;
  readonly bootId: string | undefined;
  readonly paths: ReadonlyMap<number, Path>;
  /** When the freshest line was *sent*, by our clock. */
  readonly answeredAt: number | undefined;
  /** In the host's uptime. */
  readonly uptimeMs: number;
  readonly libvirtUptimeMs: number;
  readonly diskUptimeMs: number;
  readonly bmc: { readonly power: "on" | "off"; readonly at: number } | undefined;
  readonly storage: Beat | undefined;
  /** One restart of libvirtd an episode. */
  readonly wasRestartTried: boolean;
}

export interface MonitorState {
  readonly hosts: ReadonlyMap<number, HostState>;
  readonly evaluatedAt: number | undefined;
  /** Until then this box has not listened long enough since it stood still itself. */
  readonly blindUntil: number;
}

export type MonitorEvent =
  | { readonly kind: "host-added"; readonly hostId: number }
  | { readonly kind: "host-removed"; readonly hostId: number }
  /** A loop began on a path. */
  | { readonly kind: "loop-began"; readonly hostId: number; readonly path: number; readonly bootId: string }
  | {
      readonly kind: "line-heard";
      readonly hostId: number;
      readonly path: number;
      readonly uptimeMs: number;
      readonly libvirtUptimeMs: number | null;
      readonly diskUptimeMs: number | null;
    }
  | { readonly kind: "bmc-answered"; readonly hostId: number; readonly power: "on" | "off" }
  | { readonly kind: "storage-read"; readonly hostId: number; readonly beat: string };

/** What this box knows of one host at one moment. Ages in ms. */
export interface HostVerdict {
  readonly hostId: number;
  readonly kind: "answering" | "degraded" | "suspect" | "unheard";
  /** Since the freshest line was sent; null: never heard by this box. */
  readonly answerAgeMs: number | null;
  /** By the host's own word, now. Null: never heard. */
  readonly libvirtAgeMs: number | null;
  readonly diskAgeMs: number | null;
  /** This box heard another host or a BMC within the same 2 s and did not stand still itself: its silence means something. */
  readonly counts: boolean;
  /** The BMC's answer, when it is news. */
  readonly bmc: "on" | "off" | "unknown";
  /** `beating`: written `ageMs` ago or later. `stopped`: no beat for at least `ageMs`. `unknown`: no file, no reader, too early. */
  readonly storage: { readonly kind: "beating" | "stopped" | "unknown"; readonly ageMs: number };
}

export type MonitorEffect = { readonly kind: "restart-libvirtd"; readonly hostId: number };

export function initialState(): MonitorState {
  return { hosts: new Map(), evaluatedAt: undefined, blindUntil: 0 };
}

/** Takes in one thing that was heard. `now` is when this process saw it. */
export function step(state: MonitorState, event: MonitorEvent, now: number): MonitorState {
  const hosts = new Map(state.hosts);
  if (event.kind === "host-removed") {
    hosts.delete(event.hostId);
    return { ...state, hosts };
  }
  if (event.kind === "host-added") {
    if (!hosts.has(event.hostId)) hosts.set(event.hostId, newHost(now));
    return { ...state, hosts };
  }
  const host = hosts.get(event.hostId);
  if (host === undefined) return state;
  hosts.set(event.hostId, stepHost(host, event, now));
  return { ...state, hosts };
}

function newHost(now: number): HostState {
  return {
    addedAt: now,
    bootId: undefined,
    paths: new Map(),
    answeredAt: undefined,
    uptimeMs: 0,
    libvirtUptimeMs: 0,
    diskUptimeMs: 0,
    bmc: undefined,
    storage: undefined,
    wasRestartTried: false,
  };
}

type HostEvent = Exclude<MonitorEvent, { readonly kind: "host-added" | "host-removed" }>;

function stepHost(host: HostState, event: HostEvent, now: number): HostState {
  switch (event.kind) {
    case "loop-began":
      return loopBegan(host, event.path, event.bootId);
    case "line-heard":
      return lineHeard(host, event, now);
    case "bmc-answered":
      return { ...host, bmc: { power: event.power, at: now } };
    case "storage-read":
      return { ...host, storage: storageRead(host.storage, event.beat, now) };
  }
}

function loopBegan(host: HostState, path: number, bootId: string): HostState {
  if (host.bootId === bootId) {
    const paths = new Map(host.paths);
    paths.delete(path);
    return { ...host, paths };
  }
  // Another boot, another uptime: nothing that was said in the old one can be compared.
  return {
    ...host,
    bootId,
    paths: new Map(),
    uptimeMs: 0,
    libvirtUptimeMs: 0,
    diskUptimeMs: 0,
    wasRestartTried: false,
  };
}

/**
 * A line is as old as its way was long. It carries the host's uptime: the line with the smallest (arrival − uptime) came straight,
 * and what another one has more it spent in a queue: of a stalled network, or of this box while it stood still itself.
 * So a late line is silence until the moment it was sent, not an answer now.
 */
function lineHeard(host: HostState, event: HostEvent & { readonly kind: "line-heard" }, now: number): HostState {
  const known = host.paths.get(event.path);
  const candidate = now - event.uptimeMs;
  const risen = known === undefined ? candidate : known.offsetMs + (now - known.offsetAt) * CLOCK_DRIFT_MAX;
  const offsetMs = Math.min(candidate, risen);
  const sentAt = Math.min(now, event.uptimeMs + offsetMs);
  const paths = new Map(host.paths).set(event.path, { offsetMs, offsetAt: now });
  // A service that did not answer yet is measured from the loop's first line.
  const first = host.uptimeMs === 0 ? event.uptimeMs : 0;
  const libvirtUptimeMs = Math.max(host.libvirtUptimeMs, event.libvirtUptimeMs ?? first);
  return {
    ...host,
    paths,
    answeredAt: Math.max(host.answeredAt ?? sentAt, sentAt),
    uptimeMs: Math.max(host.uptimeMs, event.uptimeMs),
    libvirtUptimeMs,
    diskUptimeMs: Math.max(host.diskUptimeMs, event.diskUptimeMs ?? first),
    wasRestartTried: host.wasRestartTried && libvirtUptimeMs === host.libvirtUptimeMs,
  };
}

function storageRead(known: Beat | undefined, text: string, now: number): Beat {
  // Reads that are far apart do not tell when the text changed between them.
  const isContinued = known !== undefined && now - known.lastAt <= EVIDENCE_FRESH_MS;
  if (!isContinued) return { text, firstAt: now, lastAt: now, hasChanged: false };
  if (known.text === text) return { ...known, lastAt: now };
  return { text, firstAt: now, lastAt: now, hasChanged: true };
}

/** This box's verdict on every host at `now`, and what should be tried. */
export function evaluate(
  state: MonitorState,
  limits: MonitorLimits,
  now: number,
): {
  readonly state: MonitorState;
  readonly verdicts: readonly HostVerdict[];
  readonly effects: readonly MonitorEffect[];
} {
  const gapMs = state.evaluatedAt === undefined ? 0 : now - state.evaluatedAt;
  const blindUntil = gapMs > OWN_GAP_MS ? now + HEARD_OTHERS_WITHIN_MS : state.blindUntil;
  const isBlind = now < blindUntil;
  const verdicts: HostVerdict[] = [];
  const effects: MonitorEffect[] = [];
  const hosts = new Map(state.hosts);
  for (const [hostId, host] of state.hosts) {
    const verdict = judge(hostId, host, limits, now, !isBlind && heardAnother(state.hosts, hostId, now));
    verdicts.push(verdict);
    const isHung = verdict.libvirtAgeMs !== null && verdict.libvirtAgeMs >= limits.libvirtRestartMs;
    if (verdict.kind !== "suspect" && isHung && !host.wasRestartTried) {
      effects.push({ kind: "restart-libvirtd", hostId });
      hosts.set(hostId, { ...host, wasRestartTried: true });
    }
  }
  return { state: { hosts, evaluatedAt: now, blindUntil }, verdicts, effects };
}

function judge(hostId: number, host: HostState, limits: MonitorLimits, now: number, counts: boolean): HostVerdict {
  const bmc = host.bmc !== undefined && now - host.bmc.at <= EVIDENCE_FRESH_MS ? host.bmc.power : "unknown";
  const storage = judgeStorage(host.storage, now);
  if (host.answeredAt === undefined) {
    const kind = now - host.addedAt > NEVER_HEARD_MS ? "suspect" : "unheard";
    return { hostId, kind, answerAgeMs: null, libvirtAgeMs: null, diskAgeMs: null, counts, bmc, storage };
  }
  const answerAgeMs = Math.max(0, now - host.answeredAt);
  const libvirtAgeMs = answerAgeMs + host.uptimeMs - host.libvirtUptimeMs;
  const diskAgeMs = answerAgeMs + host.uptimeMs - host.diskUptimeMs;
  const isSilent = answerAgeMs > (bmc === "off" ? limits.suspectOffMs : limits.suspectMs);
  const isDegraded = libvirtAgeMs > limits.libvirtMs || diskAgeMs > limits.diskMs;
  const kind = isSilent ? "suspect" : isDegraded ? "degraded" : "answering";
  return { hostId, kind, answerAgeMs, libvirtAgeMs, diskAgeMs, counts, bmc, storage };
}

/** Only differences between reads count, so no clock but ours is trusted. */
function judgeStorage(beat: Beat | undefined, now: number): HostVerdict["storage"] {
  if (beat === undefined || now - beat.lastAt > EVIDENCE_FRESH_MS) return { kind: "unknown", ageMs: 0 };
  const unchangedMs = beat.lastAt - beat.firstAt;
  if (unchangedMs >= STORAGE_STOPPED_MS) return { kind: "stopped", ageMs: unchangedMs };
  return beat.hasChanged ? { kind: "beating", ageMs: now - beat.firstAt } : { kind: "unknown", ageMs: unchangedMs };
}

/** Beats are 1 s apart and a write may take another half: two are missing. */
const STORAGE_STOPPED_MS = 2500;

/**
 * Whether any other host's line was sent, or any BMC answered, within the last 2 s *and* clearly after this host's last line. Without
 * the second half a box that loses all hosts at once (its own cable, a switch) would witness against each host in turn: their last
 * lines lie up to one interval apart.
 */
function heardAnother(hosts: MonitorState["hosts"], hostId: number, now: number): boolean {
  const lastAt = hosts.get(hostId)?.answeredAt;
  const earliestAt = Math.max(now - HEARD_OTHERS_WITHIN_MS, lastAt === undefined ? 0 : lastAt + WITNESS_AFTER_MS);
  for (const [otherId, other] of hosts) {
    if (other.bmc !== undefined && other.bmc.at >= earliestAt) return true;
    if (otherId !== hostId && other.answeredAt !== undefined && other.answeredAt >= earliestAt) return true;
  }
  return false;
}
