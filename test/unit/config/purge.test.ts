import { test } from "uvu";
import * as assert from "uvu/assert";
import { purgeOf } from "../../../src/config/purge.ts";

test("OpenNebula's names, meanings and defaults", () => {
  assert.equal(purgeOf({}), { retention: 250_000, limit: 100_000, everyMs: 600_000 });
  assert.equal(purgeOf({ LOG_RETENTION: "500", LIMIT_PURGE: "20", LOG_PURGE_TIMEOUT: "30" }), {
    ...{ retention: 500, limit: 20, everyMs: 30_000 },
  });
  assert.equal(purgeOf({ LOG_RETENTION: "0" }), { retention: 0, limit: 100_000, everyMs: 600_000 });
});

test("what is no count, never ends or never comes is a problem that names its setting", () => {
  for (const [items, said] of [
    [{ LOG_RETENTION: "-1" }, /LOG_RETENTION = "-1" is no count/],
    [{ LOG_PURGE_TIMEOUT: "soon" }, /LOG_PURGE_TIMEOUT = "soon"/],
    [{ LOG_PURGE_TIMEOUT: "0" }, /LOG_PURGE_TIMEOUT = "0" is not 1/],
    [{ LOG_PURGE_TIMEOUT: "86401" }, /is not 1 … 86400 seconds/],
    [{ LIMIT_PURGE: "0" }, /LIMIT_PURGE = "0"/],
  ] as const) {
    const result = purgeOf(items);
    assert.ok("problem" in result);
    if ("problem" in result) assert.match(result.problem, said);
  }
});

test.run();
