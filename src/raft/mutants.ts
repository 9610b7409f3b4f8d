/**
 * Known mistakes that the simulator plants one at a time and must catch (`test/sim/mutants.ts`). Product code never
 * sets any: the set is handed in with the node's configuration and has no other way in.
 */
export type CoreMutant =
  | "commit-old-term-by-counting"
  | "vote-before-durable"
  | "entries-acknowledged-before-durable"
  | "leader-counts-itself-before-durable"
  | "up-to-date-by-index-only"
  | "up-to-date-by-term-only"
  | "heartbeat-commits-own-last-index"
  | "append-always-truncates"
  | "conflict-by-index-only"
  | "match-from-what-was-sent"
  | "duplicate-vote-counted-twice"
  | "learner-counted"
  | "quorum-off-by-one"
  | "no-own-term-noop"
  | "pre-vote-raises-the-term"
  | "inflight-leaked"
  | "no-restart-quarantine"
  | "vote-within-promise"
  | "campaign-within-own-promise"
  | "mixed-promises-counted"
  | "transfer-keeps-lease"
  | "change-without-own-term-commit"
  | "two-changes-in-flight"
  | "read-index-before-own-term"
  | "read-index-without-quorum";
