import { test } from "uvu";
import * as assert from "uvu/assert";
import type { Readiness } from "../../../src/fence/readiness.ts";
import type { HostLevel } from "../../../src/monitor/ports.ts";
import { judgementOf, noteLevel, powerNews, seenNothing } from "../../../src/parts/judgement.ts";

const READY: Readiness = {
  hostId: 3,
  isReady: true,
  reason: "",
  findings: [],
  power: "off",
  guid: "",
  wasSilent: false,
  answeringForMs: 90_000,
  ageMs: 100,
};
const UP: HostLevel = {
  kind: "host-up",
  hostId: 3,
  since: 0,
  inference: { kind: "up", boxId: 0, answerAgeMs: 300, degraded: undefined, unheardBy: [] },
};
const EVIDENCE = { boxes: [0, 1], votersInForce: 3, silentMs: 2_100, bmc: "unknown", storage: "stopped" } as const;
const DOWN: HostLevel = { kind: "host-down", hostId: 3, since: 7, inference: { kind: "down", evidence: EVIDENCE } };

test("a power state that is no news any more opens no gate and is no sign of life", () => {
  assert.is(judgementOf(DOWN, seenNothing(), undefined, READY).bmcPower, "off");
  for (const power of ["on", "off", "silent"] as const)
    assert.is(judgementOf(DOWN, seenNothing(), undefined, { ...READY, power, ageMs: 30_000 }).bmcPower, "unknown");
  assert.is(powerNews({ ...READY, ageMs: 30_000 }), "unknown");
  assert.is(powerNews(undefined), "unknown");
});

test("what the boxes read of the BMC now outweighs what readiness read", () => {
  const level: HostLevel = { ...DOWN, inference: { kind: "down", evidence: { ...EVIDENCE, bmc: "on" } } };
  assert.is(judgementOf(level, seenNothing(), undefined, READY).bmcPower, "on");
});

test("an answer voids an off that was sent before it, and not one that was sent after it", () => {
  const seen = seenNothing();
  noteLevel(seen, UP, 10_000, 1_000_000);
  assert.is(seen.lastAnswerAt, 9_700);
  assert.is(judgementOf(DOWN, { ...seen, offSentAt: 9_699 }, undefined, READY).isAnswerAfterOff, true);
  assert.is(judgementOf(DOWN, { ...seen, offSentAt: 9_701 }, undefined, READY).isAnswerAfterOff, false);
  assert.is(judgementOf(DOWN, seen, undefined, READY).isAnswerAfterOff, false, "nothing was sent");
});

test("a host of which nothing is known yet is neither alive nor down", () => {
  assert.is(judgementOf(undefined, seenNothing(), undefined, undefined).verdict, "unknown");
  const { verdict, downSinceAt, storage } = judgementOf(DOWN, seenNothing(), undefined, undefined);
  assert.equal({ verdict, downSinceAt, storage }, { verdict: "down", downSinceAt: 7, storage: "missed-two" });
});

test.run();
