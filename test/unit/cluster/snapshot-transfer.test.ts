import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import {
  decodeSnapshotMessage,
  encodeSnapshotMessage,
  type SnapshotMessage,
} from "../../../src/cluster/snapshot-frames.ts";
import { type Judgement, SnapshotReceiver } from "../../../src/cluster/snapshot-receiver.ts";
import { CHUNK_BYTES, SnapshotSender, WINDOW_BYTES } from "../../../src/cluster/snapshot-sender.ts";
import { createManifest, type SnapshotManifest } from "../../../src/store/snapshot/manifest.ts";

const manifestOf = (sizeBytes: number, index = 100): SnapshotManifest =>
  createManifest({
    ...{ index, term: 3, membershipIndex: 5, membership: "AQI=", sizeBytes, featureLevel: 1 },
    ...{ sha256: index.toString(16).padStart(64, "0"), lineage: "ab", generation: 1 },
  });
const content = (sizeBytes: number): Uint8Array =>
  new Uint8Array(sizeBytes).map((_, at) => (at * 31 + (at >> 9)) & 0xff);

/** Two boxes, a network with a delay of one step that loses what it is told to, and disks that answer a step later. */
class Bed {
  now = 0;
  queue: (() => void)[] = [];
  readonly said: string[] = [];
  readonly reports: string[] = [];
  readonly sentChunks: number[] = [];
  readonly received: number[] = [];
  bytes: Uint8Array;
  /** The receiver's file; survives its process. */
  file: Uint8Array = new Uint8Array(0);
  installs = 0;
  prepares: boolean[] = [];
  released = 0;
  judgement: Judgement = { kind: "take" };
  problem: string | undefined;
  /** Is this message lost? */
  lose: (message: SnapshotMessage) => boolean = () => false;
  /** The connection takes it. */
  isConnected = true;
  canPrepare = true;
  canRead = true;
  manifest: SnapshotManifest;
  sender: SnapshotSender<{ manifest: SnapshotManifest }>;
  receiver: SnapshotReceiver;

  constructor(sizeBytes: number) {
    this.bytes = content(sizeBytes);
    this.manifest = manifestOf(sizeBytes);
    const later = (work: () => void): void => void this.queue.push(work);
    this.sender = new SnapshotSender({
      now: () => this.now,
      send: (to, message) => {
        assert.is(to, "b");
        if (message.kind === "chunk") this.sentChunks.push(message.offset);
        if (this.isConnected && !this.lose(message)) later(() => this.receiver.receive("a", wire(message)));
        return this.isConnected;
      },
      prepare: (isForced, done) => {
        this.prepares.push(isForced);
        const { manifest } = this;
        later(() => done(this.canPrepare ? { manifest } : undefined));
      },
      read: (_source, offset, length, done) =>
        later(() => done(this.canRead ? this.bytes.slice(offset, offset + length) : undefined)),
      release: () => void this.released++,
      report: (to, ok) => void this.reports.push(`${to} ${ok}`),
      log: (text) => void this.said.push(text),
    });
    this.receiver = this.newReceiver();
  }

  newReceiver(): SnapshotReceiver {
    const later = (work: () => void): void => void this.queue.push(work);
    const receiver = new SnapshotReceiver({
      send: (to, message) => {
        assert.is(to, "a");
        if (message.kind === "want") this.received.push(message.offset);
        if (this.isConnected && !this.lose(message)) later(() => this.sender.receive("b", wire(message)));
      },
      judge: () => this.judgement,
      open: (_manifest, _isForced, done) => later(() => this.receiver === receiver && done(this.file.length)),
      append: (bytes, done) =>
        later(() => {
          if (this.receiver !== receiver) return;
          this.file = Buffer.concat([this.file, bytes]);
          done(true);
        }),
      finish: (done) =>
        later(() => {
          if (this.receiver !== receiver) return;
          if (this.problem !== undefined) this.file = new Uint8Array(0);
          done(this.problem);
        }),
      install: () => void this.installs++,
      log: (text) => void this.said.push(text),
    });
    return receiver;
  }

