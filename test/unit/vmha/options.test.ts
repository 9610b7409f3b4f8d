import { test } from "uvu";
import * as assert from "uvu/assert";
import { isResubmitHook, parseHostErrorArguments } from "../../../src/vmha/options.ts";

const NONE = { mode: "migrate", isForced: false, cycles: 0, isFencingWaived: false };

for (const [text, expected] of [
  ["", NONE],
  ["$TEMPLATE -m -p 5", { ...NONE, cycles: 5 }],
  ["$TEMPLATE -r", { ...NONE, mode: "recreate" }],
  ["$HID -r n", { ...NONE, mode: "recreate" }],
  ["$ID -d y", { ...NONE, mode: "delete", isForced: true }],
  ["-m -f --no-fencing", { ...NONE, isForced: true, isFencingWaived: true }],
] as const) {
  test(`"${text}" is read`, () => {
    assert.equal(parseHostErrorArguments(text), expected);
  });
}

for (const text of ["-x", "-p", "-p many", "-p 99999", "-m -r", "$OTHER -m", "rm -rf"]) {
  test(`"${text}" is refused with a sentence`, () => {
    assert.type(parseHostErrorArguments(text), "string");
  });
}

test("the hook for crashed guests is known in its forms", () => {
  assert.ok(isResubmitHook("/usr/bin/env onevm resubmit", "FAILED"));
  assert.ok(isResubmitHook("onevm recover --recreate", "failed"));
  assert.not.ok(isResubmitHook("onevm resubmit", "DONE"));
  assert.not.ok(isResubmitHook("mail admin", "FAILED"));
});

test.run();
