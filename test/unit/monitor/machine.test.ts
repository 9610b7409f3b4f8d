import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  DEFAULT_LIMITS,
  evaluate,
  type HostVerdict,
  initialState,
  type MonitorEvent,
  type MonitorState,
  step,
} from "../../../src/monitor/machine.ts";

/** A box with a clock that the test moves; host uptimes run from 1,000,000 ms at box time 0. */
class Box {
  state: MonitorState = initialState();
  now = 0;
  readonly restarts: number[] = [];

  constructor(...hosts: number[]) {
    for (const hostId of hosts) this.event({ kind: "host-added", hostId });
  }

  event(event: MonitorEvent): void {
    this.state = step(this.state, event, this.now);
  }

  /** A line that was sent `delayMs` ago; libvirtd and disk answered these times before it was sent. */
  line(hostId: number, delayMs = 1, libvirtAgeMs = 0, diskAgeMs = 0): void {
    const uptimeMs = 1_000_000 + this.now - delayMs;
    this.event({
      kind: "line-heard",
      hostId,
      path: 0,
      uptimeMs,
      libvirtUptimeMs: uptimeMs - libvirtAgeMs,
      diskUptimeMs: uptimeMs - diskAgeMs,
    });
  }

  judge(): readonly HostVerdict[] {
    const result = evaluate(this.state, DEFAULT_LIMITS, this.now);
    this.state = result.state;
    for (const effect of result.effects) this.restarts.push(effect.hostId);
    return result.verdicts;
  }

  verdict(hostId: number): HostVerdict {
    const found = this.judge().find((verdict) => verdict.hostId === hostId);
    if (found === undefined) throw new Error(`no verdict on host ${hostId}`);
    return found;
  }

  /** Runs in steps of 100 ms, judging at each; hosts in `lines` send each 500 ms. */
  run(ms: number, ...lines: number[]): void {
    for (const end = this.now + ms; this.now < end; ) {
      this.now += 100;
      if (this.now % 500 === 0) for (const hostId of lines) this.line(hostId);
      this.judge();
    }
  }
}

test("a host whose loop falls silent is a suspect after 2 s, not before", () => {
  const box = new Box(1, 2);
  box.run(5000, 1, 2);
  box.run(1900, 2);
  assert.is(box.verdict(1).kind, "answering");
  box.run(200, 2);
  const verdict = box.verdict(1);
  assert.is(verdict.kind, "suspect");
  assert.ok(verdict.counts, "host 2 was heard");
  assert.is(box.verdict(2).kind, "answering");
});

test("a BMC that says off shortens the silence to 1 s, and never overrides an answer", () => {
  const box = new Box(1, 2);
  box.run(5000, 1, 2);
  box.event({ kind: "bmc-answered", hostId: 1, power: "off" });
  assert.is(box.verdict(1).kind, "answering");
  box.run(900, 2);
  assert.is(box.verdict(1).kind, "answering");
  box.run(200, 2);
  assert.is(box.verdict(1).kind, "suspect");
  assert.is(box.verdict(1).bmc, "off");
});

test("a BMC that says on does not make a silent host an answering one", () => {
  const box = new Box(1, 2);
  box.run(5000, 1, 2);
  box.run(2200, 2);
  box.event({ kind: "bmc-answered", hostId: 1, power: "on" });
  assert.is(box.verdict(1).kind, "suspect");
});

test("a late line is silence until the moment it was sent", () => {
  const box = new Box(1);
  box.run(5000, 1);
  box.now += 3000;
  // Three lines of a stalled network arrive in one burst: the youngest is 1.4 s old.
  box.line(1, 2400);
  box.line(1, 1900);
  box.line(1, 1400);
  const { answerAgeMs } = box.verdict(1);
  assert.ok(answerAgeMs !== null && answerAgeMs > 1300 && answerAgeMs < 1500, `${answerAgeMs}`);
});

test("clocks that drift apart by 500 ppm each do not age a living host", () => {
  const box = new Box(1);
  for (let i = 1; i <= 7200; i++) {
    box.now = i * 500;
    const uptimeMs = 1_000_000 + box.now * 0.999;
    box.event({ kind: "line-heard", hostId: 1, path: 0, uptimeMs, libvirtUptimeMs: uptimeMs, diskUptimeMs: uptimeMs });
  }
  const age = box.verdict(1).answerAgeMs;
  assert.ok(age !== null && age < 10, `${age}`);
});

test("an hour of jitter does not hide a stall afterwards", () => {
  const box = new Box(1);
  for (let i = 1; i <= 7200; i++) {
    box.now = i * 500;
    box.line(1, (i * 7919) % 40);
  }
  box.now += 2500;
  box.line(1, 2500);
  assert.is(box.verdict(1).kind, "suspect");
});