  /** Runs until nobody has anything to do, or for so long. */
  run(durationMs: number, until: () => boolean = () => false): void {
    for (const end = this.now + durationMs; this.now < end && !until(); this.now += 5) {
      this.sender.tick();
      for (let turn = 0; turn < 20 && this.queue.length > 0; turn++) {
        const work = this.queue;
        this.queue = [];
        for (const each of work) each();
      }
    }
  }
}

/** As the frames carry it. */
function wire(message: SnapshotMessage): SnapshotMessage {
  return decodeSnapshotMessage(encodeSnapshotMessage(message));
}

const isWhole = (bed: Bed): boolean => Buffer.from(bed.file).equals(bed.bytes);

test("a snapshot arrives whole, is reported once, and the receiver starts anew", () => {
  const bed = new Bed(5 * CHUNK_BYTES + 17);
  bed.sender.request("b");
  bed.sender.request("b");
  bed.run(2000);
  assert.ok(isWhole(bed));
  assert.equal([bed.installs, bed.reports, bed.released, bed.prepares], [1, ["b true"], 1, [false]]);
  assert.is(bed.sender.isBusy, false);
});

test("whatever is lost, it arrives whole", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = createPrng(seed);
    const bed = new Bed(12 * CHUNK_BYTES + seed);
    bed.lose = () => random.chance(0.15);
    bed.sender.request("b");
    bed.run(200_000, () => bed.reports.length > 0);
    assert.ok(isWhole(bed), `seed ${seed}: ${bed.file.length} of ${bed.bytes.length}`);
    assert.equal([bed.installs, bed.reports.at(-1)], [1, "b true"], `seed ${seed}`);
  }
});

test("a broken connection, and a restart of the receiver, cost only what was under way", () => {
  const bed = new Bed(40 * CHUNK_BYTES);
  bed.sender.request("b");
  bed.run(10_000, () => bed.file.length > 15 * CHUNK_BYTES);
  bed.isConnected = false;
  bed.run(500);
  bed.isConnected = true;
  bed.run(10_000, () => bed.file.length > 30 * CHUNK_BYTES);
  assert.ok(bed.file.length < bed.bytes.length);
  bed.queue = [];
  bed.receiver = bed.newReceiver();
  bed.run(20_000);
  assert.ok(isWhole(bed));
  const twice = bed.sentChunks.length - new Set(bed.sentChunks).size;
  assert.ok(twice <= (2 * WINDOW_BYTES) / CHUNK_BYTES, `${twice} chunks were sent twice`);
});

test("a receiver that does not ask for more gets no more than the window", () => {
  const bed = new Bed(40 * CHUNK_BYTES);
  bed.lose = (message) => message.kind === "want" && message.offset > 0;
  bed.sender.request("b");
  bed.run(1900);
  assert.is(bed.sentChunks.length * CHUNK_BYTES, WINDOW_BYTES);
});

test("no more is sent in a second than the rate", () => {
  const bed = new Bed(400 * CHUNK_BYTES);
  bed.sender.request("b");
  bed.run(1000);
  const perSecond = bed.sentChunks.length * CHUNK_BYTES;
  assert.ok(perSecond > 10e6 && perSecond < 27e6, `${perSecond} bytes a second`);
});

test("a box that has it already says so, and nothing is sent", () => {
  const bed = new Bed(CHUNK_BYTES);
  bed.judgement = { kind: "have" };
  bed.sender.request("b");
  bed.run(1000);
  assert.equal([bed.reports, bed.sentChunks, bed.installs], [["b true"], [], 0]);
});

