import type { Prng } from "../../src/base/prng.ts";
import { frameType } from "../../src/cluster/frame.ts";
import type { LeaseGate, PumpPeers, RoleNews } from "../../src/cluster/ports.ts";
import { Pump } from "../../src/cluster/pump.ts";
import { apiLimits } from "../../src/config/timings.ts";
import { arpAnnouncement, arpProbe, decodeArp } from "../../src/linux/arp.ts";
import { decodeMessage } from "../../src/raft/codec.ts";
import type { CoreMutant } from "../../src/raft/mutants.ts";
import { createNode } from "../../src/raft/node.ts";
import type { LogEntry, NodeConfig, RaftNode, Ready, Timings } from "../../src/raft/types.ts";
import type { HolderConfig } from "../../src/vip/config.ts";
import { createHolder, type Holder } from "../../src/vip/driver.ts";
import type { HolderPorts } from "../../src/vip/ports.ts";
import type { BoxParts, SimBox } from "./box.ts";
import { DiskFailure, type MembershipRecord } from "./disk.ts";
import { VIP } from "./kernel.ts";
import type { Packet } from "./network.ts";
import type { World } from "./world.ts";

/** How often a call into the world is one after which the process stands still, while pauses are on. */
const PAUSE_IN_CALL = 0.0001;
/** The same for the calls that make up a lease: there a pause must be harmless above all. */
const PAUSE_IN_ROUND = 0.015;
/** And how often it stands still between two inputs. */
const PAUSE_BETWEEN_INPUTS = 0.0008;
/** Processes that may stand still inside a call at once: the stack unwinds in order, so the outer one waits for the inner. */
const PAUSED_CALLS_MAX = 2;
/** core-thread.ts's own. */
const HAND_OVER_MS = 500;
/** One of so many acknowledgements is looked into. */
const MATCHES_JUDGED = 8;
/** Rounds that are remembered for the planted mistakes. */
const ROUNDS_MAX = 64;
/** From the failure of the disk to the end of the process: the other thread ends it. */
const END_AFTER_FATAL_MS = 30;

/** The process was ended while it stood still in a call: its stack unwinds without touching anything. */
export class ProcessEnded extends Error {
  override readonly name = "ProcessEnded";
}

/** Where log and state stood at the start. */
export interface ProcessStart {
  readonly membership: MembershipRecord;
  readonly applied: number;
  readonly random: Prng;
}

/**
 * One life of a box's core thread, joined as src/parts/core-thread.ts joins it: the product's pump, core and VIP holder
 * on a simulated log, network and kernel. Its inputs run one after the other. Every call that leaves it goes through
 * {@link CoreProcess.call}: there the process may stand still for seconds, with the rest of the world going on, or end.
 */
export class CoreProcess {
  readonly node: RaftNode;
  readonly holder: Holder;
  readonly pump: Pump;
  /** What is published to the other thread: power commands go by it. */
  leaseUntil = 0;
  news: RoleNews = { role: "follower", term: 0, leader: "", ownTermCommitted: false, ownTermIndex: 0 };
  isPaused = false;
  isEnded = false;
  readonly #box: SimBox;
  readonly #parts: BoxParts;
  readonly #world: World;
  readonly #random: Prng;
  readonly #inputs: (() => void)[] = [];
  readonly #frames: Packet[] = [];
  #members = new Set<string>();
  #isScheduled = false;
  #isRunning = false;
  #isStarted = false;
  #pauseChance = PAUSE_IN_CALL;
  #answers = 0;
  /** Of a planted mistake: what should have been done before the heartbeats left. */
  #lateStamp: (() => void) | undefined;

