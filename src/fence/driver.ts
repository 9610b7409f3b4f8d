import type { Change, Outcome } from "../base/entry.ts";
import { errorChain } from "../base/error.ts";
import { merge } from "../one/change.ts";
import type { HostRow } from "../one/host/row.ts";
import { HOST_STATE } from "../one/host/states.ts";
import { hostLost } from "../one/host/transitions.ts";
import { createFence, step } from "./machine.ts";
import type { FenceEffect, FenceEvent, FenceState } from "./machine-types.ts";
import type { FencePolicy } from "./policy.ts";
import type { FencePorts } from "./ports.ts";
import { closeSessions, PowerSessions, type PowerSlot } from "./power-sessions.ts";
import { armedGuard, type FenceRow, isOpen, type Marks } from "./record.ts";
import { recordChange } from "./record-change.ts";
import { isSettled } from "./settled.ts";
import { type HostSurvey, lostReason, type Survey, surveyHosts } from "./survey.ts";

/** Fencing at the leader: one machine a host, several hosts side by side, one effect a host at a time. */
export interface FenceDriver {
  /** Something changed: a verdict, a record, the lease. Cheap; looks are merged. */
  wake(): void;
  /** No command of any leader can hit the host any more: its record may be closed, the host put to use (C). */
  isSettled(hostId: number): boolean;
  /** Ends every session and timer at once; resolves when nothing of ours runs any more. */
  stop(): Promise<void>;
}

/** A look at all hosts without a reason: the backstop if a wake was lost. */
const LOOK_MS_IDLE = 1_000;
/** While any host is in doubt. */
const LOOK_MS_BUSY = 100;

interface Slot extends PowerSlot {
  state: FenceState;
  record: FenceRow | undefined;
  /** The look during or before which the last effect ended. */
  eventAtLook: number;
}

/** Starts fencing as the leader of `epoch`, which must have applied its own no-op. */
export function createFenceDriver(ports: FencePorts, policy: FencePolicy, epoch: number): FenceDriver {
  const driver = new Driver(ports, policy, epoch);
  driver.wake();
  return driver;
}

class Driver implements FenceDriver {
  readonly #ports: FencePorts;
  readonly #policy: FencePolicy;
  readonly #epoch: number;
  readonly #slots = new Map<number, Slot>();
  readonly #abort = new AbortController();
  readonly #sessions: PowerSessions;
  readonly #running = new Set<Promise<void>>();
  #powerCommands: { hostId: number; at: number }[] = [];
  #cancelTimer: () => void = () => undefined;
  #isLooking = false;
  #isLookWanted = false;
  #isBusy = false;
  #hasSeeded = false;
  #looks = 0;

