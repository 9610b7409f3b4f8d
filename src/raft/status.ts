import type { Core } from "./core.ts";
import type { Status } from "./types.ts";

/** What a node would say about itself. */
export function nodeStatus(core: Core): Status {
  const { log } = core;
  return {
    id: core.id,
    term: core.term,
    vote: core.vote,
    role: core.role,
    leader: core.leader,
    commit: log.commit,
    applied: log.applied,
    lastIndex: log.lastIndex,
    lastTerm: log.lastTerm,
    stableIndex: log.stable,
    verified: core.verified,
    promiseUntil: Math.max(core.promiseUntil, core.quarantineUntil),
    promiseMs: core.promiseMs,
    ownTermCommitted: core.ownTermCommitted,
    transferTo: core.transferTo,
    progress: core.isLeader
      ? core.progress.filter((progress) => progress.id !== core.id).map((progress) => progress.status())
      : [],
    membership: core.membership,
  };
}
