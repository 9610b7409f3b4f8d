import { test } from "uvu";
import * as assert from "uvu/assert";
import { createSideAge, SIDE_AGE_MS_MAX } from "../../../src/parts/side-age.ts";

test("verdicts of a work thread that stands still are taken out once, and come back when it renews them", () => {
  let now = 10;
  const side = createSideAge(() => now);
  now += 10 * SIDE_AGE_MS_MAX;
  assert.not(side.isOver(), "there were none");
  side.renewed();
  now += SIDE_AGE_MS_MAX;
  assert.not(side.isOver());
  now += 1;
  assert.ok(side.isOver());
  assert.not(side.isOver());
  side.renewed();
  assert.not(side.isOver());
});

test.run();
