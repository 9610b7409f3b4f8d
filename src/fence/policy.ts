import { HOST_STATE, hostStateName } from "../one/host/states.ts";

/** What the cluster's configuration says about fencing. Times in ms. */
export interface FencePolicy {
  /** What to do with a host that is silent to all boxes while its BMC or storage heartbeat shows it alive. */
  readonly isolated: "fence" | "hold";
  /** At most max(stormMin, stormShare × hosts) hosts get a power command within stormWindowMs. */
  readonly stormMin: number;
  readonly stormShare: number;
  readonly stormWindowMs: number;
  /** After that limit was reached: no further power command for this long. */
  readonly cooldownMs: number;
  /** `-p N`: how long a host must be agreed down before it is fenced; 0 = at once. */
  readonly patienceMs: number;
  /** `--no-fencing`: recover without a power command. */
  readonly isFencingWaived: boolean;
  /** A host that is switched on and that no box has heard since the boxes started gets this long to boot. */
  readonly bootPatienceMs: number;
  /** A BMC that has answered for less than this may not know its own host yet (it reads `off` while it starts). */
  readonly bmcUpMs: number;
}

export const FENCE_POLICY_DEFAULT: FencePolicy = {
  isolated: "fence",
  stormMin: 2,
  stormShare: 0.25,
  // Five minutes: a second wave of one cause comes within minutes, independent failures do not.
  stormWindowMs: 300_000,
  cooldownMs: 60_000,
  patienceMs: 0,
  isFencingWaived: false,
  // Servers with much memory test it for minutes; after a power failure of the whole rack the boxes are up long before.
  bootPatienceMs: 300_000,
  bmcUpMs: 60_000,
};

/** The remaining lease that a power command needs: from the check to the last byte in the kernel (vip.md section 1). */
export const SEND_DEADLINE_MS = 50;

/** Tags of a host's template that name what it shares with others. */
export const DOMAIN_TAGS = ["RACK", "SWITCH", "PDU"] as const;

export type BmcPower = "on" | "off" | "silent" | "unknown";

/** A host that is silent now, as far as the storm gates need to know it. */
export interface Suspect {
  readonly hostId: number;
  readonly bmcPower: BmcPower;
  /** `RACK=r1`, `SWITCH=s2` … */
  readonly domains: readonly string[];
}

export interface GateInput {
  readonly now: number;
  readonly policy: FencePolicy;
  readonly hostId: number;
  readonly hostState: number;
  readonly verdict: "down" | "isolated";
  /** Since when it is agreed down, same clock as `now`. */
  readonly downSinceAt: number;
  /** No box that misses it has heard it since it started itself. */
  readonly isNeverHeard: boolean;
  readonly bmcPower: BmcPower;
  readonly domains: readonly string[];
  readonly leaseRemainingMs: number;
  readonly setting: { readonly isArmed: boolean; readonly changedBy: string; readonly why: string };
  /** Why no method can be used by itself, with the command that helps; undefined when one can. */
  readonly notReady: string | undefined;
  /** All silent hosts, this one included. */
  readonly suspects: readonly Suspect[];
  readonly hostCount: number;
  /** When which other host got its first power command, newest last; kept for window + cooldown. */
  readonly powerCommands: readonly { readonly hostId: number; readonly at: number }[];
  /** VMs of the host and how many of them fit elsewhere; undefined when it is not known. */
  readonly capacity: { readonly vms: number; readonly placeable: number } | undefined;
}

export type GateName =
  | "maintenance"
  | "armed"
  | "patience"
  | "booting"
  | "isolated"
  | "bmc-ready"
  | "domain"
  | "storm"
  | "cooldown"
  | "capacity"
  | "lease";

/** One gate's answer. A gate that stays shut keeps the host HELD with this reason on the record. */
export interface GateAnswer {
  readonly gate: GateName;
  readonly isOpen: boolean;
  readonly reason: string;
  /** Shut, but opens by itself in moments: waited for in memory, not put on the record. */
  readonly isBrief: boolean;
}

/**
 * Every gate before INTENT, in the order in which a person would ask. All fail closed (what is not known keeps the gate
 * shut), but for `capacity`, which fails open: not knowing whether there is room is no reason to leave VMs down.
 */
export function askGates(input: GateInput): readonly GateAnswer[] {
  return GATES.map(({ gate, ask, isBrief }) => {
    const shut = ask(input);
    return { gate, isOpen: shut === undefined, reason: shut ?? "", isBrief: isBrief ?? false };
  });
}

/** The first gate that is shut; undefined when all are open. */
export function firstShut(answers: readonly GateAnswer[]): GateAnswer | undefined {
  return answers.find((answer) => !answer.isOpen);
}

/** The most hosts that may get a power command within the window. */
export function stormLimit(policy: FencePolicy, hostCount: number): number {
  return Math.max(policy.stormMin, Math.floor(policy.stormShare * hostCount));
}

type Gate = { gate: GateName; ask: (input: GateInput) => string | undefined; isBrief?: boolean };

