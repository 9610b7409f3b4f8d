import { test } from "uvu";
import * as assert from "uvu/assert";
import { longestLoss } from "../../bench/lost-echoes.ts";
import { median, quantile } from "../../bench/statistics.ts";
import type { WatchEvent } from "../../support/rack/watch/event-file.ts";

const answers = (...sequences: readonly number[]): WatchEvent[] =>
  sequences.map((sequence, at) => ({ kind: "answer", atMs: 100 + at * 5, target: "vip", sequence }));
const all = { fromMs: 0, untilMs: 1000, intervalMs: 5 };

test("an outage is counted in echoes that nobody answered, not in time between answers", () => {
  const late: WatchEvent[] = [...answers(1, 2), { kind: "answer", atMs: 500, target: "vip", sequence: 3 }];
  assert.is(longestLoss(late, "vip", all), 0, "a late prober is no outage");
  assert.is(longestLoss(answers(1, 2, 6, 7, 9), "vip", all), 15);
  assert.is(longestLoss(answers(1, 3, 2, 4), "vip", all), 5, "overtaking counts as one at most");
  assert.is(longestLoss(answers(65_534, 65_535, 0, 1), "vip", all), 0, "numbers wrap at 16 bits");
  assert.is(longestLoss(answers(1, 9), "other", all), 0);
});

test("only the window counts", () => {
  assert.is(longestLoss(answers(1, 50, 51, 52), "vip", { ...all, fromMs: 104 }), 0);
  assert.is(longestLoss(answers(1, 2, 3, 90), "vip", { ...all, untilMs: 111 }), 0);
});

test("median and quantile of few and of many", () => {
  assert.is(median([3, 1, 2]), 2);
  assert.is(median([4, 1, 2, 3]), 2.5);
  const fifty = Array.from({ length: 50 }, (_, at) => at + 1);
  assert.is(quantile(fifty, 0.99), 50, "of 50 samples p99 is the largest");
  assert.is(quantile([...fifty, ...fifty.map((each) => each + 50)], 0.99), 99);
  assert.ok(Number.isNaN(median([])));
});

test.run();
