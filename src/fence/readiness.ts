import { errorChain } from "../base/error.ts";
import { type Device, MANUAL } from "./configuration.ts";
import { compareGuid } from "./identity.ts";
import type { DeviceCheck, FenceMethod } from "./methods/types.ts";
import type { BmcPower } from "./policy.ts";
import type { Clock } from "./ports.ts";

/** One host's BMC as this box knows it. Goes to the leader with the heartbeat answers. */
export interface Readiness {
  readonly hostId: number;
  readonly isReady: boolean;
  /** What is wrong, or what to mend; "" when nothing is. */
  readonly reason: string;
  readonly findings: readonly string[];
  readonly power: BmcPower;
  /** 32 hex digits; "" when it was not read. What `fence bind` shows. */
  readonly guid: string;
  /** For how long it has answered without a gap. */
  readonly answeringForMs: number;
  /** This box saw it silent before that; false: that is only since when this box asks. */
  readonly wasSilent: boolean;
  /** How old all this is. */
  readonly ageMs: number;
}

/** A host as readiness sees it: its devices and the GUID that is bound to it. */
export interface CheckedHost {
  readonly hostId: number;
  readonly devices: readonly Device[];
  readonly guid: string;
  /** It is being powered off: that session has its BMC alone. What is known of it stays known. */
  readonly isBusy: boolean;
}

/** What readiness needs of its box: it runs on every box, leader or not. */
export interface ReadinessPorts {
  /** Every host that is known; one that is left out is forgotten. */
  hosts(): Promise<readonly CheckedHost[]>;
  /** Whether this box may open a session with that host's BMC now: {@link readinessTurn}. */
  isMyTurn(hostId: number): boolean;
  readonly methods: ReadonlyMap<string, FenceMethod>;
  readonly clock: Clock;
  unseal(text: string): string;
  /** Where a state that cannot be read is told; without it the results grow old, which makes every host not ready. */
  alert?(text: string): void;
}

export interface ReadinessDriver {
  of(hostId: number): Readiness | undefined;
  all(): readonly Readiness[];
  /** At once, out of turn: a host fell silent and its BMC may know why. At most one session a BMC at a time. */
  probe(hostId: number): Promise<Readiness | undefined>;
  stop(): Promise<void>;
}

/** Firmware that is asked more often than this was seen to crash. */
export const CHECK_SPACING_MS = 5_000;
/** A result that is older says nothing any more; also a gap in `answeringForMs`. */
export const READINESS_AGE_MS_MAX = 60_000;
const ROUND_MS = 1_000;
/**
 * A check that failed is repeated in the next round, out of turn. A BMC that answers again within this time was busy or
 * lost a packet: one that restarts, whose *off* would mean nothing, is silent for ten seconds and more.
 */
export const RESUME_MS_MAX = 5_000;

/**
 * Whose turn it is at a BMC: time is cut into slots of {@link CHECK_SPACING_MS}, each slot of each host belongs to one
 * box, so that no BMC ever sees two sessions at once. `sharedMs`: a clock that all boxes share closely enough, for
 * instance the leader's heartbeat round times its interval; the first and last half second of a slot stay empty.
 */
export function readinessTurn(sharedMs: number, hostId: number, boxIndex: number, boxCount: number): boolean {
  const slot = Math.floor(sharedMs / CHECK_SPACING_MS);
  const within = sharedMs - slot * CHECK_SPACING_MS;
  if (within < 500 || within > CHECK_SPACING_MS - 3_000) return false;
  return (slot + hostId) % boxCount === boxIndex;
}

/** What one box knows of a BMC's life; see {@link answeringTogether}. */
export type BmcLife = Pick<Readiness, "answeringForMs" | "wasSilent">;

/**
 * For how long a BMC has answered without a gap, as all boxes together know it, ms. A box that has just started knows little, and another
 * one's longer memory counts; but a silence that any box saw counts against all longer memories, which may have missed it.
 * Boxes that it does not answer now say nothing: it may be their own cable.
 */
export function answeringTogether(lives: readonly BmcLife[]): number {
  const answering = lives.filter((life) => life.answeringForMs > 0);
  const silences = answering.filter((life) => life.wasSilent);
  if (silences.length > 0) return Math.min(...silences.map((life) => life.answeringForMs));
  return Math.max(0, ...answering.map((life) => life.answeringForMs));
}

interface Known {
  readonly check: DeviceCheck | undefined;
  readonly reason: string;
  readonly at: number;
  readonly answeringSinceAt: number | undefined;
  readonly wasSilent: boolean;
  /** It answered until this check failed: since then, if the next check shows that this was no restart. */
  readonly resumableSinceAt: number | undefined;
}

/** Starts the checks of all hosts, one session a BMC, one host after the other's own pace. */
export function createReadiness(ports: ReadinessPorts): ReadinessDriver {
  return new Driver(ports);
}

class Driver implements ReadinessDriver {
  readonly #ports: ReadinessPorts;
  readonly #known = new Map<number, Known>();
  readonly #checking = new Map<number, Promise<void>>();
  readonly #abort = new AbortController();
  #cancelTimer: () => void;
  #round: Promise<void> = Promise.resolve();

