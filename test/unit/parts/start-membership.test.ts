import { test } from "uvu";
import * as assert from "uvu/assert";
import { startMembership } from "../../../src/parts/start-membership.ts";
import { soloMembership } from "../../../src/raft/membership.ts";
import { encodeMembership } from "../../../src/raft/membership-codec.ts";
import { INITIAL_HARD_STATE } from "../../../src/raft/types.ts";

const value = soloMembership({
  ...{ raftId: "00000000000000aa", serverId: 0, name: "a" },
  ...{ certificateHash: "00".repeat(32), peerAddress: "10.0.0.1:2636" },
});
const empty = { membership: undefined, hardState: undefined, lastIndex: 0 };
const bootstrap = { value, index: 3 };

test("a new box starts from what it founded or was told", () => {
  assert.equal(startMembership(empty, bootstrap), bootstrap);
});

test("the log's record holds, whatever the bootstrap says", () => {
  const membership = { index: 9, bytes: encodeMembership(value) };
  const started = startMembership({ ...empty, lastIndex: 12, membership }, { ...bootstrap, isInLog: true });
  assert.equal(started, { value, index: 9 });
});

test("a record that was cut with the entries before it is replaced by the bootstrap", () => {
  const recovered = { membership: undefined, hardState: { ...INITIAL_HARD_STATE, term: 4 }, lastIndex: 2 };
  assert.equal(startMembership(recovered, { ...bootstrap, isInLog: true }), bootstrap);
});

test("a box whose log is gone does not vote under its old identity", () => {
  assert.throws(() => startMembership(empty, { ...bootstrap, isInLog: true }), /its log was lost/);
  assert.throws(() => startMembership(empty, undefined), /its log was lost/);
});

test.run();