  constructor(box: SimBox, parts: BoxParts, start: ProcessStart) {
    this.#box = box;
    this.#parts = parts;
    this.#world = parts.world;
    this.#random = start.random;
    const { disk, timings } = box;
    const { hardState } = disk;
    const core = createNode({
      id: box.id,
      membership: start.membership.value,
      membershipIndex: start.membership.index,
      log: disk.log,
      hardState: { ...hardState, commit: Math.max(hardState.commit, disk.commit) },
      applied: start.applied,
      random: this.#random.split(),
      options: { ...parts.options, timings },
      mutants: parts.world.mutants as NonNullable<NodeConfig["mutants"]> as ReadonlySet<CoreMutant>,
    });
    this.node = this.#observed(parts.tracer?.observe(core) ?? core);
    const config: HolderConfig = {
      vips: [VIP],
      powerInterfaces: [VIP.interface],
      conflict: "release",
      announceIntervalMs: 1500,
      ...apiLimits(timings),
    };
    this.holder = createHolder(config, this.#holderPorts());
    this.pump = new Pump(
      {
        self: box.id,
        node: this.node,
        log: {
          append: (record, done) =>
            this.call(() => disk.append(record, (error) => this.input(() => this.#written(done, error)))),
          purgeTo: (index) => this.call(() => disk.purgeTo(index)),
          firstIndex: () => disk.log.firstIndex(),
          sizeBytes: () => 0,
        },
        peers: this.#peers(),
        gate: this.#gate(),
        now: () => this.call(() => (this.#world.mutants.has("wall-clock-in-a-time-out") ? box.wallNow : box.localNow)),
        promiseMs: timings.promiseMs,
        clockObstacle: () => undefined,
        publishLease: (until) =>
          this.call(() => {
            this.leaseUntil = until;
            if (until > 0) parts.checks.leases(box);
          }),
        fatal: (error) => this.#fatal(error),
        work: {
          committed: (entries: readonly LogEntry[]) =>
            this.call(() => {
              if (!this.#world.mutants.has("state-ahead-of-the-membership-record")) box.committed(entries);
            }),
          role: (news) => this.call(() => this.#roleChanged(news)),
          refused: (requestIds) => this.call(() => box.refused(requestIds)),
          membership: () => undefined,
          // The product ends here; the simulator leaves it running, to see that it disturbs nobody.
          removed: () => undefined,
          side: () => this.#world.count("side payloads"),
          request: () => undefined,
          response: () => undefined,
          snapshotNeeded: (to) => this.call(() => box.snapshots.needed(to)),
          snapshot: (from, payload) => this.call(() => box.snapshots.frame(from, payload)),
          log: () => undefined,
        },
      },
      { membership: start.membership, commit: disk.commit, applied: start.applied },
    );
    this.#tick();
    this.#probeApi();
    this.#isStarted = true;
  }

  /** The process ends here and now; what it still has on its stack does nothing any more. */
  end(): void {
    this.isEnded = true;
    this.#inputs.length = 0;
  }

  /** As core-thread.ts does it. */
  setTimings(timings: Timings): void {
    this.holder.setApiLimits(apiLimits(timings));
    this.pump.setTimings(timings);
  }

  /** An orderly stop, step by step as core-thread.ts takes it; `ended` when the process may go. */
  leave(ended: () => void): void {
    let deadline = 0;
    const look = (): void => {
      if (this.pump.isHandingOn && this.#box.localNow < deadline) {
        this.#world.after(2, "leaving", () => this.input(look));
        return;
      }
      this.pump.stop();
      this.holder.stop();
      this.#world.after(20, "stopped", () => {
        if (!this.isEnded) ended();
      });
    };
    this.input(() => {
      this.pump.leave();
      deadline = this.#box.localNow + HAND_OVER_MS;
      if (this.pump.isHandingOn) this.#world.count("leaders that hand on at a stop");
      look();
    });
  }

  /** Something happens to the process: in its turn, after everything that happened before. */
  input(task: () => void): void {
    if (this.isEnded) return;
    this.#inputs.push(task);
    this.#wake();
  }

  /** Frames that come together are read together, then acted upon once. */
  deliver(packet: Packet): void {
    this.#frames.push(packet);
    if (this.#frames.length === 1) this.input(() => this.#receive());
  }

  /** Stands still between two inputs. */
  pause(durationMs: number): void {
    if (this.isPaused || this.isEnded) return;
    this.isPaused = true;
    const hadLease = this.#box.hasLease;
    this.#world.after(durationMs, "resume", () => {
      this.isPaused = false;
      this.#parts.sightings.stoodStill(this.#box, hadLease);
      this.#wake();
    });
  }

  /** One call of the process into the world. After it, the process may stand still or be gone. */
  call<T>(effect: () => T): T {
    this.#assertAlive();
    let result: T;
    try {
      result = effect();
    } catch (error) {
      if (!(error instanceof ProcessEnded)) this.#world.fail(error);
      throw error;
    }
    const mayPause = this.#isStarted && this.#world.storm && this.#world.faults.pauses;
    if (mayPause && this.#random.chance(this.#pauseChance)) this.#standStill();
    return result;
  }

  #assertAlive(): void {
    if (this.#world.failure !== undefined) throw this.#world.failure;
    if (this.isEnded) throw new ProcessEnded();
  }

  #standStill(): void {
    if (this.#world.depth >= PAUSED_CALLS_MAX) return;
    const isLong = this.#random.chance(0.5);
    const durationMs = 10 + this.#random.fraction() ** (isLong ? 1 : 4) * 4000;
    if (!this.#world.strikes()) return;
    this.#world.trace(() => `${this.#box.id} stands still in a call for ${durationMs.toFixed(0)} ms`);
    this.#world.count("paused inside a call");
    if (this.#box.isHolder) this.#world.count("holder paused inside a call");
    const hadLease = this.#box.hasLease;
    this.#world.goOn(durationMs);
    this.#parts.sightings.stoodStill(this.#box, hadLease);
    this.#assertAlive();
  }

  #wake(): void {
    if (this.#isScheduled || this.#isRunning || this.isPaused || this.#inputs.length === 0) return;
    this.#isScheduled = true;
    this.#world.after(0, "turn", () => {
      this.#isScheduled = false;
      if (!this.isEnded && !this.isPaused && !this.#isRunning) this.#run();
    });
  }

  #run(): void {
    this.#isRunning = true;
    try {
      while (!this.isPaused) {
        const task = this.#inputs.shift();
        if (task === undefined) break;
        task();
        if (
          this.#world.storm &&
          this.#world.faults.pauses &&
          this.#random.chance(PAUSE_BETWEEN_INPUTS) &&
          this.#world.strikes()
        )
          this.#box.pause(10 + this.#random.fraction() ** 3 * 5000);
      }
    } catch (error) {
      if (!(error instanceof ProcessEnded)) throw error;
    } finally {
      this.#isRunning = false;
    }
    this.#wake();
  }

  #tick(): void {
    const lateMs = this.#random.chance(0.02) ? this.#random.fraction() * 13 : this.#random.fraction();
    this.#world.after(9 + lateMs, "tick", () =>
      this.input(() => {
        this.#tick();
        this.pump.tick();
      }),
    );
  }

  #probeApi(): void {
    const { world } = this.#parts;
    const everyMs = apiLimits(this.#box.timings).apiProbeMs;
    let waitMs = everyMs * (0.9 + this.#random.fraction() * 0.2);
    if (world.storm && world.faults.apiHangs && this.#random.chance(0.02)) {
      waitMs += this.#random.fraction() * 5000;
      world.count("API hangs");
    }
    world.after(waitMs, "API probe", () =>
      this.input(() => {
        this.#probeApi();
        this.holder.apiAnswered();
      }),
    );
  }

  #receive(): void {
    for (let packet = this.#frames.shift(); packet !== undefined; packet = this.#frames.shift()) {
      const { from, type, payload } = packet;
      // A connection of somebody whom the membership does not name is refused.
      if (!this.#members.has(from)) continue;
      this.pump.receive(from, type, Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength));
    }
    this.pump.drain();
  }

  #written(done: (error?: unknown) => void, error: Error | undefined): void {
    if (error === undefined) done();
    else done(error);
  }

  /** As in core-thread.ts: let go of everything, and the other thread ends the process a moment later. */
  #fatal(error: unknown): void {
    if (!(error instanceof DiskFailure)) throw error;
    this.holder.release();
    this.leaseUntil = 0;
    this.#world.after(this.#random.fraction() * END_AFTER_FATAL_MS, "end", () => {
      if (!this.isEnded) this.#box.crash();
    });
  }

