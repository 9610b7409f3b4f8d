import { test } from "uvu";
import * as assert from "uvu/assert";
import { afterAttempt, NO_ATTEMPTS, waitBefore } from "../../../src/console/policy.ts";

test("ten wrong passwords take longer and longer, up to five minutes, and nobody is locked out for good", () => {
  let attempts = NO_ATTEMPTS;
  let now = 50_000;
  const waits: number[] = [];
  for (let count = 0; count < 14; count++) {
    const wait = waitBefore(attempts, now);
    waits.push(wait / 1000);
    now += wait;
    assert.is(waitBefore(attempts, now), 0);
    attempts = afterAttempt(attempts, now);
  }
  assert.equal(waits, [0, 0, 0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
});

test("an attempt that is made too early does not shorten the wait", () => {
  const attempts = { wrong: 9, lastAt: 1000 };
  assert.is(waitBefore(attempts, 1000), 128_000);
  assert.is(waitBefore(attempts, 100_000), 29_000);
});

test("a clock that began anew counts as no time passed", () => {
  assert.is(waitBefore({ wrong: 5, lastAt: 1_000_000 }, 10), 8000);
});

test.run();
