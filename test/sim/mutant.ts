import type { CoreMutant } from "../../src/raft/mutants.ts";

/** Mistakes planted in the simulated parts around the core; the core's own are in src/raft/mutants.ts. */
export type PartMutant =
  | "applied-index-outside-transaction"
  | "retried-write-without-its-key"
  | "step-down-reported-as-failed"
  | "log-answers-before-the-sync"
  | "state-ahead-of-the-membership-record"
  | "missed-members-never-told"
  | "vip-before-noop"
  | "lease-renewed-by-remaining-time"
  | "lease-counted-from-the-answer"
  | "token-added-after-the-send"
  | "lease-resumed-after-transfer"
  | "wiped-box-keeps-its-identity"
  | "snapshot-index-off-by-one"
  | "older-snapshot-installed"
  | "snapshot-without-membership"
  | "snapshot-without-sessions"
  | "conflicting-suffix-kept-after-a-snapshot"
  | "purge-beyond-the-durable-applied"
  | "wall-clock-in-a-time-out"
  | "term-and-vote-persisted-late"
  | "term-and-vote-persisted-apart"
  | "leader-reads-its-own-state";

export type Mutant = CoreMutant | PartMutant;

/** Every planted mistake that the simulator must catch. */
export const MUTANTS: readonly Mutant[] = [
  "commit-old-term-by-counting",
  "vote-before-durable",
  "entries-acknowledged-before-durable",
  "leader-counts-itself-before-durable",
  "up-to-date-by-index-only",
  "up-to-date-by-term-only",
  "heartbeat-commits-own-last-index",
  "append-always-truncates",
  "conflict-by-index-only",
  "match-from-what-was-sent",
  "duplicate-vote-counted-twice",
  "learner-counted",
  "quorum-off-by-one",
  "no-own-term-noop",
  "pre-vote-raises-the-term",
  "inflight-leaked",
  "no-restart-quarantine",
  "vote-within-promise",
  "campaign-within-own-promise",
  "mixed-promises-counted",
  "transfer-keeps-lease",
  "change-without-own-term-commit",
  "two-changes-in-flight",
  "read-index-before-own-term",
  "read-index-without-quorum",
  "applied-index-outside-transaction",
  "retried-write-without-its-key",
  "step-down-reported-as-failed",
  "log-answers-before-the-sync",
  "state-ahead-of-the-membership-record",
  "missed-members-never-told",
  "vip-before-noop",
  "lease-renewed-by-remaining-time",
  "lease-counted-from-the-answer",
  "token-added-after-the-send",
  "lease-resumed-after-transfer",
  "wiped-box-keeps-its-identity",
  "snapshot-index-off-by-one",
  "older-snapshot-installed",
  "snapshot-without-membership",
  "snapshot-without-sessions",
  "conflicting-suffix-kept-after-a-snapshot",
  "purge-beyond-the-durable-applied",
  "wall-clock-in-a-time-out",
  "term-and-vote-persisted-late",
  "term-and-vote-persisted-apart",
  "leader-reads-its-own-state",
];

export function isMutant(name: string): name is Mutant {
  return (MUTANTS as readonly string[]).includes(name);
}
