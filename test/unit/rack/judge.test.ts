import { test } from "uvu";
import * as assert from "uvu/assert";
import type { WatchEvent } from "../../support/rack/watch/event-file.ts";
import {
  firstAnswer,
  firstRecordOfNewBoot,
  judgeHolders,
  longestGap,
  recordsOf,
} from "../../support/rack/watch/judge.ts";

/** `mac` answers rounds of 5 ms from `from` to `until`, `delay` ms after each question. */
function holds(mac: string, from: number, until: number, delay = 0.05): WatchEvent[] {
  const events: WatchEvent[] = [];
  for (let at = from; at <= until; at += 5) {
    events.push({ kind: "holder", atMs: at + delay, mac, by: "arp", round: at / 5, askedAtMs: at });
  }
  return events;
}

test("one after another is one holder at any instant", () => {
  const verdict = judgeHolders([...holds("a", 0, 1000), ...holds("b", 1005, 2000)]);
  assert.equal([verdict.max, verdict.overlaps, verdict.holdings.length], [1, [], 2]);
});

test("an address that comes back to its first holder later is one holder at any instant", () => {
  const verdict = judgeHolders([...holds("a", 0, 500), ...holds("b", 600, 900), ...holds("a", 1000, 1500)]);
  assert.is(verdict.max, 1);
});

test("an answer between two of another's is two holders, even a single one", () => {
  const verdict = judgeHolders([...holds("a", 0, 1000), ...holds("b", 500, 500, 2.5)]);
  assert.is(verdict.max, 2);
  assert.equal(verdict.overlaps, [{ atMs: 502.5, macs: ["a", "b"] }]);
});

test("two that answer one round at once are two holders, even if neither answers again", () => {
  assert.is(judgeHolders([...holds("a", 500, 500), ...holds("b", 500, 500, 0.1)]).max, 2);
});

test("an answer that waits for its turn to be read is not of the instant of the question", () => {
  // The second answer came 3 ms after the question: the first holder may have let go by then.
  assert.is(judgeHolders([...holds("a", 0, 500), ...holds("b", 500, 500, 3)]).max, 1);
});

test("three at once are three, and nobody is none", () => {
  assert.is(judgeHolders([...holds("a", 0, 50), ...holds("b", 0, 50), ...holds("c", 0, 50)]).max, 3);
  assert.is(judgeHolders([]).max, 0);
});

test("the order in which answers were written down does not matter", () => {
  const events = [...holds("b", 500, 600), ...holds("a", 0, 1000)];
  assert.equal(judgeHolders(events), judgeHolders(events.toReversed()));
});

test("a gap counts from the last answer before the window to the first one after it", () => {
  assert.equal(longestGap([0, 5, 10, 400, 405], 50, 300), { ms: 390, fromMs: 10, untilMs: 400 });
});

test("silence to the end of the window counts up to that end", () => {
  assert.equal(longestGap([0, 5, 10], 5, 300), { ms: 290, fromMs: 10, untilMs: undefined });
});

test("without any answer the gap is the whole window", () => {
  assert.equal(longestGap([], 100, 300), { ms: 200, fromMs: undefined, untilMs: undefined });
});

test("the longest of several gaps is taken", () => {
  assert.equal(longestGap([0, 20, 25, 60, 65], 0, 65), { ms: 35, fromMs: 25, untilMs: 60 });
});

test("a guest's new boot is what answers, not what its old boot still writes", () => {
  const record = (atMs: number, bootId: string): WatchEvent => {
    return { kind: "record", atMs, target: "g", number: atMs, bootId, counter: 1 };
  };
  const events = [record(10, "A"), record(30, "A"), record(50, "A"), record(70, "B"), record(90, "B")];
  assert.is(firstRecordOfNewBoot(events, "g", 20), 70);
  assert.is(firstRecordOfNewBoot(events, "g", 75), undefined);
  assert.is(firstRecordOfNewBoot(events, "other", 20), undefined);
  assert.equal(
    recordsOf(events, "g")
      .map((each) => each.bootId)
      .join(""),
    "AAABB",
  );
});

test("the first answer after an instant is found whatever the order of the file", () => {
  const answer = (atMs: number): WatchEvent => ({ kind: "answer", atMs, target: "vip", sequence: 1 });
  assert.is(firstAnswer([answer(50), answer(20), answer(30)], "vip", 20), 30);
  assert.is(firstAnswer([answer(10)], "vip", 20), undefined);
});

test.run();