  #roleChanged(news: RoleNews): void {
    const wasLeader = this.news.role === "leader";
    const isOver = news.role !== "leader" || news.term !== this.news.term;
    this.news = news;
    if (wasLeader && isOver) this.#box.lostLeadership();
    if (wasLeader && isOver) this.#box.snapshots.leadershipLost();
  }

  #peers(): PumpPeers {
    const { checks, network } = this.#parts;
    const from = this.#box.id;
    return {
      send: (to, _channel, type, payload) =>
        this.call(() => {
          if (!this.#members.has(to)) return false;
          if (type === frameType.members && this.#world.mutants.has("missed-members-never-told")) return true;
          let isTimeoutNow = false;
          if (type === frameType.raft) {
            const message = decodeMessage(payload);
            isTimeoutNow = message.kind === "timeout-now";
            checks.sent(this.#box, message);
            this.#parts.sightings.leaves(this.#box, message);
          }
          network.send({ from, to, type, payload, isTimeoutNow });
          return true;
        }),
      flush: () => this.#stampLate(),
      setMembers: (members) => {
        this.#members = new Set(members.map((member) => member.raftId));
      },
      reachable: () => [...this.#members],
      closeSnapshot: () => undefined,
    };
  }

  /** The holder, with the mistakes that can be made between it and the pump. */
  #gate(): LeaseGate {
    const { mutants } = this.#world;
    const { checks } = this.#parts;
    const { holder } = this;
    const { kernel } = this.#box;
    /** By round, when a lease that counts from its send ends. */
    const ends = new Map<number, number>();
    /** Of the newest round. */
    let lifeMs = 0;
    return {
      beforeRound: (round, leaseMs) =>
        this.#inRound(() => {
          lifeMs = leaseMs;
          ends.delete(round - ROUNDS_MAX);
          ends.set(round, this.#box.localNow + lifeMs);
          if (mutants.has("token-added-after-the-send")) this.#lateStamp = () => holder.beforeRound(round, leaseMs);
          else holder.beforeRound(round, leaseMs);
        }),
      roundConfirmed: (round) =>
        this.#inRound(() => {
          this.#stampLate();
          // A kernel timer set to what the process computed; the pause that may come between is what kills it.
          if (mutants.has("lease-renewed-by-remaining-time")) {
            const remainingMs = (ends.get(round) ?? 0) - this.call(() => this.#box.localNow);
            if (remainingMs > 0) kernel.extendActive(remainingMs);
          }
          if (mutants.has("lease-counted-from-the-answer")) kernel.extendActive(lifeMs);
          checks.holders(this.#box);
          holder.roundConfirmed(round);
        }),
      leaderReady: (term) => this.call(() => holder.leaderReady(term)),
      leadershipLost: () => this.call(() => holder.leadershipLost()),
      release: () => this.call(() => holder.release()),
      tick: () => this.call(() => holder.tick()),
    };
  }

  #stampLate(): void {
    const stamp = this.#lateStamp;
    this.#lateStamp = undefined;
    if (stamp !== undefined) this.#inRound(stamp);
  }

  #inRound(work: () => void): void {
    this.#pauseChance = PAUSE_IN_ROUND;
    try {
      this.call(work);
    } finally {
      this.#pauseChance = PAUSE_IN_CALL;
    }
  }

  #holderPorts(): HolderPorts {
    const { kernel } = this.#box;
    const { checks } = this.#parts;
    /** A call that may make this box a holder. */
    const change = <T>(effect: () => T): T =>
      this.call(() => {
        const result = effect();
        checks.holders(this.#box);
        return result;
      });
    return {
      clock: {
        monotonicRaw: () => this.call(() => this.#box.localNow),
        bootTime: () => this.call(() => this.#box.localNow),
      },
      nft: {
        run: (commands) =>
          change(() => {
            const result = kernel.nft.run(commands);
            if (commands.includes("add element netdev lease power") && !kernel.passesPower)
              this.#world.count("token dead at its activation");
            return result;
          }),
      },
      tableWatch: { poll: () => false },
      links: {
        ...kernel.links,
        setAddress: (index, address, prefix, validSeconds) =>
          change(() => kernel.links.setAddress(index, address, prefix, validSeconds)),
        deleteAddress: (index, address, prefix) => this.call(() => kernel.links.deleteAddress(index, address, prefix)),
      },
      frames: {
        announcement: arpAnnouncement,
        probe: arpProbe,
        claim: (frame) => {
          const packet = decodeArp(frame);
          return packet === undefined ? undefined : { mac: packet.senderMac, address: packet.senderIp };
        },
      },
      hasArrivals: () => kernel.hasArrivals,
      openPacketSocket: () => {
        const socket = kernel.openSocket();
        return { ...socket, send: (frame) => this.call(() => socket.send(frame)) };
      },
      destroyConnections: () => 0,
      prepareInterface: () => undefined,
      alarm: (code) => {
        this.#assertAlive();
        this.#world.count(`alarm ${code}`);
        // Nobody but our own boxes is on this cable.
        checks.alarmed(this.#box, code);
      },
      // A box's first tick loads the tables before the pump exists.
      transferLeadership: () => void (this.pump as Pump | undefined)?.transfer(),
    };
  }

  /** The core as the pump sees it, with the checks looking over its shoulder. */
  #observed(core: RaftNode): RaftNode {
    const box = this.#box;
    const { checks } = this.#parts;
    const { mutants } = this.#world;
    return {
      ...core,
      ready: () => {
        const ready = core.ready();
        if (ready === undefined) return undefined;
        this.#judge(() => box.ready(ready));
        if (mutants.has("state-ahead-of-the-membership-record") && ready.committedEntries.length > 0)
          box.committed(ready.committedEntries);
        if (mutants.has("vip-before-noop") && ready.softState?.role === "leader") this.#leadEarly(ready);
        return mutants.has("lease-resumed-after-transfer") ? { ...ready, releaseLease: false } : ready;
      },
      step: (message, now) => {
        if (message.kind === "heartbeat" && message.term >= box.term)
          box.receipts.set(`${message.term}/${message.round}`, now);
        this.#parts.sightings.arrives(box, message);
        const isPreVote = message.kind === "vote-request" && message.preVote;
        const before = isPreVote ? core.status().term : 0;
        core.step(message, now);
        // Each answer of an older term, and some of the others: asking for a leader's progress costs something.
        if (message.kind === "append-response" && (message.term < box.term || ++this.#answers % MATCHES_JUDGED === 0))
          this.#judge(() => checks.matches(box, core.status(), message.from));
        if (isPreVote) this.#judge(() => checks.preVoteAsked(box, core.status().term, before));
      },
      applyMembership: (index, change, now) => {
        const before = box.membership;
        box.membership = core.applyMembership(index, change, now);
        box.membershipIndex = index;
        this.#parts.sightings.membershipChanged(box, before);
        this.#world.count("membership changes applied");
        return box.membership;
      },
    };
  }

  #leadEarly(ready: Ready): void {
    const { term } = ready.hardState ?? this.#box;
    this.input(() => this.holder.leaderReady(term));
  }

  #judge(check: () => void): void {
    try {
      check();
    } catch (error) {
      this.#world.fail(error);
      throw error;
    }
  }
}
