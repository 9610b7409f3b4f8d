import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { MalformedError } from "../../../src/raft/bytes.ts";
import {
  changeMembership,
  EMPTY_MEMBERSHIP,
  foundingChange,
  isJoint,
  memberOf,
  soloMembership,
} from "../../../src/raft/membership.ts";
import {
  decodeMembership,
  decodeMembershipChange,
  encodeMembership,
  encodeMembershipChange,
} from "../../../src/raft/membership-codec.ts";
import { isQuorum } from "../../../src/raft/quorum.ts";
import type { Membership, MembershipChange, MembershipStep } from "../../../src/raft/types.ts";
import { id, member, membershipOf } from "../../support/raft/group.ts";

function change(membership: Membership, given: MembershipChange): Membership {
  const result = changeMembership(membership, given);
  if (result.kind === "refused") throw new Error(result.why);
  return result.membership;
}

function refusal(membership: Membership, given: MembershipChange): string {
  const result = changeMembership(membership, given);
  return result.kind === "refused" ? result.why : "changed";
}

const simple = (...steps: MembershipStep[]): MembershipChange => ({ kind: "simple", steps });

test("the founding entry makes the founder the only voter, wherever it is applied", () => {
  assert.equal(change(EMPTY_MEMBERSHIP, foundingChange(member(1))), soloMembership(member(1)));
});

test("a box joins as a learner, with its record, and is promoted to a voter", () => {
  const joined = change(soloMembership(member(1)), simple({ kind: "add-learner", member: member(2) }));
  assert.equal(joined, membershipOf([1], [2]));
  assert.equal(change(joined, simple({ kind: "promote", raftId: id(2) })), membershipOf([1, 2]));
});

test("replacing a dead box is one change: the old voter goes and the new learner comes", () => {
  const replaced = change(
    membershipOf([1, 2, 3]),
    simple({ kind: "remove", raftId: id(3) }, { kind: "add-learner", member: member(4) }),
  );
  assert.equal(replaced, membershipOf([1, 2], [4]));
});

test("a simple change moves at most one voter", () => {
  const two = simple({ kind: "remove", raftId: id(1) }, { kind: "remove", raftId: id(2) });
  assert.match(refusal(membershipOf([1, 2, 3, 4, 5]), two), /moves 2/);
});

test("what does not fit is refused with its reason", () => {
  const three = membershipOf([1, 2, 3]);
  assert.match(refusal(three, simple({ kind: "promote", raftId: id(2) })), /is not a learner/);
  assert.match(refusal(three, simple({ kind: "remove", raftId: id(9) })), /is not a member/);
  assert.match(refusal(three, simple({ kind: "add-learner", member: member(2) })), /is a member already/);
  assert.match(refusal(membershipOf([1]), simple({ kind: "remove", raftId: id(1) })), /no voter would be left/);
  assert.match(refusal(three, { kind: "leave-joint" }), /no joint change/);
  const bad = { ...member(4), raftId: "XYZ" };
  assert.match(refusal(three, simple({ kind: "add-learner", member: bad })), /16 lower-case hex/);
});

test("a joint change keeps the outgoing voters and their records until it is left", () => {
  const steps: MembershipStep[] = [
    { kind: "remove", raftId: id(1) },
    { kind: "demote", raftId: id(2) },
    { kind: "add-voter", member: member(4) },
  ];
  const joint = change(membershipOf([1, 2, 3]), { kind: "enter-joint", steps, autoLeave: true });
  assert.ok(isJoint(joint));
  assert.equal(joint.voters, [id(3), id(4)]);
  assert.equal(joint.votersOutgoing, [id(1), id(2), id(3)]);
  assert.equal(joint.learnersNext, [id(2)]);
  assert.is(joint.members.length, 4);
  assert.match(refusal(joint, simple({ kind: "remove", raftId: id(3) })), /leave it first/);
  const left = change(joint, { kind: "leave-joint" });
  assert.equal(left, { ...membershipOf([3, 4], [2]), members: [member(2), member(3), member(4)] });
});

test("a joint change of a sole voter is one, too", () => {
  const steps = [{ kind: "add-learner", member: member(2) }] as const;
  const joint = change(soloMembership(member(1)), { kind: "enter-joint", steps, autoLeave: false });
  assert.ok(isJoint(joint));
  assert.match(refusal(joint, simple({ kind: "promote", raftId: id(2) })), /leave it first/);
  assert.equal(change(joint, { kind: "leave-joint" }).voters, [id(1)]);
});

test("a member's record is found by its id", () => {
  const membership = membershipOf([1, 2], [3]);
  assert.equal(memberOf(membership, id(3)), member(3));
  assert.is(memberOf(membership, id(4)), undefined);
});

test("an update changes the record and not who counts", () => {
  const moved = { ...member(2), peerAddress: "10.9.9.9:2636" };
  const updated = change(membershipOf([1, 2]), simple({ kind: "update", member: moved }));
  assert.equal(updated, { ...membershipOf([1, 2]), members: [member(1), moved] });
});