test("a refusal, a bad file and a snapshot that cannot be taken are reported, and not tried again at once", () => {
  const bed = new Bed(CHUNK_BYTES);
  bed.judgement = { kind: "refuse", why: "no room" };
  bed.sender.request("b");
  bed.run(500);
  assert.equal(bed.reports, ["b false"]);
  assert.match(bed.said.join("\n"), /no room/);
  bed.judgement = { kind: "take" };
  bed.problem = "its sha256 differs";
  bed.sender.request("b");
  bed.run(500);
  assert.equal(bed.reports, ["b false"], "too soon");
  bed.run(3000);
  assert.equal([bed.reports, bed.installs], [["b false", "b false"], 0]);
  bed.problem = undefined;
  bed.canPrepare = false;
  bed.sender.request("b");
  bed.run(3000);
  assert.equal(bed.reports, ["b false", "b false", "b false"]);
  bed.canPrepare = true;
  bed.canRead = false;
  bed.sender.request("b");
  bed.run(3000);
  assert.is(bed.reports.length, 4);
  bed.canRead = true;
  bed.sender.request("b");
  bed.run(5000);
  assert.ok(isWhole(bed));
  assert.is(bed.installs, 1);
});

test("a box that is off is given up, and does not hold the others up for long", () => {
  const bed = new Bed(CHUNK_BYTES);
  bed.isConnected = false;
  bed.sender.request("b");
  bed.run(4000);
  assert.equal(bed.reports, ["b false"]);
  assert.is(bed.sender.isBusy, false);
});

test("a lost leadership ends it, and late answers change nothing", () => {
  const bed = new Bed(20 * CHUNK_BYTES);
  bed.sender.request("b");
  bed.run(10_000, () => bed.file.length > 5 * CHUNK_BYTES);
  bed.sender.abandon();
  const sent = bed.sentChunks.length;
  bed.run(5000);
  assert.equal([bed.sentChunks.length, bed.reports, bed.released], [sent, [], 1]);
  bed.sender.request("b");
  bed.run(100, () => bed.prepares.length === 2 && bed.received.length > 6);
  bed.sender.receive("b", { kind: "done", transfer: 1 });
  assert.equal(bed.reports, [], "the answer to an earlier transfer");
  bed.run(5000);
  assert.equal(bed.reports, ["b true"]);
});

test("another leader's snapshot takes the place of one that is coming in, not of one that is there", () => {
  const bed = new Bed(20 * CHUNK_BYTES);
  bed.sender.request("b");
  bed.run(10_000, () => bed.file.length > 5 * CHUNK_BYTES);
  bed.run(200, () => bed.queue.length === 0);
  const offer = { kind: "offer", transfer: 77, manifest: manifestOf(9, 120), isForced: false } as const;
  const answers: number[] = [];
  bed.lose = (message) => {
    if (message.transfer === 77 && message.kind === "want") answers.push(message.offset);
    return message.transfer === 77;
  };
  bed.file = new Uint8Array(0);
  bed.receiver.receive("a", offer);
  bed.run(100);
  assert.ok(answers.length > 0, "the newer offer was taken up");

  const whole = new Bed(CHUNK_BYTES);
  whole.sender.request("b");
  whole.run(2000);
  whole.judgement = { kind: "take" };
  let reopened = false;
  whole.lose = (message) => {
    reopened ||= message.transfer === 77;
    return false;
  };
  whole.receiver.receive("a", offer);
  whole.run(100);
  assert.is(reopened, false);
  assert.is(whole.installs, 1);
});

test("frames come back as they were, and others are refused", () => {
  const messages: SnapshotMessage[] = [
    { kind: "offer", transfer: 1, manifest: manifestOf(5), isForced: true },
    { kind: "chunk", transfer: 2 ** 32 - 1, offset: 2 ** 40, bytes: Buffer.from("abc") },
    { kind: "want", transfer: 3, offset: 0 },
    { kind: "done", transfer: 4 },
    { kind: "refuse", transfer: 5, why: "ö" },
  ];
  for (const message of messages) assert.equal(wire(message), message);
  for (const bad of [[], [9], [2, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 123]])
    assert.throws(() => decodeSnapshotMessage(new Uint8Array(bad)), /Cannot read/);
});

test.run();
