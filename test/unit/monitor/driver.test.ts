import { test } from "uvu";
import * as assert from "uvu/assert";
import { MonitorDriver } from "../../../src/monitor/driver.ts";
import { DEFAULT_LIMITS } from "../../../src/monitor/machine.ts";
import type { Evidence, HostLevel } from "../../../src/monitor/ports.ts";

/** Three boxes and two hosts on one clock that the test moves. Box 1 leads; heartbeats carry payloads each 150 ms. */
class Rack {
  now = 1000;
  readonly levels: HostLevel[] = [];
  readonly boxes: MonitorDriver[];
  /** Which hosts each box hears. */
  readonly hears = new Map([1, 2, 3].map((boxId) => [boxId, new Set([1, 2])]));
  readonly reachable = new Set([2, 3]);
  /** When in the half second a host's lines are sent. */
  readonly phases = new Map([
    [1, 100],
    [2, 200],
  ]);

  constructor(evidence?: Evidence) {
    this.boxes = [1, 2, 3].map((boxId) => {
      const box = new MonitorDriver(
        { boxId, limits: DEFAULT_LIMITS },
        {
          now: () => this.now,
          ...(evidence === undefined ? {} : { evidence }),
          onLevel: (level) => this.levels.push(level),
          onNote: () => undefined,
        },
      );
      for (const hostId of [1, 2]) box.addHost(hostId);
      return box;
    });
    this.box(1).lead(() => [1, 2, 3]);
  }

  box(boxId: number): MonitorDriver {
    const box = this.boxes[boxId - 1];
    if (box === undefined) throw new Error(`no box ${boxId}`);
    return box;
  }

  async run(ms: number): Promise<void> {
    for (const end = this.now + ms; this.now < end; ) {
      this.now += 50;
      for (const [boxId, hosts] of this.hears) {
        for (const hostId of hosts)
          if (this.now % 500 === ((this.phases.get(hostId) ?? 0) + boxId * 50) % 500) this.hear(boxId, hostId);
      }
      if (this.now % 150 === 0)
        for (const boxId of this.reachable) this.box(1).take(boxId, this.box(boxId).payload(), this.now - 5);
      if (this.now % 100 === 0) for (const box of this.boxes) box.evaluate();
      // Answers of evidence come as microtasks.
      await Promise.resolve();
      await Promise.resolve();
    }
  }

  hear(boxId: number, hostId: number): void {
    const uptimeMs = 50_000 + this.now;
    this.box(boxId).line(hostId, 0, {
      kind: "tick",
      at: this.now,
      uptimeMs,
      libvirtUptimeMs: uptimeMs,
      diskUptimeMs: uptimeMs,
    });
  }

  silence(hostId: number): void {
    for (const hosts of this.hears.values()) hosts.delete(hostId);
  }

  /** Runs until the host is of this kind; how long that took. */
  async until(hostId: number, kind: HostLevel["kind"], limitMs: number): Promise<number> {
    const start = this.now;
    while (this.now - start < limitMs) {
      await this.run(50);
      if (this.level(hostId) === kind) return this.now - start;
    }
    throw new Error(`host ${hostId} is not ${kind} after ${limitMs} ms: ${JSON.stringify(this.levels.at(-1))}`);
  }

  level(hostId: number): HostLevel["kind"] | undefined {
    return this.box(1)
      .levels()
      .find((level) => level.hostId === hostId)?.kind;
  }
}

const silentEvidence: Evidence = {
  bmcPower: async () => undefined,
  storageBeat: async () => undefined,
  restartLibvirtd: async () => undefined,
};

test("a power cut is agreed within 3 s, whenever in the beat it comes", async () => {
  for (const offset of [0, 50, 150, 250, 350, 450]) {
    const rack = new Rack();
    await rack.run(4000 + offset);
    assert.is(rack.level(1), "host-up");
    rack.silence(1);
    const ms = await rack.until(1, "host-down", 3000);
    assert.ok(ms > 1500, `${ms}: not before 2 s of silence`);
    assert.is(rack.level(2), "host-up");
  }
});

