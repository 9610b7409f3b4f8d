// What the leader makes of what the boxes announce.
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Announcement, levelObstacles, wantedTimings } from "../../../src/cluster/announcement.ts";
import { EMPTY_MEMBERSHIP } from "../../../src/raft/membership.ts";
import type { Membership } from "../../../src/raft/types.ts";

const group = (voters: readonly string[], learners: readonly string[] = []): Membership => ({
  ...EMPTY_MEMBERSHIP,
  ...{ voters, learners },
  members: [...voters, ...learners].map((raftId, serverId) => ({
    ...{ raftId, serverId, certificateHash: "", peerAddress: "", name: `box${serverId}` },
  })),
});
const heard = (boxes: Readonly<Record<string, Partial<Announcement>>>): Map<string, Announcement> =>
  new Map(
    Object.entries(boxes).map(([id, some]) => [id, { featureLevel: 1, build: "1.0", timings: "default", ...some }]),
  );

test("a level is free when every member, learners too, is heard and knows it", () => {
  const members = group(["a", "b", "c"], ["d"]);
  const all = { a: { featureLevel: 2 }, b: { featureLevel: 3 }, c: { featureLevel: 2 }, d: { featureLevel: 2 } };
  assert.equal(levelObstacles(2, members, heard(all)), []);
  assert.equal(levelObstacles(2, members, heard({ ...all, d: { featureLevel: 1 } })), [
    { name: "box3", why: "has build 1.0, which knows level 1" },
  ]);
  const mayFallBack = { featureLevel: 2, fallbackLevel: 1 };
  assert.equal(levelObstacles(2, members, heard({ ...all, c: mayFallBack })), [
    { name: "box2", why: "may fall back to its other slot, whose image knows level 1" },
  ]);
  assert.equal(levelObstacles(2, members, heard({ ...all, c: { featureLevel: 2, fallbackLevel: 3 } })), []);
  const { b: _, ...withoutB } = all;
  assert.equal(levelObstacles(2, members, heard(withoutB)), [{ name: "box1", why: "is not connected" }]);
  assert.is(levelObstacles(4, members, heard(all)).length, 4);
});

test("a majority of the voters decides on the timings, whoever leads", () => {
  const three = group(["a", "b", "c"]);
  const fast = { timings: "fast" };
  assert.is(wantedTimings(three, heard({ a: {}, b: {}, c: {} })), "default");
  assert.is(wantedTimings(three, heard({ a: fast, b: {}, c: {} })), "default");
  assert.is(wantedTimings(three, heard({ a: fast, b: fast, c: {} })), "fast");
  // Heard are only two of three: both must agree.
  assert.is(wantedTimings(three, heard({ a: fast, b: fast })), "fast");
  assert.is(wantedTimings(three, heard({ a: fast, b: {} })), undefined);
  assert.is(wantedTimings(three, heard({ a: { timings: "x" }, b: { timings: "y" }, c: { timings: "z" } })), undefined);
});

test("learners, strangers and boxes that say nothing have no word on the timings", () => {
  const fast = { timings: "fast" };
  const silent = { timings: "" };
  assert.is(wantedTimings(group(["a", "b", "c"], ["d"]), heard({ a: fast, d: fast, x: fast })), undefined);
  assert.is(wantedTimings(group(["a", "b", "c"]), heard({ a: silent, b: silent, c: fast })), undefined);
  assert.is(wantedTimings(group(["a"]), heard({ a: fast })), "fast");
  assert.is(wantedTimings(group(["a", "b", "c", "d"]), heard({ a: fast, b: fast, c: {}, d: {} })), undefined);
});

test.run();