const GATES: readonly Gate[] = [
  { gate: "maintenance", ask: maintenance },
  { gate: "armed", ask: armed },
  { gate: "patience", ask: patience, isBrief: true },
  { gate: "booting", ask: booting },
  { gate: "isolated", ask: isolated },
  { gate: "bmc-ready", ask: bmcReady },
  { gate: "domain", ask: domain },
  { gate: "storm", ask: storm },
  { gate: "cooldown", ask: cooldown },
  { gate: "capacity", ask: capacity },
  { gate: "lease", ask: lease, isBrief: true },
];

function maintenance(input: GateInput): string | undefined {
  if (input.hostState !== HOST_STATE.disabled && input.hostState !== HOST_STATE.offline) return undefined;
  return `the host is ${hostStateName(input.hostState)}: a person works on it; \`onehost enable ${input.hostId}\` ends that`;
}

function armed({ setting }: GateInput): string | undefined {
  if (setting.isArmed) return undefined;
  const why = setting.why === "" ? "" : ` (${setting.why})`;
  return `fencing was disarmed by ${setting.changedBy}${why}; \`ringfence fence arm\` ends that`;
}

function patience(input: GateInput): string | undefined {
  const waitedMs = input.now - input.downSinceAt;
  if (waitedMs >= input.policy.patienceMs) return undefined;
  return `-p waits ${input.policy.patienceMs - waitedMs} ms more`;
}

/** After a power failure of the whole rack its hosts come back later than the boxes: an off would end them as they boot. */
function booting(input: GateInput): string | undefined {
  const { isNeverHeard, policy, now, downSinceAt } = input;
  if (!isNeverHeard || input.bmcPower !== "on" || now - downSinceAt >= policy.bootPatienceMs) return undefined;
  return `its BMC reads on and no box has heard it since it started: it has ${policy.bootPatienceMs / 1000} s to boot`;
}

function isolated(input: GateInput): string | undefined {
  if (input.verdict !== "isolated" || input.policy.isolated === "fence") return undefined;
  return "the host is cut off but alive, and ISOLATED = hold";
}

function bmcReady(input: GateInput): string | undefined {
  return input.policy.isFencingWaived ? undefined : input.notReady;
}

/**
 * All silent hosts share one switch, rack or PDU: one cause. BMCs that answer *on* say that it is the network, BMCs that
 * answer *off* that it is the power; when they are silent too, only the PDU or a person can tell.
 */
function domain(input: GateInput): string | undefined {
  if (isOffAlready(input) || input.suspects.length < 2) return undefined;
  const shared = input.domains.find((tag) => input.suspects.every((suspect) => suspect.domains.includes(tag)));
  if (shared === undefined) return undefined;
  const count = `all ${input.suspects.length} silent hosts share ${shared}`;
  const help = `\`ringfence fence confirm --${shared.replace("=", " ").toLowerCase()}\` answers for all of them`;
  if (input.bmcPower === "on") return `${count} and its BMC reads on: a network failure; ${help}`;
  return `${count} and its BMC is ${input.bmcPower}: power or network? ${help}`;
}

function storm(input: GateInput): string | undefined {
  if (isOffAlready(input)) return undefined;
  const limit = stormLimit(input.policy, input.hostCount);
  const recent = hostsWithin(input, input.now);
  if (recent < limit) return undefined;
  return `${recent} hosts got a power command within ${input.policy.stormWindowMs / 1000} s, the limit is ${limit}`;
}

function cooldown(input: GateInput): string | undefined {
  if (isOffAlready(input)) return undefined;
  const limit = stormLimit(input.policy, input.hostCount);
  // The limit can only have been reached at the instant of a command or lasted for the window after it.
  const reached = input.powerCommands.filter(({ at }) => hostsWithin(input, at) >= limit);
  const last = reached.at(-1);
  if (last === undefined) return undefined;
  const waitMs = last.at + input.policy.stormWindowMs + input.policy.cooldownMs - input.now;
  return waitMs > 0 ? `a storm of failures ended less than ${input.policy.cooldownMs / 1000} s ago` : undefined;
}

function capacity(input: GateInput): string | undefined {
  const found = input.capacity;
  if (isOffAlready(input) || found === undefined || found.vms === 0 || found.placeable > 0) return undefined;
  return `none of its ${found.vms} VMs fits on another host: powering it off would only stop them`;
}

function lease(input: GateInput): string | undefined {
  if (input.leaseRemainingMs > SEND_DEADLINE_MS) return undefined;
  return `the leader lease has ${Math.max(0, input.leaseRemainingMs)} ms left, a power command needs ${SEND_DEADLINE_MS}`;
}

/** Storm gates guard power commands, never recovery: a host that its BMC calls off goes on and does not count. */
function isOffAlready(input: GateInput): boolean {
  return input.bmcPower === "off" || input.policy.isFencingWaived;
}

/** Other hosts with a power command in the window that ends at `at`. */
function hostsWithin(input: GateInput, at: number): number {
  const hosts = input.powerCommands
    .filter((command) => command.at <= at && command.at > at - input.policy.stormWindowMs)
    .map((command) => command.hostId);
  return new Set(hosts.filter((hostId) => hostId !== input.hostId)).size;
}
