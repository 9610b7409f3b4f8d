// Who leads when disks are full or slow: the leader's judgement, as a table, and as a group in which all of it is played.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng } from "../../../src/base/prng.ts";
import { DurableDelay } from "../../../src/cluster/fitness/durable-delay.ts";
import {
  FITNESS_AT_START,
  type Fitness,
  type FitnessState,
  type FitnessVerdict,
  judge,
  SLOW_FOR_MS,
  SLOW_LEADS_MS,
} from "../../../src/cluster/fitness/policy.ts";

const MIB = 1024 * 1024;
const fit = (change: Partial<Fitness> = {}): Fitness => ({
  room: "enough",
  freeBytes: 900 * MIB,
  durableMs: 2,
  hasState: true,
  ...change,
});
const LOW = fit({ room: "low", freeBytes: 12.5 * MIB });

function verdict(
  self: Fitness,
  others: readonly (Fitness | undefined)[],
  state: FitnessState = FITNESS_AT_START,
  now = 0,
): FitnessVerdict {
  return judge(
    state,
    {
      leads: true,
      self: { raftId: "r0", name: "box0", fitness: self },
      others: others.map((fitness, at) => ({ raftId: `r${at + 1}`, name: `box${at + 1}`, fitness })),
    },
    now,
  );
}

test("a leader with room leads and takes writes, whatever the minority has", () => {
  for (const others of [[fit(), fit()], [LOW, fit()], [undefined, fit()], [undefined, undefined], []]) {
    const { handOver, objection } = verdict(fit(), others);
    assert.is(handOver, undefined);
    assert.is(objection, undefined);
  }
});

test("a leader without room hands over to those that have some, and its writes go there", () => {
  for (const room of ["low", "full"] as const) {
    const { handOver, objection } = verdict(fit({ room }), [LOW, fit(), undefined]);
    assert.equal(handOver?.to, ["r2"]);
    assert.equal(objection, { kind: "elsewhere" });
  }
});

test("a box without its state does not lead, and nobody hands over to it", () => {
  const lost = fit({ hasState: false });
  assert.equal(verdict(lost, [lost, fit()]).handOver?.to, ["r2"]);
  assert.equal(verdict(LOW, [lost, fit()]).handOver?.to, ["r2"]);
  const alone = verdict(lost, [lost, undefined]);
  assert.equal([alone.handOver, alone.objection], [undefined, undefined]);
});

test("a hand-over that came to nothing is asked for again, not all the time", () => {
  const first = verdict(LOW, [fit(), fit()], FITNESS_AT_START, 0);
  assert.ok(first.handOver);
  const second = verdict(LOW, [fit(), fit()], first.state, 200);
  assert.is(second.handOver, undefined);
  assert.equal(second.objection, { kind: "elsewhere" });
  assert.ok(verdict(LOW, [fit(), fit()], second.state, 1200).handOver);
});

test("where no quorum has room a write is refused with the boxes and what they have left", () => {
  for (const [self, others] of [
    [LOW, [LOW, undefined]],
    [fit(), [LOW, LOW]],
  ] as const) {
    const { objection, handOver } = verdict(self, others);
    assert.is(handOver, undefined);
    assert.is(objection?.kind, "no-room");
    if (objection?.kind === "no-room") assert.match(objection.text, /no room on the disks.*box1 has 12 MiB left/);
  }
  // A silent box is no witness of a full disk: it may be down, and two of three still write.
  assert.is(verdict(fit(), [LOW, undefined]).objection, undefined);
});

/** The leader's judgement each 200 ms while nothing changes. */
function lasting(self: Fitness, others: readonly (Fitness | undefined)[], ms: number): FitnessVerdict[] {
  const verdicts: FitnessVerdict[] = [];
  let state = FITNESS_AT_START;
  for (let now = 0; now <= ms; now += 200) {
    const one = verdict(self, others, state, now);
    state = one.state;
    verdicts.push(one);
  }
  return verdicts;
}