test("one path that answers is enough", () => {
  const box = new Box(1);
  box.run(3000, 1);
  for (let i = 0; i < 8; i++) {
    box.now += 500;
    const uptimeMs = 1_000_000 + box.now;
    box.event({ kind: "line-heard", hostId: 1, path: 1, uptimeMs, libvirtUptimeMs: null, diskUptimeMs: null });
  }
  assert.is(box.verdict(1).kind, "answering");
});

test("a hung libvirtd or disk degrades a host and never makes it a suspect", () => {
  const box = new Box(1, 2);
  box.run(1000, 1, 2);
  box.line(1, 1, 61_000);
  box.line(2, 1, 0, 21_000);
  // The younger time counts: nothing was said that is older than the first line's.
  assert.is(box.verdict(1).kind, "answering");
  const fresh = new Box(1, 2);
  fresh.line(1, 1, 61_000);
  fresh.line(2, 1, 0, 21_000);
  assert.is(fresh.verdict(1).kind, "degraded");
  assert.is(fresh.verdict(2).kind, "degraded");
});

test("a libvirtd that has not answered since the loop began is measured from there", () => {
  const box = new Box(1);
  for (let at = 0; at <= 70_000; at += 500) {
    box.now = at;
    const uptimeMs = 5_000_000 + at;
    box.event({ kind: "line-heard", hostId: 1, path: 0, uptimeMs, libvirtUptimeMs: null, diskUptimeMs: uptimeMs });
    box.judge();
    if (at === 59_500) assert.is(box.verdict(1).kind, "answering");
  }
  assert.is(box.verdict(1).kind, "degraded");
  assert.equal(box.restarts, [1], "one restart was tried, at 30 s");
});

test("a libvirtd that came back and hangs again is restarted again", () => {
  const box = new Box(1);
  box.line(1, 1, 31_000);
  box.judge();
  box.now += 500;
  box.line(1, 1, 0);
  box.judge();
  for (let i = 0; i < 70; i++) {
    box.now += 500;
    const uptimeMs = 1_000_000 + box.now - 1;
    box.event({ kind: "line-heard", hostId: 1, path: 0, uptimeMs, libvirtUptimeMs: 1_000_400, diskUptimeMs: uptimeMs });
    box.judge();
  }
  assert.equal(box.restarts, [1, 1]);
});

test("the silence of a box that hears nobody does not count", () => {
  const box = new Box(1, 2);
  box.run(5000, 1, 2);
  box.run(2500);
  assert.is(box.verdict(1).kind, "suspect");
  assert.not(box.verdict(1).counts);
  box.event({ kind: "bmc-answered", hostId: 2, power: "on" });
  assert.ok(box.verdict(1).counts, "a BMC was heard");
});

test("a box that stood still itself does not count until it has listened for 2 s", () => {
  const box = new Box(1, 2);
  box.run(5000, 1, 2);
  box.now += 5000;
  // Thawed: one host's queued lines are read before the other's.
  box.line(2, 0);
  const thawed = box.verdict(1);
  assert.is(thawed.kind, "suspect");
  assert.not(thawed.counts);
  box.run(1900, 2);
  assert.not(box.verdict(1).counts);
  box.run(200, 2);
  assert.ok(box.verdict(1).counts);
});

test("a host that this box never heard is unheard at first and a suspect after 10 s", () => {
  const box = new Box(1, 2);
  box.run(9900, 2);
  assert.is(box.verdict(1).kind, "unheard");
  box.run(300, 2);
  assert.is(box.verdict(1).kind, "suspect");
  assert.is(box.verdict(1).answerAgeMs, null);
});

test("another boot begins with another uptime, and is heard at once", () => {
  const box = new Box(1);
  box.event({ kind: "loop-began", hostId: 1, path: 0, bootId: "a" });
  box.run(5000, 1);
  box.run(3000);
  assert.is(box.verdict(1).kind, "suspect");
  box.event({ kind: "loop-began", hostId: 1, path: 0, bootId: "b" });
  box.event({ kind: "line-heard", hostId: 1, path: 0, uptimeMs: 900, libvirtUptimeMs: null, diskUptimeMs: null });
  assert.is(box.verdict(1).kind, "answering");
  assert.is(box.verdict(1).libvirtAgeMs, 0);
});

test("a storage beat counts only between two reads that are close together", () => {
  const box = new Box(1);
  const read = (beat: string): HostVerdict["storage"]["kind"] => {
    box.event({ kind: "storage-read", hostId: 1, beat });
    return box.verdict(1).storage.kind;
  };
  assert.is(read("a 1"), "unknown", "one read tells nothing");
  box.now += 60_000;
  assert.is(read("a 2"), "unknown", "written at any time in the last minute");
  box.now += 500;
  assert.is(read("a 3"), "beating");
  for (let i = 0; i < 4; i++) {
    box.now += 500;
    assert.is(read("a 3"), "beating");
  }
  box.now += 600;
  assert.is(read("a 3"), "stopped");
  box.now += 2100;
  assert.is(box.verdict(1).storage.kind, "unknown", "nobody has looked for 2 s");
});

test.run();
