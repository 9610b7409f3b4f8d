import { test } from "uvu";
import * as assert from "uvu/assert";
import { type CheckedVoter, compareChecks, type ToldCheck } from "../../../src/cluster/state-check/policy.ts";

const check = (index: number, running: string, content = "", comparable = "1/3.44"): ToldCheck => ({
  ...{ index, running, content, comparable },
});
const voters = (...told: (readonly ToldCheck[] | "silent")[]): CheckedVoter[] =>
  told.map((checks, at) => ({
    raftId: `r${at}`,
    checks: checks === "silent" ? [] : checks,
    isSilent: checks === "silent",
  }));

test("equal states agree, and so do boxes that have not told yet", () => {
  const same = [check(1024, "a", "x")];
  assert.equal(compareChecks(voters(same, same, same)), { kind: "agreed" });
  assert.equal(compareChecks(voters(same, "silent", [])), { kind: "agreed" });
  assert.equal(compareChecks([]), { kind: "agreed" });
});

test("the minority differs, in its effects or in its content", () => {
  const right = [check(1024, "a", "x")];
  assert.equal(compareChecks(voters(right, [check(1024, "b", "x")], right)), {
    ...{ kind: "differ", index: 1024, boxes: ["r1"] },
  });
  assert.equal(compareChecks(voters([check(1024, "a", "y")], right, right)), {
    ...{ kind: "differ", index: 1024, boxes: ["r0"] },
  });
  assert.equal(compareChecks(voters(right, [check(1024, "b")], right, [check(1024, "c")], right)), {
    ...{ kind: "differ", index: 1024, boxes: ["r1", "r3"] },
  });
});

test("two against nobody decide nothing as long as a third may speak", () => {
  const [a, b] = [[check(1024, "a")], [check(1024, "b")]];
  assert.equal(compareChecks(voters(a, b, "silent")), { kind: "undecided", index: 1024 });
  assert.equal(compareChecks(voters(a, b, [])), { kind: "undecided", index: 1024 });
  // It is past that entry and did not look at it.
  assert.equal(compareChecks(voters(a, b, [check(2048, "a")])), { kind: "nobody-right", index: 1024 });
});

test("where all differ nobody is right", () => {
  const told = voters([check(1024, "a")], [check(1024, "b")], [check(1024, "c")]);
  assert.equal(compareChecks(told), { kind: "nobody-right", index: 1024 });
});

test("a box that did not look at the content is no witness of it", () => {
  const right = [check(1024, "a", "x")];
  for (const idle of [[check(1024, "a")], [check(1024, "a"), check(2048, "a")]])
    assert.equal(compareChecks(voters(right, idle, [check(1024, "a", "y")])), { kind: "undecided", index: 1024 });
  const all = voters(right, [check(1024, "a", "z")], [check(1024, "a", "y")]);
  assert.equal(compareChecks(all), { kind: "nobody-right", index: 1024 });
});

test("builds that count differently are not compared, equal ones among them are", () => {
  const old = [check(1024, "a")];
  const young = [check(1024, "z", "", "2/3.44")];
  assert.equal(compareChecks(voters(old, old, young)), { kind: "agreed" });
  assert.equal(compareChecks(voters(old, [check(1024, "b")], old, young, old)), {
    ...{ kind: "differ", index: 1024, boxes: ["r1"] },
  });
});

test("what is decided comes before what is open, whichever is newer", () => {
  const told = voters(
    [check(1024, "a"), check(2048, "a", "x")],
    [check(1024, "b"), check(2048, "a", "y")],
    [check(1024, "a")],
  );
  assert.equal(compareChecks(told), { kind: "differ", index: 1024, boxes: ["r1"] });
});

test("the newest difference counts", () => {
  const both = [check(1024, "a"), check(2048, "a")];
  const late = [check(1024, "b"), check(2048, "b")];
  assert.equal(compareChecks(voters(both, both, late)), { kind: "differ", index: 2048, boxes: ["r2"] });
  assert.equal(compareChecks(voters(both, [check(1024, "b")], both)), { kind: "differ", index: 1024, boxes: ["r1"] });
});

test.run();