/** Few enough to try all sets of them, more than the three that changes start from. */
const ANY_MEMBER_MAX = 7;
const anyMember = fc
  .record({
    n: fc.integer({ min: 1, max: ANY_MEMBER_MAX }),
    serverId: fc.nat(),
    name: fc.string({ unit: "grapheme", maxLength: 20 }),
  })
  .map(({ n, serverId, name }) => ({ ...member(n), serverId, name }));
const anyStep: fc.Arbitrary<MembershipStep> = fc.oneof(
  anyMember.map((m) => ({ kind: "add-learner", member: m }) as const),
  anyMember.map((m) => ({ kind: "add-voter", member: m }) as const),
  anyMember.map((m) => ({ kind: "update", member: m }) as const),
  fc.integer({ min: 1, max: ANY_MEMBER_MAX }).map((n) => ({ kind: "promote", raftId: id(n) }) as const),
  fc.integer({ min: 1, max: ANY_MEMBER_MAX }).map((n) => ({ kind: "demote", raftId: id(n) }) as const),
  fc.integer({ min: 1, max: ANY_MEMBER_MAX }).map((n) => ({ kind: "remove", raftId: id(n) }) as const),
);
const anyChange: fc.Arbitrary<MembershipChange> = fc.oneof(
  fc.array(anyStep, { maxLength: 4 }).map((steps) => ({ kind: "simple", steps }) as const),
  fc
    .tuple(fc.array(anyStep, { maxLength: 6 }), fc.boolean())
    .map(([steps, autoLeave]) => ({ kind: "enter-joint", steps, autoLeave }) as const),
  fc.constant({ kind: "leave-joint" } as const),
);

test("whatever is changed, each member counts once and has one record", () => {
  return fc.assert(
    fc.property(fc.array(anyChange, { maxLength: 12 }), (changes) => {
      let membership = membershipOf([1, 2, 3]);
      for (const given of changes) {
        const result = changeMembership(membership, given);
        if (result.kind === "refused") continue;
        membership = result.membership;
        const counting = new Set([...membership.voters, ...membership.votersOutgoing]);
        for (const learner of membership.learners) assert.not(counting.has(learner));
        const all = new Set([...counting, ...membership.learners, ...membership.learnersNext]);
        assert.equal(
          membership.members.map((m) => m.raftId),
          [...all].sort(),
        );
        assert.equal(membership.voters, [...membership.voters].sort());
        assert.ok(membership.voters.length > 0);
      }
    }),
  );
});

test("quorums of consecutive memberships share a voter, tried out over all sets of boxes", () => {
  const boxes = Array.from({ length: ANY_MEMBER_MAX }, (_, at) => id(at + 1));
  const sets = Array.from({ length: 2 ** boxes.length }, (_, bits) => boxes.filter((_, at) => bits & (1 << at)));
  const quorumsOf = (membership: Membership): string[][] =>
    sets.filter((set) => isQuorum(membership, (voter) => set.includes(voter)));
  /** Larger ones meet whatever a smaller one in them meets. */
  const smallest = (quorums: string[][]): string[][] =>
    quorums.filter(
      (quorum) => !quorums.some((other) => other.length < quorum.length && other.every((box) => quorum.includes(box))),
    );
  let taken = 0;
  void fc.assert(
    fc.property(fc.array(anyChange, { minLength: 4, maxLength: 10 }), (changes) => {
      let membership = membershipOf([1, 2, 3]);
      for (const given of changes) {
        const result = changeMembership(membership, given);
        if (result.kind === "refused") continue;
        taken++;
        const after = smallest(quorumsOf(result.membership));
        for (const quorum of smallest(quorumsOf(membership))) {
          for (const other of after) {
            if (!quorum.some((box) => other.includes(box))) throw new Error(`${quorum} and ${other} do not meet`);
          }
        }
        membership = result.membership;
      }
    }),
    { numRuns: 200 },
  );
  assert.ok(taken > 50, `${taken} changes fitted`);
});

test("changes and memberships survive their encoding", () => {
  return fc.assert(
    fc.property(anyChange, (given) => {
      assert.equal(decodeMembershipChange(encodeMembershipChange(given)), given);
      const result = changeMembership(membershipOf([1, 2, 3], [4]), given);
      if (result.kind === "refused") return;
      assert.equal(decodeMembership(encodeMembership(result.membership)), result.membership);
    }),
  );
});

test("cut or foreign bytes are refused, never guessed", () => {
  const bytes = encodeMembership(membershipOf([1, 2, 3]));
  for (let size = 0; size < bytes.length; size++) {
    assert.throws(
      () => decodeMembership(bytes.subarray(0, size)),
      (error: unknown) => error instanceof MalformedError,
    );
  }
  const other = bytes.slice();
  other[0] = 9;
  assert.throws(() => decodeMembership(other), /version 9/);
});

test.run();
