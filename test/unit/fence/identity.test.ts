import { test } from "uvu";
import * as assert from "uvu/assert";
import { compareGuid, isPlaceholderGuid, normalizeGuid } from "../../../src/fence/identity.ts";

const UUID = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

for (const [guid, order] of [
  ["3FA85F64-5717-4562-B3FC-2C963F66AFA6", "same"],
  ["645fa83f17576245b3fc2c963f66afa6", "mixed"],
  ["a6af663f962cfcb3624517576 45fa83f".replace(" ", ""), "reversed"],
  ["3fa85f6457174562b3fc2c963f66afa7", "different"],
  ["", "different"],
  ["not a guid", "different"],
] as const) {
  test(`"${guid}" is ${order}`, () => {
    assert.is(compareGuid(guid, UUID), order);
  });
}

test("what many machines share identifies nothing", () => {
  assert.ok(isPlaceholderGuid("0".repeat(32)));
  assert.ok(isPlaceholderGuid("f".repeat(32)));
  assert.ok(isPlaceholderGuid("03000200040005000006000700080009"));
  assert.not.ok(isPlaceholderGuid(normalizeGuid(UUID) ?? ""));
});

test("only 16 bytes are a GUID", () => {
  assert.is(normalizeGuid("{3FA85F64-5717-4562-B3FC-2C963F66AFA6}"), "3fa85f6457174562b3fc2c963f66afa6");
  assert.is(normalizeGuid("3fa85f64"), undefined);
});

test.run();
