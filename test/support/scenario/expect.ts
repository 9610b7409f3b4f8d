import type { RaftNode } from "../../../src/raft/types.ts";
import type { Box } from "./box.ts";
import { numberOf } from "./say.ts";
import type { World } from "./world.ts";

/** How many words of a fact follow its name; `rest` takes all of them. */
type Reader = (box: Box, status: ReturnType<RaftNode["status"]>) => string;

const ROLES = new Set(["leader", "follower", "candidate", "pre-candidate", "learner"]);

/** A fact's value as the story writes it. */
const FACTS: Record<string, Reader> = {
  term: (_, status) => String(status.term),
  vote: (_, status) => numberOf(status.vote),
  follows: (_, status) => numberOf(status.leader),
  commit: (_, status) => String(status.commit),
  applied: (_, status) => String(status.applied),
  last: (_, status) => `${status.lastIndex}@${status.lastTerm}`,
  stable: (_, status) => String(status.stableIndex),
  verified: (_, status) => String(status.verified),
  transfer: (_, status) => numberOf(status.transferTo),
  releases: (box) => String(box.releases),
  voters: (_, status) => status.membership.voters.map(numberOf).join(","),
};

/** Facts that take all words that are left. */
const LISTS: Record<string, (box: Box) => string> = {
  log: (box) => box.log.all.map((entry) => `${entry.index}@${entry.term}`).join(" "),
  state: (box) =>
    box.state
      .map((each) => each.text)
      .filter((text) => text !== ".")
      .join(" "),
  reads: (box) => box.reads.join(" "),
};

/**
 * `expect 1 leader term 2 commit 3`, `expect 2 log 1@1 2@2`, `expect 1 down`, `expect no leader`, `expect agreement`.
 * What does not hold breaks the story, and is never rewritten: these are the facts that it is told for.
 */
export function expectFacts(world: World, words: string[]): void {
  if (words.join(" ") === "no leader") {
    for (const box of world.boxes.values()) {
      if (box.node?.status().role === "leader") world.break(`box ${box.number} leads`);
    }
    return;
  }
  if (words[0] === "agreement") {
    expectAgreement(world);
    return;
  }
  const box = world.box(Number(words.shift()));
  if (words[0] === "down") {
    if (box.node !== undefined) world.break(`box ${box.number} is up`);
    return;
  }
  const status = box.alive.status();
  while (words.length > 0) {
    const name = words.shift() ?? "";
    if (ROLES.has(name)) {
      if (status.role !== name) world.break(`box ${box.number} is ${status.role}, not ${name}`);
      continue;
    }
    const list = LISTS[name];
    const read = FACTS[name];
    if (list === undefined && read === undefined) throw new Error(`there is no fact "${name}"`);
    const wanted = list === undefined ? (words.shift() ?? "") : words.splice(0).join(" ");
    const found = list === undefined ? read?.(box, status) : list(box);
    if (found !== wanted) world.break(`${name} of box ${box.number} is "${found}", not "${wanted}"`);
  }
}

/** All boxes that are up hold the same log and have applied the same. */
function expectAgreement(world: World): void {
  const up = [...world.boxes.values()].filter((box) => box.node !== undefined);
  const first = up[0];
  if (first === undefined) return;
  const end = (box: Box): string => {
    const { lastIndex, lastTerm, commit } = box.alive.status();
    return `log ${lastIndex}@${lastTerm} commit ${commit} state ${box.state.map((each) => each.text).join(" ")}`;
  };
  for (const box of up) {
    if (end(box) !== end(first)) {
      world.break(`box ${box.number} has ${end(box)}, box ${first.number} has ${end(first)}`);
    }
  }
}
