import { assert } from "../../src/base/assert.ts";
import type { Prng } from "../../src/base/prng.ts";
import {
  decodeSnapshotMessage,
  encodeSnapshotMessage,
  type SnapshotMessage,
} from "../../src/cluster/snapshot-frames.ts";
import { SnapshotReceiver } from "../../src/cluster/snapshot-receiver.ts";
import { type SenderLimits, SnapshotSender } from "../../src/cluster/snapshot-sender.ts";
import { decodeMembership, encodeMembership } from "../../src/raft/membership-codec.ts";
import type { RaftId } from "../../src/raft/types.ts";
import { createManifest, type SnapshotManifest } from "../../src/store/snapshot/manifest.ts";
import { obstacleToInstall } from "../../src/store/snapshot/policy.ts";
import type { BoxParts, SimBox } from "./box.ts";
import type { CoreProcess } from "./core-process.ts";
import { encodeWrite, SimMachine } from "./machine.ts";
import { demand } from "./violation.ts";
import type { World } from "./world.ts";

/** The product's ends of a snapshot's way, with limits that fit a state of some hundred bytes and storms of some seconds. */
const LIMITS: Omit<SenderLimits, "windowBytes" | "rateBytesPerMs"> = {
  chunkBytes: 100,
  offerEveryMs: 60,
  silenceMs: 150,
  giveUpMs: 1500,
  giveUpFirstMs: 400,
  verifyMs: 3000,
  retryMs: 50,
};
const TICK_MS = 5;
const PURGE_EVERY_MS = 250;
/** A step of an installation is the last one of the process's life so often, in the storm. */
const CRASH_IN_STEP = 0.1;
/** No client's: nobody waits for its writes. */
const OWN_CLIENT = 1_000_000;
const NO_BOUND = Number.MAX_SAFE_INTEGER;
const CLUSTER = { lineage: "simulated", generation: 1 };

interface Snapshot {
  readonly manifest: SnapshotManifest;
  readonly bytes: Uint8Array;
}

interface Received extends Snapshot {
  readonly isForced: boolean;
}

/** A box's snapshots: what lies on its disk, and for each life of its process the two ends of the way, joined as parts/ does it. */
export class SimSnapshots {
  readonly #box: SimBox;
  readonly #parts: BoxParts;
  readonly #world: World;
  readonly #random: Prng;
  readonly #limits: SenderLimits;
  readonly #retention: number;
  readonly #purgeLimit: number;
  // On the disk.
  #stored: Snapshot | undefined;
  #partial: Received | undefined;
  #received: Received | undefined;
  #installing: Received | undefined;
  // Of this life.
  #process: CoreProcess | undefined;
  #sender: SnapshotSender<Snapshot> | undefined;
  #receiver: SnapshotReceiver | undefined;
  #isTicking = false;

