import { test } from "uvu";
import * as assert from "uvu/assert";
import type { BoxRole } from "../../../src/parts/cluster.ts";
import { roleLine } from "../../../src/parts/role-line.ts";

const at = (role: BoxRole["role"], term: number, leader: string, isReady = false): BoxRole => ({
  ...{ role, term, leader, isReady },
  ...{ ownTermCommitted: isReady, ownTermIndex: 0 },
});

function linesOf(roles: readonly BoxRole[]): string[] {
  const lines: string[] = [];
  for (const role of roles) {
    const line = roleLine(role, lines.at(-1) ?? "");
    if (line !== undefined) lines.push(line);
  }
  return lines;
}

test("an election that goes on for days is one line", () => {
  const flapping = Array.from({ length: 1000 }, (_, n) => at(n % 2 === 0 ? "pre-candidate" : "follower", 5, ""));
  assert.equal(linesOf([at("follower", 5, "b"), ...flapping, at("follower", 6, "c")]), [
    "follower in term 5, leader b",
    "no leader is known",
    "follower in term 6, leader c",
  ]);
});

test("leading and being ready are two lines", () => {
  assert.equal(linesOf([at("candidate", 7, ""), at("leader", 7, "a"), at("leader", 7, "a", true)]), [
    "no leader is known",
    "leader in term 7",
    "leader in term 7, ready",
  ]);
});

test.run();