test("a leader whose disk is the slow one for long hands over to the fastest", () => {
  const verdicts = lasting(fit({ durableMs: 300 }), [fit({ durableMs: 20 }), fit({ durableMs: 3 })], SLOW_LEADS_MS);
  assert.ok(verdicts.slice(0, -1).every(({ handOver }) => handOver === undefined));
  assert.equal(verdicts.at(-1)?.handOver?.to, ["r2", "r1"]);
  assert.ok(verdicts.every(({ objection }) => objection === undefined));
});

test("a hiccup, disks that are slow together, a fast disk among faster ones, and a group that needs the slow one are no reason", () => {
  const slow = fit({ durableMs: 300 });
  const half = fit({ durableMs: 150 });
  const long = SLOW_LEADS_MS * 3;
  for (const [self, others] of [
    [slow, [slow, slow]],
    [slow, [half, half]],
    [fit({ durableMs: 40 }), [fit({ durableMs: 1 }), fit({ durableMs: 1 })]],
    [slow, [fit(), undefined]],
    [slow, [fit(), slow]],
    [slow, [fit({ durableMs: 0 }), fit({ durableMs: 0 })]],
    [slow, []],
  ] as const)
    assert.ok(lasting(self, others, long).every(({ handOver }) => handOver === undefined));
  let state = FITNESS_AT_START;
  for (let now = 0; now < long; now += 200) {
    const isHiccup = now % (2 * SLOW_FOR_MS) < SLOW_FOR_MS - 400;
    const one = verdict(isHiccup ? slow : fit(), [fit(), fit()], state, now);
    assert.is(one.handOver, undefined, `${now}`);
    state = one.state;
  }
});

test("in a group whose disks turn slow and recover at random leadership moves at most twice a minute, and leaves a lasting slow disk", () => {
  const prng = createPrng(5);
  for (let story = 0; story < 30; story++) {
    const states = [FITNESS_AT_START, FITNESS_AT_START, FITNESS_AT_START];
    const delays = [2, 2, 2];
    let leader = 0;
    const moves: number[] = [];
    // One disk is slow for good in every other story; elsewhere all change all the time.
    const isOneSlow = story % 2 === 0;
    if (isOneSlow) delays[0] = 400;
    for (let now = 0; now < 600_000; now += 200) {
      if (!isOneSlow && prng.chance(0.02)) delays[prng.range(0, 2)] = prng.pick([1, 10, 100, 1000]);
      for (const [at, state] of states.entries()) {
        const voters = delays.map((durableMs, other) => ({
          ...{ raftId: `${other}`, name: `box${other}` },
          fitness: fit({ durableMs }),
        }));
        const self = voters[at];
        if (self === undefined) continue;
        const others = voters.filter((voter) => voter !== self);
        const one = judge(state, { leads: leader === at, self, others }, now);
        states[at] = one.state;
        if (one.handOver === undefined) continue;
        leader = Number(one.handOver.to[0]);
        moves.push(now);
        break;
      }
    }
    if (isOneSlow) assert.equal([moves.length, leader !== 0], [1, true]);
    for (const [n, at] of moves.entries())
      if (n > 0) assert.ok(at - (moves[n - 1] ?? 0) >= SLOW_LEADS_MS, `story ${story}: ${moves}`);
  }
});

test("the delay is the mean of the last second with writes, or the age of what hangs", () => {
  const delay = new DurableDelay();
  assert.is(delay.read(0), 0);
  for (let now = 1000; now < 2000; now += 100) {
    delay.begun(now);
    delay.ended(now + 10);
  }
  assert.is(delay.read(2050), 10);
  assert.is(delay.read(6000), 10);
  assert.is(delay.read(8000), 0);
  delay.begun(9000);
  delay.begun(9400);
  assert.is(delay.read(9500), 500);
  delay.ended(10_000);
  assert.is(delay.read(10_100), 700);
  delay.ended(10_100);
  assert.is(delay.read(11_300), 850);
});

test.run();