  constructor(box: SimBox, parts: BoxParts, random: Prng) {
    this.#box = box;
    this.#parts = parts;
    this.#world = parts.world;
    this.#random = random;
    const { chunkBytes } = LIMITS;
    this.#limits = {
      ...LIMITS,
      windowBytes: random.pick([1, 1, 4]) * chunkBytes,
      // Slow enough at times that the way takes seconds: restarts and purges come in between.
      rateBytesPerMs: random.pick([5, 20, 1000]),
    };
    this.#retention = random.pick([0, 0, 3, 30]);
    this.#purgeLimit = random.pick([7, 1000]);
  }

  wipe(): void {
    this.#stored = undefined;
    this.#partial = undefined;
    this.#received = undefined;
    this.#installing = undefined;
  }

  begin(process: CoreProcess): void {
    this.#process = process;
    this.#sender = this.#newSender(process);
    this.#receiver = this.#newReceiver(process);
    this.#isTicking = false;
    if (this.#world.faults.snapshots) this.#purge(process);
  }

  end(): void {
    this.#process = undefined;
    this.#sender = undefined;
    this.#receiver = undefined;
  }

  needed(to: readonly RaftId[], isForced = false): void {
    for (const raftId of to) this.#sender?.request(raftId, isForced);
    if (this.#process !== undefined) this.#tick(this.#process);
  }

  leadershipLost(): void {
    this.#sender?.abandon();
  }

  frame(from: RaftId, payload: Uint8Array): void {
    const message = decodeSnapshotMessage(payload);
    const isIncoming = message.kind === "offer" || message.kind === "chunk";
    // The other thread's: it comes a moment later.
    this.#later(0.1, () => (isIncoming ? this.#receiver : this.#sender)?.receive(from, message));
  }

  /** store/snapshot/install.ts, step by step. False when the process ended inside. */
  completeInstall(): boolean {
    const { mutants } = this.#world;
    if (this.#installing === undefined) {
      const received = this.#received;
      if (received === undefined) return true;
      const { manifest, isForced } = received;
      const { disk, machine } = this.#box;
      const position = { applied: machine.applied, log: disk.log, commit: disk.commit };
      const obstacle = obstacleToInstall(manifest, position, isForced);
      if (obstacle !== undefined && !mutants.has("older-snapshot-installed")) {
        this.#world.count("received snapshot thrown away");
        this.#received = undefined;
        return true;
      }
      demand(isForced || manifest.index > machine.applied, "an older snapshot is not installed", () => {
        return `${this.#box.id} has applied ${machine.applied} and installs ${manifest.index}`;
      });
      this.#mark(manifest);
      if (this.#crashes()) return false;
      this.#installing = received;
      this.#received = undefined;
      if (this.#crashes()) return false;
    }
    this.#swap(this.#installing);
    if (this.#crashes()) return false;
    this.#installing = undefined;
    this.#world.count("snapshots installed");
    return true;
  }

  #mark({ index, term, membership, membershipIndex }: SnapshotManifest): void {
    const value = decodeMembership(Buffer.from(membership, "base64"));
    const record = this.#world.mutants.has("snapshot-without-membership")
      ? undefined
      : { index: membershipIndex, value };
    const { committed } = this.#parts.checks;
    const { disk } = this.#box;
    let held = Math.min(disk.log.lastIndex(), committed.length);
    while (held > index && disk.log.term(held) !== committed[held - 1]?.term) held--;
    disk.startAfter({ index, term, membership: value }, record, committed.slice(0, index));
    demand(disk.log.lastIndex() >= held, "an installation takes nothing that is committed", () => {
      return `${this.#box.id} held ${held} of the committed entries, its log ends at ${disk.log.lastIndex()} now`;
    });
  }

  #swap({ manifest, bytes }: Snapshot): void {
    const machine = SimMachine.decode(bytes);
    // The manifest's word is what the log goes by.
    machine.applied = manifest.index;
    if (this.#world.mutants.has("snapshot-without-sessions")) machine.sessions.clear();
    this.#box.machine = machine;
    this.#box.durableApplied = machine.applied;
    this.#parts.checks.installed(this.#box);
  }

  #crashes(): boolean {
    const { storm, faults } = this.#world;
    if (!storm || !faults.snapshots || !this.#random.chance(CRASH_IN_STEP) || !this.#world.strikes()) return false;
    this.#world.count("crash inside an installation");
    return true;
  }

  /** Something of the work thread, in this life only. */
  #later(delayMs: number, work: () => void): void {
    const process = this.#process;
    this.#world.after(this.#random.fraction() * delayMs, "snapshot", () => {
      if (this.#process === process) process?.input(work);
    });
  }

  #tick(process: CoreProcess): void {
    if (this.#isTicking) return;
    this.#isTicking = true;
    this.#world.after(TICK_MS, "snapshot tick", () =>
      process.input(() => {
        this.#isTicking = false;
        this.#sender?.tick();
        if (this.#sender?.isBusy === true) this.#tick(process);
      }),
    );
  }

  /** parts/log-purge.ts, and now and then an operator's server-reset. */
  #purge(process: CoreProcess): void {
    this.#world.after(this.#random.fraction() * 2 * PURGE_EVERY_MS, "purge", () =>
      process.input(() => {
        this.#purge(process);
        const { machine } = this.#box;
        // A checkpoint is not always complete.
        if (this.#random.chance(0.6)) this.#box.durableApplied = machine.applied;
        const isBeyond = this.#world.mutants.has("purge-beyond-the-durable-applied");
        const durableApplied = isBeyond ? machine.applied : this.#box.durableApplied;
        const limits = { durableApplied, retention: this.#retention, limit: this.#purgeLimit };
        process.pump.purge({ ...limits, patienceMs: PURGE_EVERY_MS, bytesMax: NO_BOUND });
        this.#reset();
        this.#burst(process);
      }),
    );
  }

  #reset(): void {
    const { role, membership, id } = this.#box;
    if (!this.#world.storm || role !== "leader" || !this.#random.chance(0.25)) return;
    const others = membership.members.filter((member) => member.raftId !== id);
    if (others.length === 0) return;
    this.#world.count("servers reset");
    this.needed([this.#random.pick(others).raftId], true);
  }

  /** Entries of a leader's own parts, many at once: what it cannot commit any more is a long suffix. */
  #burst(process: CoreProcess): void {
    if (!this.#world.storm || this.#box.role !== "leader" || !this.#random.chance(0.3)) return;
    const writes = Array.from({ length: 12 }, (_, at) => ({
      client: OWN_CLIENT,
      sequence: this.#world.steps * 16 + at,
      key: OWN_CLIENT,
    }));
    process.pump.propose(writes.map((write) => ({ requestId: `own/${write.sequence}`, data: encodeWrite(write) })));
  }

  #newSender(process: CoreProcess): SnapshotSender<Snapshot> {
    return new SnapshotSender<Snapshot>(
      {
        now: () => this.#box.localNow,
        send: (to, message) => this.#send(process, to, message, true),
        prepare: (isForced, done) => this.#later(5, () => done(this.#prepare(isForced))),
        read: ({ bytes }, offset, length, done) => this.#later(0.5, () => done(bytes.slice(offset, offset + length))),
        release: () => undefined,
        report: (to, ok) => process.input(() => process.pump.reportSnapshot(to, ok)),
        log: (text) => this.#world.trace(() => `${this.#box.id} ${text}`),
      },
      this.#limits,
    );
  }

  #newReceiver(process: CoreProcess): SnapshotReceiver {
    return new SnapshotReceiver({
      send: (to, message) => void this.#send(process, to, message, false),
      judge: (manifest, isForced) => {
        const isOld = manifest.index <= this.#box.machine.applied && !isForced;
        return isOld && !this.#world.mutants.has("older-snapshot-installed") ? { kind: "have" } : { kind: "take" };
      },
      open: (manifest, isForced, done) =>
        this.#later(1, () => {
          const known = this.#partial?.manifest.sha256 === manifest.sha256 ? this.#partial.bytes : new Uint8Array(0);
          if (known.length > 0) this.#world.count("snapshot gone on with after a restart");
          this.#partial = { manifest, isForced, bytes: known };
          done(known.length);
        }),
      append: (bytes, done) =>
        this.#later(1, () => {
          assert(this.#partial !== undefined, "a chunk without a snapshot");
          this.#partial = { ...this.#partial, bytes: Buffer.concat([this.#partial.bytes, bytes]) };
          done(true);
        }),
      finish: (done) =>
        // Reading all of it again takes its time, and the box's own log goes on meanwhile.
        this.#later(this.#random.chance(0.5) ? 20 : 1500, () => {
          const partial = this.#partial;
          assert(partial !== undefined, "the end of no snapshot");
          this.#partial = undefined;
          assert(
            hashOf(partial.bytes, partial.manifest.index) === partial.manifest.sha256,
            "a snapshot arrived broken",
          );
          this.#received = partial;
          done();
        }),
      install: () => this.#box.restart(),
      log: (text) => this.#world.trace(() => `${this.#box.id} ${text}`),
    });
  }

  #send(process: CoreProcess, to: RaftId, message: SnapshotMessage, isChunk: boolean): boolean {
    process.input(() => void process.pump.sendSnapshot(to, encodeSnapshotMessage(message), isChunk));
    return true;
  }

  #prepare(isForced: boolean): Snapshot | undefined {
    const { disk, machine } = this.#box;
    const stored = this.#stored;
    if (stored !== undefined && !isForced && stored.manifest.index >= disk.log.firstIndex() - 1) return stored;
    // The log's reader knows what is durable; what is applied is.
    const index = this.#world.mutants.has("snapshot-index-off-by-one") ? machine.applied - 1 : machine.applied;
    const term = disk.log.term(index);
    const membership = disk.membershipAt(index);
    if (term === undefined || membership === undefined || index < disk.log.firstIndex() - 1) return undefined;
    const bytes = machine.encode();
    const manifest = createManifest({
      ...{ index, term, membershipIndex: membership.index, sizeBytes: bytes.length, featureLevel: 1, ...CLUSTER },
      membership: Buffer.from(encodeMembership(membership.value)).toString("base64"),
      sha256: hashOf(bytes, index),
    });
    this.#world.count("snapshots taken");
    this.#stored = { manifest, bytes };
    return this.#stored;
  }
}

function hashOf(bytes: Uint8Array, index: number): string {
  let hash = 0x811c9dc5 ^ index;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return `${index.toString(16)}${hash.toString(16)}`.padStart(64, "0");
}
