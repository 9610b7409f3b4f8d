import { test } from "uvu";
import * as assert from "uvu/assert";
import {
  type Boot,
  enterBoot,
  formatBoots,
  LOOP_RESETS,
  parseBoots,
  resetsInARow,
  settle,
} from "../../../src/watchdog/boot-history.ts";
import type { ResetReason } from "../../../src/watchdog/reset-reason.ts";

const word = (bootId: string, detail = "", reason: ResetReason["reason"] = "presumed-watchdog"): ResetReason => ({
  ...{ reason, bootId, at: "", detail },
});

/** Boots one after the other, each ended as told. */
function live(ends: readonly ("reset" | "settled" | "controlled" | "power" | "decided" | "mute")[]): readonly Boot[] {
  let boots = enterBoot([], "0", undefined, { isCardReset: false });
  ends.forEach((end, at) => {
    if (end === "settled") boots = settle(boots, `${at}`);
    const last =
      end === "controlled" ? word(`${at}`, "", "controlled-stop") : word(`${at}`, end === "decided" ? "x" : "");
    const isCardReset = end === "mute" || end === "decided" ? undefined : end !== "power";
    boots = enterBoot(parseBoots(formatBoots(boots)), `${at + 1}`, last, { isCardReset });
  });
  return boots;
}

test("three resets in a row of boots that were not settled make a loop", () => {
  assert.is(resetsInARow(live(["reset", "reset"])), 2);
  assert.is(resetsInARow(live(["reset", "decided", "mute"])), LOOP_RESETS);
});

test("a boot that lived for long, ended in order, or lost its power ends the row", () => {
  for (const end of ["settled", "controlled", "power"] as const) {
    assert.is(resetsInARow(live(["reset", "reset", end])), 0, end);
    assert.is(resetsInARow(live([end, "reset", "reset"])), 2, end);
  }
});

test("twenty power cuts in a row are no loop where the device tells the truth, nor where there is none", () => {
  assert.is(resetsInARow(live(Array.from({ length: 20 }, () => "power" as const))), 0);
  let boots = enterBoot([], "0", undefined, undefined);
  for (let at = 0; at < 20; at++) boots = enterBoot(boots, `${at + 1}`, word(`${at}`), undefined);
  assert.is(resetsInARow(boots), 0);
});

test("a supervisor that is started again in the same boot counts nothing", () => {
  const boots = live(["reset"]);
  assert.equal(enterBoot(boots, "1", word("1"), { isCardReset: true }), boots);
});

test("the file is bounded, and a torn line is left out", () => {
  const boots = live(Array.from({ length: 40 }, () => "reset" as const));
  assert.is(boots.length, 16);
  const text = formatBoots(boots);
  for (let length = 0; length < text.length; length += 7) parseBoots(text.slice(0, length));
  assert.is(parseBoots(`${text}{"bootId":"x"`).length, 16);
});

test.run();
