import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isQuorum, majority, majorityValue, quorumValue, tally } from "../../../src/raft/quorum.ts";
import { id } from "../../support/raft/group.ts";

const ids = (...numbers: number[]): string[] => numbers.map(id);

test("more than half decides, for even numbers too", () => {
  assert.equal([1, 2, 3, 4, 5, 6, 7].map(majority), [1, 2, 2, 3, 3, 4, 4]);
});

test("the majority value is what more than half have reached", () => {
  return fc.assert(
    fc.property(fc.array(fc.nat(20), { minLength: 1, maxLength: 7 }), (values) => {
      const voters = values.map((_, i) => id(i + 1));
      const result = majorityValue(voters, (voter) => values[voters.indexOf(voter)] ?? 0);
      const reached = (bar: number): number => values.filter((value) => value >= bar).length;
      assert.ok(reached(result) >= majority(values.length));
      assert.ok(reached(result + 1) < majority(values.length));
    }),
  );
});

test("a joint decision needs a majority of each voter set", () => {
  const membership = { voters: ids(1, 2, 3), votersOutgoing: ids(3, 4, 5) };
  const values = new Map([
    [id(1), 9],
    [id(2), 8],
    [id(3), 7],
    [id(4), 2],
    [id(5), 1],
  ]);
  assert.is(
    quorumValue(membership, (voter) => values.get(voter) ?? 0),
    2,
  );
  assert.not(isQuorum(membership, (voter) => ids(1, 2).includes(voter)));
  assert.ok(isQuorum(membership, (voter) => ids(1, 3, 4).includes(voter)));
});

test("nobody is no quorum, and an absent outgoing set is in nobody's way", () => {
  assert.not(isQuorum({ voters: [], votersOutgoing: [] }, () => true));
  assert.ok(isQuorum({ voters: ids(1), votersOutgoing: [] }, () => true));
  assert.is(
    majorityValue([], () => 0),
    Number.POSITIVE_INFINITY,
  );
});

test("an election is lost as soon as it cannot be won any more, and not before", () => {
  const membership = { voters: ids(1, 2, 3, 4), votersOutgoing: [] };
  const votes = new Map<string, boolean>([[id(1), true]]);
  const now = (): string => tally(membership, (voter) => votes.get(voter));
  assert.is(now(), "pending");
  votes.set(id(2), false);
  assert.is(now(), "pending");
  votes.set(id(3), false);
  assert.is(now(), "lost");
  votes.set(id(3), true);
  assert.is(now(), "pending");
  votes.set(id(4), true);
  assert.is(now(), "won");
});

test("two quorums of one membership always share a voter", () => {
  const set = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 5 });
  const some = fc.array(fc.integer({ min: 1, max: 7 }));
  return fc.assert(
    fc.property(set, set, some, some, (voters, outgoing, a, b) => {
      const membership = { voters: voters.map(id), votersOutgoing: outgoing.map(id) };
      const holdsA = (voter: string): boolean => a.map(id).includes(voter);
      const holdsB = (voter: string): boolean => b.map(id).includes(voter);
      if (!isQuorum(membership, holdsA) || !isQuorum(membership, holdsB)) return;
      assert.ok(membership.voters.some((voter) => holdsA(voter) && holdsB(voter)));
    }),
  );
});

test.run();
