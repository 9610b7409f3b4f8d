import { test } from "uvu";
import * as assert from "uvu/assert";
import { program } from "../../../src/base/program.ts";

test("in the source tree a program is its source", () => {
  assert.is(program("../main.ts", "file:///checkout/src/parts/supervision.ts"), "../main.ts");
});

test("in a bundle a program is the bundle beside it", () => {
  assert.is(program("../../console.ts", "file:///usr/lib/ringfence/cli.js"), "./console.js");
  assert.is(program("./core-thread.ts", "file:///usr/lib/ringfence/main.js"), "./core-thread.js");
});

test.run();
