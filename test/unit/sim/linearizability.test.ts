import { test } from "uvu";
import * as assert from "uvu/assert";
import { createPrng, type Prng } from "../../../src/base/prng.ts";
import { COUNTER, type CounterInput } from "../../sim/counter-model.ts";
import { checkLinearizable, checkPerKey, type Operation, type Verdict } from "../../sim/linearizability.ts";

type CounterOperation = Operation<CounterInput, number>;

const UNKNOWN = Number.POSITIVE_INFINITY;

function add(calledAt: number, returnedAt: number, output?: number, key = 1): CounterOperation {
  return { input: { kind: "add", key }, calledAt, returnedAt, output };
}

function read(calledAt: number, returnedAt: number, output: number, key = 1): CounterOperation {
  return { input: { kind: "read", key }, calledAt, returnedAt, output };
}

function judge(...history: CounterOperation[]): Verdict<CounterInput, number>["kind"] {
  return checkLinearizable(history, COUNTER).kind;
}

test("what one client did is linearizable exactly when each answer is right", () => {
  assert.is(judge(), "linearizable");
  assert.is(judge(add(0, 1, 1), read(2, 3, 1), add(4, 5, 2), read(6, 7, 2)), "linearizable");
  assert.is(judge(add(0, 1, 1), add(2, 3, 1)), "violated");
  assert.is(judge(add(0, 1, 1), read(2, 3, 0)), "violated");
  assert.is(judge(read(0, 1, 1), add(2, 3, 1)), "violated");
});

test("a write that was acknowledged and is not seen afterwards is a violation, and the operation is named", () => {
  const stale = read(4, 5, 1);
  const verdict = checkLinearizable([add(0, 1, 1), add(2, 3, 2), stale], COUNTER);
  assert.equal(verdict, { kind: "violated", operation: stale });
});

test("what overlaps may have happened in any order, but in one", () => {
  assert.is(judge(add(0, 10, 2), add(0, 10, 1)), "linearizable");
  assert.is(judge(add(0, 10, 1), read(1, 2, 1), read(3, 4, 1)), "linearizable");
  assert.is(judge(add(0, 10, 1), read(1, 2, 0), read(3, 4, 1)), "linearizable");
  // One reader saw it, a later one did not.
  assert.is(judge(add(0, 10, 1), read(1, 2, 1), read(3, 4, 0)), "violated");
  assert.is(judge(add(0, 10, 1), add(0, 10, 1)), "violated");
});

test("calls that touch at one instant are concurrent", () => {
  assert.is(judge(add(0, 5, 1), read(5, 6, 0)), "linearizable");
  assert.is(judge(add(0, 5, 1), read(5.1, 6, 0)), "violated");
});

test("an unknown outcome may have happened at any time after its call, once, or never", () => {
  assert.is(judge(add(0, UNKNOWN), read(1, 2, 0)), "linearizable");
  assert.is(judge(add(0, UNKNOWN), read(1, 2, 0), read(50, 51, 1)), "linearizable");
  assert.is(judge(add(0, UNKNOWN), read(1, 2, 1), read(50, 51, 0)), "violated");
  assert.is(judge(add(0, UNKNOWN), read(1, 2, 2)), "violated");
  assert.is(judge(read(1, 2, 1), add(3, UNKNOWN)), "violated");
  // Treated as "did not happen" this history would be legal as well; treated as "happened" it is the only way.
  assert.is(judge(add(0, UNKNOWN), add(1, 2, 2)), "linearizable");
  // Applied twice.
  assert.is(judge(add(0, UNKNOWN), add(1, 2, 3)), "violated");
});

test("each key is an object of its own", () => {
  const keyOf = (input: CounterInput): number => input.key;
  const history = [add(0, 1, 1, 1), add(2, 3, 1, 2), read(4, 5, 1, 1), read(6, 7, 1, 2)];
  assert.is(checkPerKey(history, keyOf, COUNTER).kind, "linearizable");
  assert.is(checkPerKey([...history, read(8, 9, 2, 2)], keyOf, COUNTER).kind, "violated");
});

test("many unknown outcomes of one kind stay cheap, and too many possibilities are said to be too many", () => {
  const unknown = Array.from({ length: 40 }, (_, i) => add(i, UNKNOWN));
  const reads = Array.from({ length: 40 }, (_, i) => read(100 + i, 100.5 + i, Math.min(i, 40)));
  assert.is(checkLinearizable([...unknown, ...reads], COUNTER, 2000).kind, "linearizable");
  assert.is(checkLinearizable([...unknown, ...reads, read(500, 501, 41)], COUNTER, 2000).kind, "violated");
  // Without twins each of them may be the one that happened.
  const kindOf = ({ key }: CounterInput): string => String(key);
  const different = Array.from({ length: 40 }, (_, i) => add(i, UNKNOWN, undefined, i));
  assert.is(checkLinearizable([...different, ...reads], { ...COUNTER, kindOf }, 2000).kind, "undecided");
});

