/** A piece of product code and what a mistaken author would have written there. */
export interface Edit {
  /** From the repository's root. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly from: string;
  readonly to: string;
}

/**
 * A known mistake in code that has no switch for it, and shall have none: the simulator's process reads the product's
 * source with these edits (plant.ts). Several edits: a mistake that another rule hides, planted together with the lack of
 * that rule; `hiddenBy` says which, and that the first edit alone changes nothing that anybody can see.
 */
export interface Plant {
  readonly name: string;
  /** The component that must catch it. */
  readonly suite: string;
  readonly edits: readonly Edit[];
  readonly hiddenBy?: string;
}

const RAFT: readonly Plant[] = [
  {
    name: "vote-against-an-outdated-log-position",
    suite: "core",
    edits: [
      {
        file: "src/raft/election.ts",
        from: "return core.log.isUpToDate(message.lastIndex, message.lastTerm);",
        to: `const known = core.log.term(core.log.commit) ?? 0;
  return message.lastTerm > known || (message.lastTerm === known && message.lastIndex >= core.log.commit);`,
      },
    ],
  },
  {
    name: "match-from-an-older-terms-answer",
    suite: "core",
    edits: [
      {
        file: "src/raft/node.ts",
        from: "} else if (message.term < core.term) {",
        to: `} else if (message.term < core.term && message.kind !== "append-response") {`,
      },
    ],
  },
  {
    name: "deposed-leader-sends-with-the-new-term",
    suite: "core",
    edits: [
      {
        file: "src/raft/ready.ts",
        from: "    sendAppends(core);\n  }",
        to: "    sendAppends(core);\n  } else if (core.progress.some((each) => each.match > 0)) sendAppends(core);",
      },
      {
        file: "src/raft/ready.ts",
        from: "(core.isLeader && hasAppendsToSend(core))",
        to: "((core.isLeader || core.progress.some((each) => each.match > 0)) && hasAppendsToSend(core))",
      },
    ],
  },
  {
    name: "candidate-ignores-a-leader-of-its-term",
    suite: "core",
    edits: [
      {
        file: "src/raft/heartbeat.ts",
        from: `if (core.role === "candidate" || core.role === "pre-candidate") core.becomeFollower(core.term, leader);`,
        to: "",
      },
    ],
  },
  {
    name: "next-index-falls-below-match",
    suite: "core",
    edits: [
      {
        file: "src/raft/replication.ts",
        from: "progress.next = Math.max(agree, progress.match) + 1;",
        to: "progress.next = agree;",
      },
    ],
  },
  {
    name: "removed-box-counted",
    suite: "core",
    edits: [
      {
        file: "src/raft/change.ts",
        from: "  core.membership = membership;\n",
        to: `  const { voters } = core.membership;
  core.membership = { ...membership, voters: [...new Set([...membership.voters, ...voters])].sort() };\n`,
      },
    ],
  },
  {
    name: "change-in-force-when-proposed",
    suite: "core",
    edits: [
      {
        file: "src/raft/change.ts",
        from: "  core.pendingMembershipIndex = entry.index;\n",
        to: `  core.pendingMembershipIndex = entry.index;
  const early = changeMembership(core.membership, change);
  if (early.kind === "changed") takeMembership(core, early.membership);\n`,
      },
    ],
  },
  {
    name: "commit-not-capped-by-the-last-new-entry",
    suite: "core",
    hiddenBy:
      "hints of a refusal lead the leader to the first conflict at once, never below it: without them it is seen",
    edits: [
      {
        file: "src/raft/replication.ts",
        from: "log.commitTo(Math.min(message.commit, lastNew));",
        to: "log.commitTo(Math.min(message.commit, log.lastIndex));",
      },
      {
        file: "src/raft/replication.ts",
        from: "const agree = lastIndexUpToTerm(core, Math.min(message.hintIndex, message.index - 1), message.hintTerm);",
        to: "const agree = Math.floor(message.index / 2);",
      },
    ],
  },
  {
    name: "time-outs-not-random",
    suite: "core",
    edits: [
      {
        file: "src/raft/core.ts",
        from: "this.fullDeadline = this.now + least + this.random.fraction() * (largest - least);",
        to: "this.fullDeadline = this.now + (least + largest) / 2;",
      },
      {
        file: "src/raft/core.ts",
        from: "return least + this.random.fraction() * (largest - least);",
        to: "return (least + largest) / 2;",
      },
    ],
  },
];

const LOG: readonly Plant[] = [
  {
    name: "sync-error-ignored",
    suite: "log",
    edits: [
      {
        file: "src/store/log/segment-files.ts",
        from: "    current.file.pwrite(offset, bytes);\n    current.file.fdatasync();",
        to: "    current.file.pwrite(offset, bytes);\n    try {\n      current.file.fdatasync();\n    } catch {}",
      },
    ],
  },
  {
    name: "entries-reported-without-a-sync",
    suite: "log",
    edits: [
      {
        file: "src/store/log/segment-files.ts",
        from: "    current.file.pwrite(offset, bytes);\n    current.file.fdatasync();",
        to: "    current.file.pwrite(offset, bytes);",
      },
    ],
  },
  {
    name: "torn-tail-accepted",
    suite: "log",
    edits: [
      {
        file: "src/store/log/record.ts",
        from: "  if (view.getUint32(0, true) !== crc) return undefined;",
        to: "",
      },
    ],
  },
  {
    name: "bad-record-taken-for-a-torn-tail",
    suite: "log",
    edits: [
      {
        file: "src/store/log/recover.ts",
        from: "const damaged = isBefore(end ?? { segment: 0, offset: 0 }, durableTo);",
        to: "const damaged = false;",
      },
    ],
  },
  {
    name: "directory-not-synced",
    suite: "log",
    edits: [
      {
        file: "src/store/log/segment-files.ts",
        from: `      this.#spare = "absent";
      this.#disk.fsyncDirectory();`,
        to: `      this.#spare = "absent";`,
      },
    ],
  },
  {
    name: "torn-tail-left-in-place",
    suite: "log",
    edits: [
      {
        file: "src/store/log/log.ts",
        from: "  if (written > 0) file.pwrite(offset, new Uint8Array(rest.length));",
        to: "",
      },
    ],
  },
  {
    name: "unsynced-tail-built-upon",
    suite: "log",
    edits: [
      {
        file: "src/store/log/log.ts",
        from: "      if (from < to) file.pwrite(from, file.pread(from, to - from));\n",
        to: "",
      },
    ],
  },
  {
    name: "failed-log-goes-on",
    suite: "log",
    edits: [
      {
        file: "src/store/log/segment-log.ts",
        from: "    this.#refusal = error;\n    this.#cancelIdle?.();\n    this.#parts.onPoison(error);",
        to: "    this.#cancelIdle?.();",
      },
    ],
  },
  {
    name: "old-bytes-of-a-recycled-segment-pass",
    suite: "log",
    hiddenBy:
      "the offset in each CRC and the chain of CRCs: with a salt that never changes, and neither of the two, it is seen",
    edits: [
      {
        file: "src/store/log/layout.ts",
        from: "    const salt = this.#newSalt();",
        to: "    const salt = 1;",
      },
      {
        file: "src/store/log/recover.ts",
        from: "if (record === undefined || record.previousCrc !== crc) break;",
        to: "if (record === undefined) break;",
      },
    ],
  },
];

const STATE: readonly Plant[] = [
  {
    name: "local-sql-error-counted-as-applied",
    suite: "state",
    edits: [
      {
        file: "src/store/state/apply-entry.ts",
        from: `if (isDatabaseError(error) && error.kind === "result") return { failed: error.message };`,
        to: "if (isDatabaseError(error)) return { failed: error.message };",
      },
    ],
  },
  {
    name: "random-evaluated-on-each-box",
    suite: "state",
    edits: [
      {
        file: "src/store/state/check-statement.ts",
        from: `if (FORBIDDEN_WORDS.has(word) || (FORBIDDEN_FUNCTIONS.has(word) && next === "(")) {`,
        to: "if (FORBIDDEN_WORDS.has(word)) {",
      },
    ],
  },
  {
    name: "repeated-request-applied-again",
    suite: "state",
    edits: [
      {
        file: "src/store/state/sessions.ts",
        from: 'if (outcome !== undefined) return { kind: "known", outcome: JSON.parse(outcome) as Outcome };',
        to: "",
      },
    ],
  },
  {
    name: "sessions-not-kept-over-a-restart",
    suite: "state",
    edits: [
      {
        file: "src/store/state/sessions.ts",
        from: "for (const row of rows) this.#keep(row);",
        to: "",
      },
    ],
  },
];

/** Every mistake that is planted in the source. */
export const PLANTS: readonly Plant[] = [...RAFT, ...LOG, ...STATE];

/** The names of those that `suite` must catch. */
export function plantsOf(suite: string): readonly string[] {
  return PLANTS.filter((plant) => plant.suite === suite).map((plant) => plant.name);
}

/** `source` as the mistaken author left it. Throws when the code has moved away from the plant. */
export function planted(plant: Plant, file: string, source: string): string {
  let text = source;
  for (const { from, to } of plant.edits.filter((edit) => edit.file === file)) {
    const parts = text.split(from);
    if (parts.length !== 2) throw new Error(`${plant.name}: "${from}" is ${parts.length - 1} times in ${file}`);
    text = parts.join(to);
  }
  return text;
}
