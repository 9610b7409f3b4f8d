import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeRefusal, encodeRefusal, orderOf } from "../../../src/cluster/refusal.ts";

const cluster = { lineage: "0011223344556677", generation: 2 };
const standing = { cluster, memberAt: 10 };
const why = "not a member";

test("only a newer membership without this box removes it", () => {
  assert.equal(orderOf({ why, cluster, notMemberAt: 11 }, standing), { kind: "removed", index: 11 });
  assert.is(orderOf({ why, cluster, notMemberAt: 10 }, standing), undefined);
  assert.is(orderOf({ why, cluster, notMemberAt: 3 }, standing), undefined, "a member that is behind");
  assert.is(orderOf({ why, cluster }, standing), undefined);
  assert.is(orderOf({ why, notMemberAt: 11 }, standing), undefined);
  const notYet = { cluster, memberAt: undefined };
  assert.is(orderOf({ why, cluster, notMemberAt: 11 }, notYet), undefined, "who is not in what it has may yet come in");
});

test("a higher generation of the own lineage ends this one, whatever its indexes; a lower one ends nothing", () => {
  const higher = { ...cluster, generation: 3 };
  assert.equal(orderOf({ why, cluster: higher, notMemberAt: 1 }, standing), { kind: "generation", cluster: higher });
  assert.is(orderOf({ why, cluster: { ...cluster, generation: 1 }, notMemberAt: 99 }, standing), undefined);
  const foreign = { lineage: "ffffffffffffffff", generation: 9 };
  assert.is(orderOf({ why, cluster: foreign, notMemberAt: 99 }, standing), undefined);
});

test("a refusal travels whole, and what is none is not taken for one", () => {
  const refusal = { why, cluster, notMemberAt: 4 };
  assert.equal(decodeRefusal(encodeRefusal(refusal)), refusal);
  for (const text of ["", "{}", "null", '"x"', "not a member"])
    assert.throws(() => decodeRefusal(Buffer.from(text)), undefined, text);
});

test.run();