  constructor(ports: FencePorts, policy: FencePolicy, epoch: number) {
    this.#ports = ports;
    this.#policy = policy;
    this.#epoch = epoch;
    this.#sessions = new PowerSessions(ports, policy, this.#abort.signal, (hostId) =>
      this.#powerCommands.push({ hostId, at: ports.clock.now() }),
    );
  }

  wake(): void {
    if (this.#abort.signal.aborted) return;
    this.#isLookWanted = true;
    if (!this.#isLooking) this.#run(this.#lookWhileWanted());
  }

  isSettled(hostId: number): boolean {
    const slot = this.#slots.get(hostId);
    return slot?.record !== undefined && isSettled(slot.state, slot.record, this.#ports.clock.now());
  }

  async stop(): Promise<void> {
    this.#abort.abort();
    this.#cancelTimer();
    for (const slot of this.#slots.values()) closeSessions(slot);
    while (this.#running.size > 0) await Promise.allSettled([...this.#running]);
  }

  /** Keeps hold of what runs, so that stop can wait for it and no promise floats. */
  #run(work: Promise<void>): void {
    const kept = work
      .catch((error: unknown) => this.#ports.alert(`fencing: ${errorChain(error)}`))
      .finally(() => this.#running.delete(kept));
    this.#running.add(kept);
  }

  async #lookWhileWanted(): Promise<void> {
    this.#isLooking = true;
    try {
      while (this.#isLookWanted && !this.#abort.signal.aborted) {
        this.#isLookWanted = false;
        await this.#look();
      }
    } finally {
      this.#isLooking = false;
      this.#cancelTimer();
      if (!this.#abort.signal.aborted) {
        const pauseMs = this.#isBusy ? LOOK_MS_BUSY : LOOK_MS_IDLE;
        this.#cancelTimer = this.#ports.clock.after(pauseMs, () => this.wake());
      }
    }
  }

  async #look(): Promise<void> {
    this.#looks++;
    const now = this.#ports.clock.now();
    const keepMs = this.#policy.stormWindowMs + this.#policy.cooldownMs;
    this.#powerCommands = this.#powerCommands.filter(({ at }) => at > now - keepMs);
    const survey = await surveyHosts(this.#ports, this.#policy, this.#powerCommands);
    if (this.#abort.signal.aborted) return;
    if (!this.#hasSeeded) {
      // The gates were asked without what this tells: nothing is decided by this look.
      this.#seed(survey, now);
      this.#isLookWanted = true;
      return;
    }
    this.#isBusy = false;
    for (const found of survey.hosts) {
      const slot = this.#slotOf(found.host, now);
      slot.record = found.look.record;
      slot.devices = found.devices;
      slot.binding = found.binding;
      if (isOpen(found.look.record) || isInDoubt(found)) this.#isBusy = true;
      // An effect ended while we read: the rows may be older than what it did. The next look comes at once.
      if (slot.eventAtLook === this.#looks) continue;
      this.#step(slot, { kind: "looked", look: found.look }, found.host);
    }
    const known = new Set(survey.hosts.map(({ host }) => host.id));
    for (const [hostId, slot] of this.#slots) {
      if (known.has(hostId)) continue;
      closeSessions(slot);
      this.#slots.delete(hostId);
    }
  }

  /**
   * The storm gates forget nothing at a leader change: an earlier leader's commands count as sent when we started, those of
   * failures that are closed when their mark says. That is wall time; a clock that jumps forward forgets a storm that is over.
   */
  #seed(survey: Survey, now: number): void {
    this.#hasSeeded = true;
    const wall = this.#ports.clock.wall();
    for (const { look } of survey.hosts) {
      const { record } = look;
      if (record === undefined || record.off_epoch === 0) continue;
      const { offSentAt = 0 } = JSON.parse(record.marks) as Marks;
      const ageMs = isOpen(record) ? 0 : Math.max(0, wall - offSentAt);
      this.#powerCommands.push({ hostId: record.host_id, at: now - ageMs });
    }
    this.#powerCommands.sort((a, b) => a.at - b.at);
  }

  #slotOf(host: HostRow, now: number): Slot {
    const known = this.#slots.get(host.id);
    if (known !== undefined) return known;
    const state = createFence(host.id, this.#epoch, now);
    const slot: Slot = {
      ...{ hostId: host.id, state, sessions: [], record: undefined },
      ...{ devices: [], binding: undefined, eventAtLook: 0 },
    };
    this.#slots.set(host.id, slot);
    return slot;
  }

  #step(slot: Slot, event: FenceEvent, host: HostRow): void {
    const { state, effects } = step(slot.state, event, this.#ports.clock.now());
    slot.state = state;
    for (const effect of effects) this.#perform(slot, effect, host);
  }

  #perform(slot: Slot, effect: FenceEffect, host: HostRow): void {
    switch (effect.kind) {
      case "alert":
        this.#ports.alert(effect.text);
        break;
      case "close-session":
        closeSessions(slot);
        break;
      case "propose":
        this.#effect(slot, host, async () => ({ kind: "proposed", outcome: await this.#propose(effect, host) }));
        break;
      case "open":
        this.#effect(slot, host, async () => {
          const result = await this.#sessions.open(slot, effect.level);
          return { kind: "opened", result, jitter: this.#ports.random() };
        });
        break;
      case "power-off":
        this.#effect(slot, host, async () => {
          const result = await this.#sessions.powerOff(slot);
          return { kind: "powered-off", result, jitter: this.#ports.random() };
        });
        break;
      case "settle":
        this.#effect(slot, host, async () => {
          await this.#sessions.settle(slot);
          return { kind: "settled" };
        });
    }
  }

  /** Runs what takes time and feeds its result back, unless we were stopped meanwhile. */
  #effect(slot: Slot, host: HostRow, work: () => Promise<FenceEvent>): void {
    const run = async (): Promise<void> => {
      const event = await work();
      if (this.#abort.signal.aborted) {
        closeSessions(slot);
        return;
      }
      slot.eventAtLook = this.#looks;
      this.#step(slot, event, host);
      this.wake();
      const waitMs = slot.state.againAt - this.#ports.clock.now();
      if (waitMs > 0) this.#ports.clock.after(waitMs, () => this.wake());
    };
    this.#run(run());
  }

  async #propose(effect: Extract<FenceEffect, { kind: "propose" }>, host: HostRow): Promise<Outcome["kind"]> {
    const { update, isHostLost, basedOn } = effect;
    let change: Change = recordChange(host.id, basedOn, update);
    if (update.state === "INTENT") change = { ...change, guards: [...change.guards, armedGuard] };
    if (isHostLost) {
      const failure = basedOn === undefined || update.isNewFailure ? (basedOn?.failure ?? 0) + 1 : basedOn.failure;
      const lost = hostLost(host, lostReason(failure));
      if (lost.ok) change = merge(change, lost.change);
    }
    const kind = `fence.${update.state.toLowerCase().replaceAll("_", "-")}`;
    try {
      return (await this.#ports.propose(change, kind)).kind;
    } catch (error) {
      this.#ports.alert(`Cannot record ${kind} of host ${host.id}: ${errorChain(error)}`);
      return "unknown";
    }
  }
}

function isInDoubt({ look, host }: HostSurvey): boolean {
  return !look.isDealtWith && look.judgement.verdict !== "alive" && host.state !== HOST_STATE.offline;
}
