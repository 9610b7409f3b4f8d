import { test } from "uvu";
import * as assert from "uvu/assert";
import { EXPRESSION_LENGTH_MAX, parseRank, parseRequirements } from "../../../src/scheduler/requirements.ts";

const HOST = { ID: 3, NAME: "rack1-node2", CLUSTER_ID: 100, ARCH: "x86_64", FREE_CPU: 250, RUNNING_VMS: 2 };

function matches(text: string): boolean {
  const parsed = parseRequirements(text);
  if (!parsed.ok) throw new Error(parsed.why);
  return parsed.value(HOST);
}

for (const text of [
  "",
  "ID = 3",
  'ID = "3"',
  'NAME = "rack1-*"',
  'NAME = "*-node*"',
  "CLUSTER_ID = 100 & ID = 3",
  "ID = 9 | ID = 3",
  "ID = 9 & ID = 8 | ID = 3",
  "!(ID = 9)",
  "!ID = 9",
  "FREE_CPU > 200 & FREE_CPU <= 250",
  'ARCH != "aarch64"',
  "(CLUSTER_ID = 100) & !(PUBLIC_CLOUD = YES)",
  "free_cpu >= 250",
  "GPU != 1",
]) {
  test(`"${text}" matches`, () => {
    assert.ok(matches(text));
  });
}

for (const text of [
  "ID = 4",
  'NAME = "rack2-*"',
  "ID = 3 & ID = 4",
  "!(ID = 3)",
  "FREE_CPU > 250",
  "GPU = 1",
  "GPU > 0",
]) {
  test(`"${text}" does not match`, () => {
    assert.not.ok(matches(text));
  });
}

for (const text of [
  "ID",
  "ID =",
  "= 3",
  "(ID = 3",
  "ID = 3)",
  "ID = 3 ID = 4",
  "ID ~ 3",
  "ID = 3 &",
  `${"(".repeat(99)}ID=3${")".repeat(99)}`,
  "x".repeat(EXPRESSION_LENGTH_MAX + 1),
]) {
  test(`"${text.slice(0, 20)}" is refused with a reason`, () => {
    const parsed = parseRequirements(text);
    assert.not.ok(parsed.ok);
    if (!parsed.ok) assert.ok(parsed.why.length > 0);
  });
}

test("ranks are sums and products of attributes", () => {
  for (const [text, expected] of [
    ["FREE_CPU", 250],
    ["-RUNNING_VMS", -2],
    ["FREE_CPU - 2 * RUNNING_VMS", 246],
    ["2 * (FREE_CPU + RUNNING_VMS)", 504],
    ["NOTHING", 0],
    ["ARCH", 0],
  ] as const) {
    const parsed = parseRank(text);
    assert.ok(parsed.ok, text);
    if (parsed.ok) assert.is(parsed.value(HOST), expected);
  }
});

test("a pattern of many stars takes no time", () => {
  const parsed = parseRequirements(`NAME = "${"*a".repeat(1_000)}*b"`);
  assert.ok(parsed.ok);
  if (parsed.ok) assert.not.ok(parsed.value({ NAME: "a".repeat(20_000) }));
});

test.run();