  constructor(ports: ReadinessPorts) {
    this.#ports = ports;
    this.#cancelTimer = ports.clock.after(0, () => this.#next());
  }

  of(hostId: number): Readiness | undefined {
    const known = this.#known.get(hostId);
    if (known === undefined) return undefined;
    const now = this.#ports.clock.now();
    const ageMs = now - known.at;
    const { check } = known;
    return {
      hostId,
      isReady: check !== undefined && known.reason === "" && ageMs <= READINESS_AGE_MS_MAX,
      reason: known.reason,
      findings: check?.findings ?? [],
      power: check === undefined ? "silent" : ageMs <= READINESS_AGE_MS_MAX ? check.power : "unknown",
      guid: check?.guid ?? "",
      answeringForMs: known.answeringSinceAt === undefined ? 0 : now - known.answeringSinceAt,
      wasSilent: known.wasSilent,
      ageMs,
    };
  }

  all(): readonly Readiness[] {
    return [...this.#known.keys()].flatMap((hostId) => this.of(hostId) ?? []);
  }

  async probe(hostId: number): Promise<Readiness | undefined> {
    const host = (await this.#ports.hosts()).find((found) => found.hostId === hostId);
    if (host?.isBusy === false) await this.#check(host);
    return this.of(hostId);
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#cancelTimer();
    await this.#round;
    await Promise.allSettled(this.#checking.values());
  }

  #next(): void {
    this.#round = this.#checkDue()
      .catch((error: unknown) => this.#ports.alert?.(`Cannot check the BMCs: ${errorChain(error)}`))
      .finally(() => {
        if (!this.#abort.signal.aborted) this.#cancelTimer = this.#ports.clock.after(ROUND_MS, () => this.#next());
      });
  }

  async #checkDue(): Promise<void> {
    const hosts = await this.#ports.hosts();
    const ids = new Set(hosts.map(({ hostId }) => hostId));
    for (const hostId of this.#known.keys()) if (!ids.has(hostId)) this.#known.delete(hostId);
    const now = this.#ports.clock.now();
    for (const host of hosts) {
      const known = this.#known.get(host.hostId);
      const isDue = known === undefined || now - known.at >= CHECK_SPACING_MS;
      const isMyTurn = known?.resumableSinceAt !== undefined || (isDue && this.#ports.isMyTurn(host.hostId));
      // Not awaited: a dead BMC takes its two seconds without holding up the others.
      if (isMyTurn && !host.isBusy) void this.#check(host);
    }
  }

  /** One session at a time with a BMC; a second caller waits for the first one's result. */
  #check(host: CheckedHost): Promise<void> {
    const running = this.#checking.get(host.hostId);
    if (running !== undefined) return running;
    const check = this.#checkHost(host).finally(() => this.#checking.delete(host.hostId));
    this.#checking.set(host.hostId, check);
    return check;
  }

  async #checkHost(host: CheckedHost): Promise<void> {
    const before = this.#known.get(host.hostId);
    const device = host.devices.find(({ method }) => method !== MANUAL);
    if (device === undefined) {
      this.#known.delete(host.hostId);
      return;
    }
    const { clock } = this.#ports;
    try {
      const method = this.#ports.methods.get(device.method);
      if (method === undefined) throw new Error(`METHOD "${device.method}" is not known`);
      const check = await method.check({
        device,
        password: device.sealedPassword === "" ? "" : this.#ports.unseal(device.sealedPassword),
        signal: this.#abort.signal,
        now: () => clock.now(),
        wait: (ms) => new Promise((resolve) => clock.after(ms, resolve)),
      });
      const at = clock.now();
      const answeringSinceAt = sinceWhen(before, at);
      const reason = identityProblem(host.guid, check.guid);
      // Beginning anew after a failed check is a silence that was seen; after a pause of ours it is only unknown.
      const wasSilent =
        answeringSinceAt === at ? before?.check === undefined && before !== undefined : (before?.wasSilent ?? false);
      this.#known.set(host.hostId, { check, reason, at, answeringSinceAt, wasSilent, resumableSinceAt: undefined });
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      const reason = errorChain(error);
      if (before?.resumableSinceAt !== undefined)
        this.#ports.alert?.(`the BMC of host ${host.hostId} cannot be used any more: ${reason}`);
      this.#known.set(host.hostId, {
        check: undefined,
        reason,
        at: clock.now(),
        answeringSinceAt: undefined,
        wasSilent: before?.wasSilent ?? false,
        resumableSinceAt: before?.answeringSinceAt,
      });
    }
  }
}

/** Since when a BMC that answers at `at` has done so without a restart in between. */
function sinceWhen(before: Known | undefined, at: number): number {
  if (before?.resumableSinceAt !== undefined && at - before.at <= RESUME_MS_MAX) return before.resumableSinceAt;
  if (before?.answeringSinceAt === undefined || at - before.at > READINESS_AGE_MS_MAX) return at;
  return before.answeringSinceAt;
}

function identityProblem(bound: string, read: string): string {
  if (bound === "") return "not bound: `ringfence fence bind` stores its identity";
  return compareGuid(read, bound) === "different" ? `it has GUID ${read}, bound is ${bound}` : "";
}
