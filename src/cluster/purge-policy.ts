/** How far the log may be purged: OpenNebula's RAFT settings, and what the state allows. */
export interface PurgeLimits {
  /** What the state database holds durably: what is after it, only the log has. */
  readonly durableApplied: number;
  /** LOG_RETENTION: applied entries that stay. */
  readonly retention: number;
  /** LIMIT_PURGE: entries that go at once, at most. */
  readonly limit: number;
  /** LOG_PURGE_TIMEOUT: a follower that answered within this is waited for. */
  readonly patienceMs: number;
  /** A log larger than this is purged whoever still needs it: they get a snapshot. */
  readonly bytesMax: number;
}

export interface PurgeView {
  readonly firstIndex: number;
  readonly applied: number;
  readonly sizeBytes: number;
  /** The leader's knowledge of the others; empty elsewhere. */
  readonly followers: readonly { readonly match: number; readonly answeredAt: number }[];
  readonly now: number;
}

/**
 * The last entry that may go; below `firstIndex` when none may. The durable applied index bounds it in any case: an
 * entry that is neither in the log nor durably in the state would be lost. So does nothing else when the disk is at stake.
 */
export function purgeIndex(limits: PurgeLimits, view: PurgeView): number {
  const { durableApplied, retention, limit, patienceMs, bytesMax } = limits;
  const { firstIndex, applied, sizeBytes, followers, now } = view;
  let index = Math.min(applied - retention, firstIndex - 1 + limit);
  for (const { match, answeredAt } of followers) if (now - answeredAt <= patienceMs) index = Math.min(index, match);
  if (sizeBytes > bytesMax) index = Math.max(index, firstIndex + Math.ceil((applied - firstIndex) / 2));
  return Math.min(index, durableApplied, applied);
}
