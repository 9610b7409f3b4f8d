import { test } from "uvu";
import * as assert from "uvu/assert";
import { addRead, isProven, nextReadInMs, noReads, type OffReads, proofRule } from "../../../src/fence/proof.ts";

/** Feeds `power@ms` answers; what comes out. */
function feed(was: "on" | "off", answers: readonly string[], spacingMs = 250): OffReads {
  let reads = noReads(proofRule(was, spacingMs));
  for (const answer of answers) {
    const [power, at] = answer.split("@");
    reads = addRead(reads, power as "on" | "off" | "other", Number(at));
  }
  return reads;
}

for (const [was, answers, expected] of [
  ["on", ["off@0"], false],
  ["on", ["off@0", "off@249"], false],
  ["on", ["off@0", "off@250"], true],
  ["on", ["off@0", "on@100", "off@250"], false],
  ["on", ["off@0", "on@100", "off@250", "off@500"], true],
  ["on", ["off@0", "other@100", "off@300"], false],
  ["off", ["off@0", "off@250"], false],
  ["off", ["off@0", "off@500"], false],
  ["off", ["off@0", "off@500", "off@999"], false],
  ["off", ["off@0", "off@500", "off@1000"], true],
  ["off", ["off@0", "off@100", "off@200", "off@1000"], false],
] as const) {
  test(`a host that was ${was}, answers ${answers.join(" ")}: ${expected ? "proven" : "not proven"}`, () => {
    assert.is(isProven(feed(was, answers)), expected);
  });
}

test("firmware that answers from a cache is asked further apart", () => {
  assert.not.ok(isProven(feed("on", ["off@0", "off@4999"], 5_000)));
  assert.ok(isProven(feed("on", ["off@0", "off@5000"], 5_000)));
});

test("the next read is asked for when it can count", () => {
  assert.is(nextReadInMs(feed("on", []), 10), 0);
  assert.is(nextReadInMs(feed("on", ["off@0"]), 100), 150);
});

test.run();
