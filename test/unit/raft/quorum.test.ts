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

// Against the definitions, tried out over all sets of boxes.

const BOXES = [1, 2, 3, 4, 5, 6, 7];
const voterSet = fc.uniqueArray(fc.constantFrom(...BOXES), { minLength: 1 }).map((voters) => voters.sort().map(id));
const anyMembership = fc.record({
  voters: voterSet,
  votersOutgoing: fc.oneof(fc.constant<string[]>([]), voterSet),
});
/** Every set of the seven boxes. */
const SETS = Array.from({ length: 2 ** BOXES.length }, (_, bits) => BOXES.filter((_, at) => bits & (1 << at)).map(id));

/** The definition: more than half of the voters, and more than half of the outgoing ones if there are any. */
function isQuorumByDefinition(membership: { voters: string[]; votersOutgoing: string[] }, set: string[]): boolean {
  const has = (voters: string[]): boolean => 2 * voters.filter((voter) => set.includes(voter)).length > voters.length;
  return has(membership.voters) && (membership.votersOutgoing.length === 0 || has(membership.votersOutgoing));
}

test("a quorum is what the definition says, for every set of boxes, joint or not", () => {
  return fc.assert(
    fc.property(anyMembership, (membership) => {
      for (const set of SETS) {
        assert.is(
          isQuorum(membership, (voter) => set.includes(voter)),
          isQuorumByDefinition(membership, set),
        );
      }
    }),
  );
});

test("what is committed is the largest index that some quorum holds, for any match indexes", () => {
  const matches = fc.array(fc.nat(9), { minLength: BOXES.length, maxLength: BOXES.length });
  return fc.assert(
    fc.property(anyMembership, matches, (membership, values) => {
      const matchOf = (voter: string): number => values[BOXES.map(id).indexOf(voter)] ?? 0;
      const quorums = SETS.filter((set) => isQuorumByDefinition(membership, set));
      const held = quorums.map((quorum) => Math.min(...quorum.map(matchOf)));
      assert.is(quorumValue(membership, matchOf), Math.max(...held));
    }),
  );
});

test("an election is won when a quorum said yes, lost when no answers to come could win it, else open", () => {
  const answers = fc.array(fc.constantFrom(true, false, undefined), {
    minLength: BOXES.length,
    maxLength: BOXES.length,
  });
  return fc.assert(
    fc.property(anyMembership, answers, (membership, given) => {
      const answerOf = (voter: string): boolean | undefined => given[BOXES.map(id).indexOf(voter)];
      const said = (wanted: boolean | undefined): string[] => BOXES.map(id).filter((box) => answerOf(box) === wanted);
      const best = [...said(true), ...said(undefined)];
      const expected = isQuorumByDefinition(membership, said(true))
        ? "won"
        : isQuorumByDefinition(membership, best)
          ? "pending"
          : "lost";
      assert.is(tally(membership, answerOf), expected);
    }),
  );
});

test("a joint quorum meets every quorum of the old voters and every quorum of the new ones", () => {
  return fc.assert(
    fc.property(voterSet, voterSet, (voters, votersOutgoing) => {
      const joint = SETS.filter((set) => isQuorum({ voters, votersOutgoing }, (voter) => set.includes(voter)));
      for (const side of [voters, votersOutgoing]) {
        const others = SETS.filter((set) =>
          isQuorum({ voters: side, votersOutgoing: [] }, (voter) => set.includes(voter)),
        );
        const smallest = others.filter((set) => set.length === majority(side.length));
        for (const a of joint) {
          for (const b of smallest) if (!a.some((box) => b.includes(box))) throw new Error(`${a} and ${b} do not meet`);
        }
      }
    }),
    { numRuns: 30 },
  );
});

test.run();
