import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { chronyConf, chronySources, clockFloor } from "../../../src/box/time/policy.ts";
import { keepClock } from "../../../src/parts/box-clock.ts";

const BUILT = Date.UTC(2026, 5, 1);
const DAY = 86_400_000;

test("a clock at 1970 is set to the later of build and what was saved; a clock that may be right stays", () => {
  assert.is(clockFloor({ now: 0, builtAt: BUILT, savedAt: undefined }), BUILT);
  assert.is(clockFloor({ now: 0, builtAt: BUILT, savedAt: BUILT + DAY }), BUILT + DAY);
  assert.is(clockFloor({ now: 0, builtAt: BUILT, savedAt: BUILT - DAY }), BUILT);
  assert.is(clockFloor({ now: BUILT + 2 * DAY, builtAt: BUILT, savedAt: BUILT + DAY }), undefined);
  assert.is(clockFloor({ now: 0, builtAt: undefined, savedAt: undefined }), undefined);
});

test("a saved instant that lies decades ahead is not believed, so that one wrong clock does not last for ever", () => {
  assert.is(clockFloor({ now: BUILT + DAY, builtAt: BUILT, savedAt: BUILT + 30 * 365 * DAY }), undefined);
  assert.is(clockFloor({ now: 0, builtAt: BUILT, savedAt: BUILT + 30 * 365 * DAY }), BUILT);
});

test("chrony slews by 500 ppm at most, steps at the start only, and serves nobody", () => {
  const text = chronyConf(["pool.ntp.org", "10.0.0.1"]);
  for (const line of [
    "pool pool.ntp.org iburst",
    "server 10.0.0.1 iburst",
    "maxslewrate 500",
    "makestep 1 3",
    "port 0",
  ])
    assert.ok(text.split("\n").includes(line), line);
  assert.is(chronySources(["10.0.0.1", "10.0.0.1"]), "server 10.0.0.1 iburst\n");
});

test("the clock is kept when it is asked for, and a place that takes nothing is said once", async () => {
  const directory = mkdtempSync(join(tmpdir(), "clock-"));
  const said: string[] = [];
  const before = Date.now();
  await keepClock((text) => said.push(text), `${directory}/clock`).save();
  assert.ok(Number(readFileSync(`${directory}/clock`, "utf8")) >= before);
  const broken = keepClock((text) => said.push(text), `${directory}/no/where`);
  await broken.save();
  await broken.save();
  assert.is(said.length, 1);
  rmSync(directory, { recursive: true });
});

test.run();