test("a hundred reads that wait together are no harder than one", () => {
  const together = Array.from({ length: 100 }, (_, i) => read(0, 1000 + i, i % 4));
  const adds = [add(10, 20, 1), add(30, 40, 2), add(50, 60, 3)];
  assert.is(checkLinearizable([...together, ...adds], COUNTER, 2000).kind, "linearizable");
  assert.is(checkLinearizable([...together, ...adds, read(0, 2000, 4)], COUNTER, 2000).kind, "violated");
});

/** Clients of a counter that does one thing at a time, at an instant within each call; some never hear the answer. */
function honest(random: Prng, operations: number, clients: number): CounterOperation[] {
  const calls: { calledAt: number; effectAt: number; returnedAt: number; isRead: boolean; isLost: boolean }[] = [];
  for (let client = 0; client < clients; client++) {
    let now = random.fraction() * 5;
    for (let i = 0; i < operations / clients; i++) {
      const calledAt = now;
      const effectAt = calledAt + random.fraction() * 3;
      const returnedAt = effectAt + random.fraction() * 3;
      calls.push({ calledAt, effectAt, returnedAt, isRead: random.chance(0.4), isLost: random.chance(0.1) });
      now = returnedAt + random.fraction() * 2;
    }
  }
  calls.sort((a, b) => a.effectAt - b.effectAt);
  let value = 0;
  const history: CounterOperation[] = [];
  for (const { calledAt, returnedAt, isRead, isLost } of calls) {
    if (isRead) history.push(read(calledAt, returnedAt, value));
    else if (isLost && random.chance(0.5)) history.push(add(calledAt, UNKNOWN));
    else {
      value++;
      history.push(add(calledAt, isLost ? UNKNOWN : returnedAt, value));
    }
  }
  return history;
}

/** The definition itself, tried out: every order of every subset that keeps real time. For small histories only. */
function bruteForce(history: readonly CounterOperation[]): boolean {
  const place = (state: number, rest: readonly CounterOperation[]): boolean => {
    if (rest.every((each) => each.returnedAt === UNKNOWN)) return true;
    const earliestReturn = Math.min(...rest.map((each) => each.returnedAt));
    return rest.some((each, i) => {
      if (each.calledAt > earliestReturn) return false;
      const isUnknown = each.returnedAt === UNKNOWN;
      const next = COUNTER.step(state, each.input, isUnknown ? undefined : each.output);
      return next !== undefined && place(next, [...rest.slice(0, i), ...rest.slice(i + 1)]);
    });
  };
  return place(COUNTER.initial, history);
}

test("histories of an honest counter pass, however many clients use it", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const history = honest(createPrng(seed), 120, 2 + (seed % 9));
    assert.is(checkLinearizable(history, COUNTER).kind, "linearizable", `seed ${seed}`);
  }
});

test("with one answer changed the verdict is that of the definition, tried out in every order", () => {
  let violated = 0;
  for (let seed = 1; seed <= 400; seed++) {
    const random = createPrng(seed);
    const history = honest(random, 7, 3);
    const number = random.range(0, history.length - 1);
    const { output, ...rest } = history[number] as CounterOperation;
    history[number] = { ...rest, output: (output ?? 0) + random.pick([-2, -1, 1, 2]) };
    const isLegal = bruteForce(history);
    if (!isLegal) violated++;
    assert.is(checkLinearizable(history, COUNTER).kind, isLegal ? "linearizable" : "violated", `seed ${seed}`);
  }
  assert.ok(violated > 100 && violated < 390, `${violated} of 400 were violations`);
});

test("answers that come late do not multiply the places where unknown outcomes may have happened", () => {
  const late = [1, 2, 3, 5, 6, 7, 8, 9, 11, 12, 13, 14].map((value) => add(0, 1000, value));
  const lost = Array.from({ length: 6 }, () => add(0, UNKNOWN));
  const reads = Array.from({ length: 15 }, (_, value) => read(0, 900, value));
  const history = [...late, ...lost, ...reads];
  assert.is(checkLinearizable(history, COUNTER, 100).kind, "linearizable");
  assert.is(checkLinearizable([...history, read(0, 900, 40)], COUNTER, 100).kind, "violated");
  const { isPast: _, ...blind } = COUNTER;
  assert.is(checkLinearizable(history, blind, 100).kind, "undecided", "or this test shows nothing");
});

test.run();
