import * as fs from "node:fs";
import * as os from "node:os";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { isFromThisBox, recoveryObstacle, type SurvivorView } from "../../../src/parts/force-recover.ts";
import type { Member } from "../../../src/raft/types.ts";

const member = (raftId: string, serverId: number): Member => ({
  ...{ raftId, serverId, name: `box${serverId}`, certificateHash: "", peerAddress: "" },
});
const MEMBERS = [member("a", 0), member("b", 1), member("c", 2), member("d", 3), member("e", 4)];
const alone: SurvivorView = {
  ...{ self: MEMBERS[0], leader: "", lastIndex: 100, lastTerm: 5, commit: 90, silentMs: 11_000 },
  ...{ members: MEMBERS, voters: ["a", "b", "c", "d", "e"], answering: {} },
};
const other = { leader: "", lastIndex: 100, lastTerm: 5 };

test("a voter that hears nobody may go on alone", () => {
  assert.is(recoveryObstacle(alone), undefined);
  assert.is(recoveryObstacle({ ...alone, answering: { b: other } }), undefined, "two of five are no quorum");
});

test("a quorum that answers, here or to another box, is no reason", () => {
  assert.match(String(recoveryObstacle({ ...alone, answering: { b: other, c: other } })), /3 of 5 servers answer/);
  assert.match(String(recoveryObstacle({ ...alone, leader: "c" })), /server 2 \("box2"\) leads/);
  assert.match(
    String(recoveryObstacle({ ...alone, answering: { b: { ...other, leader: "c" } } })),
    /server 1 \("box1"\) knows a leader: a quorum lives/,
  );
});

test("the box with the longest log goes on, and a box that is no voter never", () => {
  const longer = { b: { ...other, lastIndex: 101 } };
  assert.match(String(recoveryObstacle({ ...alone, answering: longer })), /box1.*has more of the log.*recover there/);
  const later = { b: { ...other, lastIndex: 3, lastTerm: 6 } };
  assert.match(String(recoveryObstacle({ ...alone, answering: later })), /has more of the log/);
  const shorter = { b: { ...other, lastIndex: 999, lastTerm: 4 } };
  assert.is(recoveryObstacle({ ...alone, answering: shorter }), undefined);
  assert.match(String(recoveryObstacle({ ...alone, voters: ["b", "c", "d"] })), /no voter/);
  assert.match(String(recoveryObstacle({ ...alone, self: undefined })), /no voter/);
});

test("a quorum that is only late is waited for", () => {
  assert.match(String(recoveryObstacle({ ...alone, silentMs: 9_999 })), /for only 9 s: wait until 10 s/);
});

test("a learner that answers is no part of a quorum", () => {
  const view = { ...alone, voters: ["a", "b", "c"], answering: { d: other, e: other } };
  assert.is(recoveryObstacle(view), undefined);
});

test("only who can write root's file on this box may ask, and each word counts once", () => {
  const directory = fs.mkdtempSync(`${os.tmpdir()}/word-`);
  const file = `${directory}/word`;
  const word = "0123456789abcdef0123456789abcdef";
  assert.is(isFromThisBox(file, word), false, "no file");
  fs.writeFileSync(file, word);
  assert.is(isFromThisBox(file, word.replace("0", "1")), false);
  assert.is(isFromThisBox(file, word), false, "a wrong word ends the right one");
  fs.writeFileSync(file, "");
  assert.is(isFromThisBox(file, ""), false);
  fs.writeFileSync(file, word);
  assert.is(isFromThisBox(file, word), true);
  assert.is(isFromThisBox(file, word), false);
  fs.rmSync(directory, { recursive: true });
});

test.run();
