// When this box's clock is good enough for a lease, by what the kernel says and by what the clocks did.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { ClockWatch, STEERING_MAX } from "../../../src/cluster/clock-watch.ts";
import { CLOCK_RATE_ERROR } from "../../../src/cluster/lease.ts";
import { createSteeringReader } from "../../../src/linux/adjtimex.ts";
import { createClock } from "../../../src/linux/clock.ts";

class Bed {
  raw = 5000;
  steered = 9000;
  frequencyPpm = 0;
  tickMicroseconds = 10_000;
  /** The process stands still for so long between two readings. */
  gapMs = 0;
  readonly watch = new ClockWatch({
    steering: () => ({ frequencyPpm: this.frequencyPpm, tickMicroseconds: this.tickMicroseconds }),
    raw: () => {
      const now = this.raw;
      this.raw += this.gapMs;
      this.steered += this.gapMs;
      return now;
    },
    steered: () => this.steered,
  });

  /** Time passes, looked at as the core thread does; what the last look said. */
  pass(ms: number, rate = 0): string | undefined {
    let said: string | undefined;
    for (let passed = 0; passed < ms; passed += 5) {
      this.raw += 5;
      this.steered += 5 * (1 + rate);
      said = this.watch.obstacle();
    }
    return said;
  }
}

test("a healthy clock, steered as a careful time service does, is good enough", () => {
  const bed = new Bed();
  assert.is(bed.pass(5000), undefined);
  bed.frequencyPpm = 500;
  assert.is(bed.pass(5000, 500e-6), undefined);
  bed.frequencyPpm = -500;
  assert.is(bed.pass(5000, -500e-6), undefined);
});

test("what the kernel is told to do counts from the same moment on, in both directions, by tick and by frequency", () => {
  const bed = new Bed();
  assert.is(bed.pass(100), undefined);
  // chrony without maxslewrate.
  bed.tickMicroseconds = 9167;
  assert.match(bed.watch.obstacle() ?? "", /is steered by -8\.33 %, more than 0\.50 %: .*maxslewrate 500/);
  bed.tickMicroseconds = 10_051;
  assert.match(bed.watch.obstacle() ?? "", /is steered by 0\.51 %/);
  bed.tickMicroseconds = 10_049;
  assert.is(bed.watch.obstacle(), undefined);
  bed.frequencyPpm = 200;
  assert.match(bed.watch.obstacle() ?? "", /is steered by 0\.51 %/);
  assert.is(STEERING_MAX, CLOCK_RATE_ERROR / 2);
});

test("a clock that runs differently from what is told is noticed within seconds, and forgiven a second after", () => {
  const bed = new Bed();
  assert.is(bed.pass(1500), undefined);
  assert.match(bed.pass(2100, -0.02) ?? "", /ran by -2\.00 %, more than 0\.50 %/);
  assert.is(bed.pass(2100), undefined);
});

test("a pause between two readings is no rate", () => {
  const bed = new Bed();
  assert.is(bed.pass(900), undefined);
  bed.gapMs = 400;
  assert.is(bed.pass(3000), undefined);
  bed.gapMs = 0;
  assert.is(bed.pass(3000), undefined);
});

test("this machine's own clock is read", () => {
  const read = createSteeringReader();
  const { frequencyPpm, tickMicroseconds } = read();
  assert.ok(Math.abs(frequencyPpm) <= 512, `${frequencyPpm} ppm is more than the kernel takes`);
  assert.ok(tickMicroseconds >= 9000 && tickMicroseconds <= 11_000, `a tick of ${tickMicroseconds} µs`);
  const clock = createClock();
  const watch = new ClockWatch({ steering: read, steered: clock.monotonic, raw: clock.monotonicRaw });
  const startedAt = performance.now();
  for (let look = 0; look < 1000; look++) watch.obstacle();
  assert.ok((performance.now() - startedAt) / 1000 < 0.2, "a look is far below a millisecond");
});

test.run();