test("a BMC that says off has it agreed within 1.5 s", async () => {
  const rack = new Rack({ ...silentEvidence, bmcPower: async (hostId) => (hostId === 1 ? "off" : undefined) });
  await rack.run(4000);
  rack.silence(1);
  const ms = await rack.until(1, "host-down", 1500);
  assert.ok(ms > 500, `${ms}`);
});

test("a host cut off from two boxes is up while the third hears it, and down when that one goes silent too", async () => {
  const rack = new Rack();
  await rack.run(4000);
  rack.hears.get(1)?.delete(1);
  rack.hears.get(2)?.delete(1);
  await rack.run(10_000);
  assert.is(rack.level(1), "host-up");
  rack.silence(1);
  await rack.until(1, "host-down", 3000);
});

test("a leader that is cut off alone takes no host for down", async () => {
  const rack = new Rack();
  await rack.run(4000);
  rack.hears.get(1)?.clear();
  rack.reachable.clear();
  for (let i = 0; i < 100; i++) {
    await rack.run(100);
    for (const hostId of [1, 2]) assert.not(["host-down", "host-isolated"].includes(rack.level(hostId) ?? ""));
  }
});

test("when every box falls silent on every host at once, no host is ever taken for down", async () => {
  for (let phase = 0; phase < 500; phase += 50) {
    const rack = new Rack();
    // Host 2's lines come 250 ms after host 1's: for a while after the cut it was heard more lately.
    rack.phases.set(2, 350);
    await rack.run(4000 + phase);
    rack.silence(1);
    rack.silence(2);
    await rack.run(4000);
    assert.is(rack.level(1), "host-undecided");
    assert.not(rack.levels.some((level) => level.kind === "host-down" || level.kind === "host-isolated"));
  }
});

test("a silent host that goes on writing to the storage is isolated, and down when its beats stop", async () => {
  let beats = 0;
  let isWriting = true;
  const rack = new Rack({
    ...silentEvidence,
    storageBeat: async (hostId) => {
      if (isWriting) beats++;
      return hostId === 1 ? `beat ${beats}` : undefined;
    },
  });
  await rack.run(4000);
  rack.silence(1);
  await rack.until(1, "host-isolated", 3000);
  isWriting = false;
  await rack.until(1, "host-down", 4000);
});

test("levels are said at each change and again every second", async () => {
  const rack = new Rack();
  await rack.run(4000);
  rack.levels.length = 0;
  await rack.run(5000);
  const ofHost = rack.levels.filter((level) => level.hostId === 1);
  assert.ok(ofHost.length >= 4 && ofHost.length <= 6, `${ofHost.length} in 5 s`);
  assert.ok(ofHost.every((level) => level.kind === "host-up" && level.since < 4000));
});

test("a follower says nothing, and a new leader starts without old reports", async () => {
  const rack = new Rack();
  await rack.run(4000);
  rack.box(1).follow();
  rack.levels.length = 0;
  await rack.run(2000);
  assert.is(rack.levels.length, 0);
  rack.reachable.clear();
  rack.silence(1);
  await rack.run(5000);
  rack.box(1).lead(() => [1, 2, 3]);
  await rack.run(500);
  assert.is(rack.level(1), "host-undecided");
});

test("load samples are kept, bounded, with the use of the CPU between them", () => {
  const rack = new Rack();
  for (let i = 0; i < 400; i++) {
    const at = i * 5000;
    rack.box(1).line(1, 0, {
      kind: "sample",
      at,
      memoryTotalKib: 1000,
      memoryAvailableKib: 400,
      cpuTicks: i * 1000,
      cpuIdleTicks: i * 750,
    });
  }
  const samples = rack.box(1).samples.of(1);
  assert.is(samples.length, 360);
  assert.equal(samples.at(-1), { at: 399 * 5000, memoryTotalKib: 1000, memoryUsedKib: 600, cpuUse: 0.25 });
});

test.run();
