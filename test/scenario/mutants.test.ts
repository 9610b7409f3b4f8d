// Each mistake of the core that can be planted breaks the story that is told against it: the stories can fail, and they
// fail by the fact that they are told for.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import type { CoreMutant } from "../../src/raft/mutants.ts";
import { parseStory, playStory } from "../support/scenario/story.ts";

/** The story, and a piece of what breaks in it. */
const STORIES: Record<CoreMutant, readonly [story: string, broken: string]> = {
  "commit-old-term-by-counting": ["vote-figure-8", 'commit of box 1 is "2", not "0"'],
  "vote-before-durable": ["vote-is-durable-first", "answered a vote that is not on its disk"],
  "entries-acknowledged-before-durable": ["acknowledged-is-durable", "acknowledged 2, its disk ends at 1"],
  "leader-counts-itself-before-durable": ["leader-counts-its-own-disk", 'commit of box 1 is "2", not "1"'],
  "up-to-date-by-index-only": ["election-up-to-date", 'vote of box 1 is "-", not "3"'],
  "up-to-date-by-term-only": ["election-up-to-date", 'vote of box 1 is "2", not "-"'],
  "heartbeat-commits-own-last-index": ["heartbeat-before-repair", 'commit of box 1 is "3", not "2"'],
  "append-always-truncates": ["append-delayed-and-short", 'log of box 2 is "1@1 2@1", not "1@1 2@1 3@1"'],
  "conflict-by-index-only": ["append-conflict", 'log of box 1 is "1@1 2@1 3@2 4@2", not "1@1 2@1 3@4"'],
  "match-from-what-was-sent": ["match-is-what-was-acknowledged", 'commit of box 1 is "3", not "2"'],
  "duplicate-vote-counted-twice": ["election-duplicate-vote", "box 1 is leader, not candidate"],
  "learner-counted": ["quorum-learners-do-not-count", 'commit of box 1 is "2", not "1"'],
  "quorum-off-by-one": ["quorum-of-four-is-three", 'commit of box 1 is "2", not "1"'],
  "no-own-term-noop": ["leader-no-op-first", 'not "1@1 2@1 3@2"'],
  "pre-vote-raises-the-term": ["pre-vote-answers", 'term of box 1 is "5", not "0"'],
  "inflight-leaked": ["inflight-window", 'last of box 2 is "4@1", not "6@1"'],
  "no-restart-quarantine": ["quarantine-after-a-restart", 'not "1"'],
  "vote-within-promise": ["promise-binds-the-voter", 'term of box 2 is "9", not "1"'],
  "campaign-within-own-promise": ["promise-binds-itself", "box 2 is pre-candidate, not follower"],
  "mixed-promises-counted": ["promise-of-the-longer-round", 'term of box 2 is "9", not "1"'],
  "transfer-keeps-lease": ["transfer", 'releases of box 1 is "0", not "1"'],
  "change-without-own-term-commit": ["change-waits-for-the-own-term", 'last of box 2 is "3@2", not "2@2"'],
  "two-changes-in-flight": ["one-change-at-a-time", 'last of box 1 is "3@1", not "2@1"'],
  "read-index-before-own-term": ["read-waits-for-the-own-term", 'reads of box 2 is "5@1'],
  "read-index-without-quorum": ["read-needs-a-quorum", 'reads of box 1 is "7@1", not ""'],
};

for (const [mutant, [name, broken]] of Object.entries(STORIES)) {
  test(`${mutant} breaks ${name}`, () => {
    const story = parseStory(name, readFileSync(resolve(import.meta.dir, `${name}.txt`), "utf8"));
    const outcome = playStory(story, new Set([mutant as CoreMutant]));
    assert.ok(
      outcome.broken.some((text) => text.includes(broken)),
      outcome.broken.join("\n") || "nothing broke",
    );
  });
}

test.run();
