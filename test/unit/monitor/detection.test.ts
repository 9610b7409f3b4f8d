import { test } from "uvu";
import * as assert from "uvu/assert";
import type { HostSignal } from "../../../src/hypervisor/ports.ts";
import { MonitorDriver } from "../../../src/monitor/driver.ts";
import { DEFAULT_LIMITS } from "../../../src/monitor/machine.ts";
import { type Bed, bedMissing, startBed, until } from "../../support/hypervisor-bed/bed.ts";
import { connectTo, stopAll } from "../../support/hypervisor-bed/connect.ts";

const missing = bedMissing();
if (missing !== undefined) console.log(`skipped: ${missing}`);
const beds = missing === undefined ? [await startBed({ libvirt: false }), await startBed({ libvirt: false })] : [];
const now = (): number => performance.now();

/** Three boxes with real connections to two real hosts; box 1 leads and hears the others each 150 ms. */
class Boxes {
  readonly boxes = [1, 2, 3].map(
    (boxId) =>
      new MonitorDriver({ boxId, limits: DEFAULT_LIMITS }, { now, onLevel: () => undefined, onNote: () => undefined }),
  );
  readonly heartbeat: ReturnType<typeof setInterval>;

  constructor(hosts: readonly Bed[]) {
    for (const [i, box] of this.boxes.entries()) {
      for (const [j, bed] of hosts.entries()) {
        const hostId = j + 1;
        box.addHost(hostId);
        connectTo(bed, { hostId, boxId: `box-${i + 1}`, onSignal: (signal) => feed(box, hostId, signal) });
      }
      box.start();
    }
    const [leader, ...others] = this.boxes;
    leader?.lead(() => [1, 2, 3]);
    this.heartbeat = setInterval(() => {
      for (const [i, box] of others.entries()) leader?.take(i + 2, box.payload(), now());
    }, 150);
  }

  level(hostId: number): string | undefined {
    return this.boxes[0]?.levels().find((level) => level.hostId === hostId)?.kind;
  }

  async reaches(hostId: number, kind: string, limitMs: number): Promise<number> {
    const began = now();
    const missing = (): string => `host ${hostId} is ${kind}, it is ${this.level(hostId)}`;
    await until(() => this.level(hostId) === kind, limitMs, missing);
    return Math.round(now() - began);
  }

  stop(): void {
    clearInterval(this.heartbeat);
    for (const box of this.boxes) box.stop();
  }
}

/** What parts/ does: the beacon's lines are the monitor's lines. */
function feed(box: MonitorDriver, hostId: number, signal: HostSignal): void {
  if (signal.kind !== "line") return;
  const { line, at } = signal;
  if (line.kind === "hello" || line.kind === "tick" || line.kind === "sample") box.line(hostId, 0, { ...line, at });
}

const [first, second] = beds;
if (first !== undefined && second !== undefined) {
  test("three boxes agree on a power cut, and that the host is back", async () => {
    const boxes = new Boxes(beds);
    await boxes.reaches(1, "host-up", 5000);
    await boxes.reaches(2, "host-up", 5000);
    const cutAt = now();
    const off = first.powerOff();
    await boxes.reaches(1, "host-down", 4000);
    console.log(`power cut agreed after ${Math.round(now() - cutAt)} ms`);
    assert.is(boxes.level(2), "host-up");
    await off;
    await first.powerOn();
    const ms = await boxes.reaches(1, "host-up", 10_000);
    console.log(`back ${ms} ms after it answers`);
    boxes.stop();
  });

  test("three boxes agree on a frozen host that still accepts connections, and a thaw undoes it", async () => {
    const boxes = new Boxes(beds);
    await boxes.reaches(1, "host-up", 5000);
    await boxes.reaches(2, "host-up", 5000);
    await second.freeze();
    const ms = await boxes.reaches(2, "host-down", 4000);
    console.log(`freeze agreed after ${ms} ms`);
    await second.thaw();
    await boxes.reaches(2, "host-up", 10_000);
    assert.is(boxes.level(1), "host-up");
    boxes.stop();
  });
}

test("this file ran as far as the machine allows", () => assert.ok(beds.length === 2 || missing !== undefined));
test.after.each(() => stopAll());
test.after(async () => {
  for (const bed of beds) await bed.stop();
});
test.run();
